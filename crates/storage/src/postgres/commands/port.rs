//! The port's verbs: each is one transaction over a batch.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use contracts::messages::{FailureCode, StepResult};
use contracts::time::later;
use jiff::Timestamp;

use super::intervene::Asked;
use super::{PostgresCommands, Which};
use crate::StoreError;
use crate::commands::{
    Acceptance, Amended, BeyondRecall, Claimed, CommandKey, CommandStore, Entombment, Fencing, Held, Intervention,
    NewCommand, Record, Settlement, Standing, State,
};
use crate::postgres::outbox::{count, in_turns};
use crate::postgres::{Tx, TxError};

impl PostgresCommands {
    async fn entomb_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        command: &NewCommand,
        code: FailureCode,
        beyond_recall: BeyondRecall,
    ) -> Result<Entombment, TxError> {
        // An absent command is accepted first, so that both cases end alike; whoever holds a claim is fenced off.
        let absent = !self
            .insert(tx, now, std::slice::from_ref(command), 0, now)
            .await?
            .is_empty();
        let row = self.load_one(tx, &self.sql.lock, command.key).await?;
        let mut row = row.ok_or_else(|| TxError::Value("a command is neither new nor stored".to_owned()))?;
        if !absent {
            let record = row.record()?;
            let over = record.state != State::Open;
            if over && matches!(&record.result, Some(StepResult::Failure { code: end, .. }) if *end == code) {
                return Ok(Entombment::Entombed);
            }
            if over || beyond_recall(&record.progress) {
                return Ok(Entombment::TooLate(Box::new(record)));
            }
        }
        row.fence();
        let result = StepResult::Failure {
            code,
            detail: "cancelled before it took effect".to_owned(),
        };
        self.settle_one(tx, now, &mut row, Settlement::Finished { result, progress: None })?;
        self.store(tx, now, std::iter::once(&row));
        Ok(Entombment::Entombed)
    }

    async fn record_in(&self, tx: &mut Tx, key: CommandKey) -> Result<Option<Record>, TxError> {
        let row = self.load_one(tx, &self.sql.read, key).await?;
        row.map(|row| row.record()).transpose()
    }
}

#[async_trait]
impl CommandStore for PostgresCommands {
    async fn accept(
        &self,
        now: Timestamp,
        commands: Vec<NewCommand>,
        grant: bool,
    ) -> Result<Vec<Acceptance>, StoreError> {
        if commands.is_empty() {
            return Ok(Vec::new());
        }
        crate::in_transaction!(self.database, tx => self.accept_in(&mut tx, now, &commands, grant))
    }

    async fn claim_beside(
        &self,
        now: Timestamp,
        keys: Vec<CommandKey>,
        held: Held,
    ) -> Result<Vec<Claimed>, StoreError> {
        // A key that is named twice is claimed once.
        let keys: Vec<_> = keys.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let which = Which::Named(&keys);
        crate::in_transaction!(self.database, tx => self.claim_in(&mut tx, now, &which, &held))
    }

    async fn claim_due_beside(&self, now: Timestamp, limit: usize, held: Held) -> Result<Vec<Claimed>, StoreError> {
        let which = Which::Due(i64::try_from(limit).unwrap_or(i64::MAX));
        crate::in_transaction!(self.database, tx => self.claim_in(&mut tx, now, &which, &held))
    }

    fn lease(&self) -> Duration {
        self.times.lease
    }

    async fn checkpoint(
        &self,
        now: Timestamp,
        key: CommandKey,
        epoch: i64,
        progress: String,
    ) -> Result<Fencing, StoreError> {
        crate::in_transaction!(self.database, tx => self.checkpoint_in(&mut tx, now, key, epoch, &progress))
    }

    async fn settle(
        &self,
        now: Timestamp,
        settlements: Vec<(CommandKey, i64, Settlement)>,
    ) -> Result<Vec<Fencing>, StoreError> {
        crate::in_transaction!(self.database, tx => self.settle_in(&mut tx, now, &settlements))
    }

    async fn entomb(
        &self,
        now: Timestamp,
        command: NewCommand,
        code: FailureCode,
        beyond_recall: BeyondRecall,
    ) -> Result<Entombment, StoreError> {
        crate::in_transaction!(self.database, tx => self.entomb_in(&mut tx, now, &command, code, beyond_recall))
    }

    async fn record(&self, key: CommandKey) -> Result<Option<Record>, StoreError> {
        crate::in_transaction!(self.database, tx => self.record_in(&mut tx, key))
    }

    async fn intervene(&self, now: Timestamp, intervention: Intervention) -> Result<Amended, StoreError> {
        let mut asked = Asked::from(intervention);
        crate::in_transaction!(self.database, tx => self.intervene_in(&mut tx, now, &mut asked))
    }

    async fn standing(&self, key: CommandKey) -> Result<Option<Standing>, StoreError> {
        let mut tx = self.database.snapshot().await?;
        let standing = self.stand(&mut tx, key).await;
        tx.roll_back().await;
        Ok(standing?)
    }

    async fn open_count(&self) -> Result<u64, StoreError> {
        Ok(count(&self.database.query(&self.sql.count, &[]).await?)?)
    }

    async fn bring_forward(&self, now: Timestamp) -> Result<u64, StoreError> {
        let (lease_until, now) = (later(now, self.times.lease).as_microsecond(), now.as_microsecond());
        in_turns(&self.database, &self.sql.bring_forward, &[&now, &lease_until]).await
    }

    /// Nothing: nobody can know here that no other worker is alive. What a dead one left is due when its lease is over.
    async fn release_leases(&self, _now: Timestamp) -> Result<u64, StoreError> {
        Ok(0)
    }
}
