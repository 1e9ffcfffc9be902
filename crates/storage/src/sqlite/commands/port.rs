//! The port's verbs: each is one transaction over a batch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::messages::{FailureCode, StepResult};
use contracts::time::later;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};

use super::{Checkpoint, SqliteCommands, to_found};
use crate::StoreError;
use crate::commands::{
    Acceptance, Amended, BeyondRecall, Claimed, CommandKey, CommandStore, Entombment, Fencing, Held, Intervention,
    NewCommand, Record, Settlement, Standing, State,
};
use crate::sqlite::columns::micros;

#[async_trait]
impl CommandStore for SqliteCommands {
    async fn accept(
        &self,
        now: Timestamp,
        commands: Vec<NewCommand>,
        grant: bool,
    ) -> Result<Vec<Acceptance>, StoreError> {
        let store = self.clone();
        self.database
            .writer()
            .run(move |tx| {
                commands
                    .into_iter()
                    .map(|command| store.accept_one(tx, now, command, grant))
                    .collect()
            })
            .await
    }

    async fn claim_beside(
        &self,
        now: Timestamp,
        keys: Vec<CommandKey>,
        held: Held,
    ) -> Result<Vec<Claimed>, StoreError> {
        let store = self.clone();
        self.database
            .writer()
            .run(move |tx| {
                // A key that is named twice is claimed once.
                let keys: BTreeSet<_> = keys.into_iter().collect();
                let mut claimable = tx.prepare_cached(&store.sql.claimable)?;
                let mut found = Vec::with_capacity(keys.len());
                for key in keys {
                    let key = params![key.order_id.get(), key.step.as_str(), micros(now)];
                    found.extend(claimable.query_row(key, to_found).optional()?);
                }
                found.retain(|found| !found.is_in(&held));
                store.claim_found(tx, now, found)
            })
            .await
    }

    async fn claim_due_beside(&self, now: Timestamp, limit: usize, held: Held) -> Result<Vec<Claimed>, StoreError> {
        let store = self.clone();
        // What is held may be due as well, and must keep nobody else waiting.
        let read = i64::try_from(limit.saturating_add(held.len())).unwrap_or(i64::MAX);
        self.database
            .writer()
            .run(move |tx| {
                let mut found = tx
                    .prepare_cached(&store.sql.due)?
                    .query_map(params![micros(now), read], to_found)?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                found.retain(|found| !found.is_in(&held));
                found.truncate(limit);
                store.claim_found(tx, now, found)
            })
            .await
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
        let checkpoint = Checkpoint {
            now,
            key,
            epoch,
            progress,
        };
        self.checkpoints.bring(checkpoint).await
    }

    async fn checkpoint_ahead(
        &self,
        now: Timestamp,
        key: CommandKey,
        epoch: i64,
        progress: String,
    ) -> Result<Fencing, StoreError> {
        let checkpoint = Checkpoint {
            now,
            key,
            epoch,
            progress,
        };
        self.checkpoints.bring_ahead(checkpoint).await
    }

    async fn settle(
        &self,
        now: Timestamp,
        settlements: Vec<(CommandKey, i64, Settlement)>,
    ) -> Result<Vec<Fencing>, StoreError> {
        let store = self.clone();
        self.database
            .writer()
            .run_ahead(move |tx| {
                settlements
                    .into_iter()
                    .map(|(key, epoch, settlement)| store.settle_one(tx, now, key, epoch, settlement))
                    .collect()
            })
            .await
    }

    async fn entomb(
        &self,
        now: Timestamp,
        command: NewCommand,
        code: FailureCode,
        beyond_recall: BeyondRecall,
    ) -> Result<Entombment, StoreError> {
        let store = self.clone();
        self.database
            .writer()
            .run(move |tx| {
                let key = command.key;
                if let Some(record) = store.load(tx, key)? {
                    let over = record.state != State::Open;
                    let same_end =
                        matches!(&record.result, Some(StepResult::Failure { code: end, .. }) if *end == code);
                    if over && same_end {
                        return Ok(Entombment::Entombed);
                    }
                    if over || beyond_recall(&record.progress) {
                        return Ok(Entombment::TooLate(Box::new(record)));
                    }
                }
                // An absent command is accepted first, so that both cases end alike; the claim fences off whoever
                // holds one.
                let NewCommand { content, progress, .. } = command;
                tx.prepare_cached(&store.sql.insert)?.execute(params![
                    key.order_id.get(),
                    key.step.as_str(),
                    content,
                    progress,
                    State::Open.as_str(),
                    0,
                    micros(now),
                    None::<String>,
                    micros(now),
                ])?;
                let epoch = store.fence(tx, key)?;
                let result = StepResult::Failure {
                    code,
                    detail: "cancelled before it took effect".to_owned(),
                };
                store.settle_one(tx, now, key, epoch, Settlement::Finished { result, progress: None })?;
                Ok(Entombment::Entombed)
            })
            .await
    }

    async fn record(&self, key: CommandKey) -> Result<Option<Record>, StoreError> {
        let store = self.clone();
        self.database
            .readers()
            .run(move |connection| store.load(connection, key))
            .await
    }

    async fn intervene(&self, now: Timestamp, intervention: Intervention) -> Result<Amended, StoreError> {
        let store = self.clone();
        self.database
            .writer()
            .run(move |tx| store.intervene_in(tx, now, intervention))
            .await
    }

    async fn standing(&self, key: CommandKey) -> Result<Option<Standing>, StoreError> {
        let store = self.clone();
        self.database
            .readers()
            .run(move |connection| store.stand(connection, key))
            .await
    }

    async fn open_count(&self) -> Result<u64, StoreError> {
        let sql = Arc::clone(&self.sql);
        let count: i64 = self
            .database
            .readers()
            .run(move |connection| connection.query_row(&sql.count, (), |row| row.get(0)))
            .await?;
        Ok(count.unsigned_abs())
    }

    async fn bring_forward(&self, now: Timestamp) -> Result<u64, StoreError> {
        let sql = Arc::clone(&self.sql);
        let lease_until = later(now, self.times.lease);
        let brought = self
            .database
            .writer()
            .run(move |tx| {
                tx.prepare_cached(&sql.bring_forward)?
                    .execute([micros(now), micros(lease_until)])
            })
            .await?;
        Ok(u64::try_from(brought).unwrap_or(u64::MAX))
    }

    async fn release_leases(&self, now: Timestamp) -> Result<u64, StoreError> {
        let sql = Arc::clone(&self.sql);
        let released = self
            .database
            .writer()
            .run(move |tx| tx.prepare_cached(&sql.release)?.execute([micros(now)]))
            .await?;
        Ok(u64::try_from(released).unwrap_or(u64::MAX))
    }
}
