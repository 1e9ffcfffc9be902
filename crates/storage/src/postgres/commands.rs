//! The command store on PostgreSQL: what happens to commands inside a transaction. [`port`] has the verbs, [`row`] what can
//! become of one command, [`checkpoint`] what a service's own store stores with its own rows, [`intervene`] what operators do,
//! [`statements`] the SQL.
//!
//! Whoever changes commands locks them first, in the order of their keys, and letters only after commands: no two callers
//! wait for each other.

mod checkpoint;
mod intervene;
mod port;
mod row;
mod statements;

use std::collections::HashSet;
use std::sync::Arc;

use contracts::messages::{Queue, Status, StepResult};
use contracts::time::later;
use jiff::Timestamp;

use self::row::{Row, Rows, to_write};
pub use self::statements::COMMANDS_SCHEMA;
use self::statements::Statements;
use super::acts::Acts;
use super::{Database, PostgresOutbox, Tx, TxError};
use crate::commands::wording::{key_of, letter_of, message, status_of};
use crate::commands::{Acceptance, Claimed, CommandKey, CommandTimes, Fencing, Held, NewCommand, Settlement, State};
use crate::outbox::Destination;

/// A service's commands on PostgreSQL. Clones share it.
#[derive(Clone)]
pub struct PostgresCommands {
    database: Database,
    outbox: PostgresOutbox,
    queue: Queue,
    results: Option<Queue>,
    times: CommandTimes,
    acts: Acts,
    sql: Arc<Statements>,
}

impl PostgresCommands {
    /// The commands of the service that `database` is of, which publishes through `outbox` and whose worker listens on
    /// `queue`. Their results go to `results`, where anybody wants to know.
    #[must_use]
    pub fn new(
        database: Database,
        outbox: PostgresOutbox,
        queue: Queue,
        results: Option<Queue>,
        times: CommandTimes,
    ) -> Self {
        let service = database.service();
        Self {
            database,
            outbox,
            queue,
            results,
            times,
            acts: Acts::new(service),
            sql: Arc::new(Statements::new(service)),
        }
    }

    async fn accept_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        commands: &[NewCommand],
        grant: bool,
    ) -> Result<Vec<Acceptance>, TxError> {
        let (epoch, due) = if grant {
            (1, self.times.lease)
        } else {
            (0, self.times.hand_over)
        };
        let due = later(now, due);
        let mut fresh = self.insert(tx, now, commands, epoch, due).await?;
        let known = commands.iter().filter(|command| !fresh.contains(&command.key));
        let mut rows = self.load(tx, &self.sql.read, known.map(|command| command.key)).await?;
        let mut acceptances = Vec::with_capacity(commands.len());
        for command in commands {
            let NewCommand { key, content, progress } = command;
            if !fresh.remove(key) {
                acceptances.push(self.accept_known(tx, now, rows.get(key), *key, content)?);
                continue;
            }
            // For those of the same name that come after it.
            rows.insert(*key, Row::fresh(command, epoch, due));
            if grant {
                acceptances.push(Acceptance::New(Some(Claimed {
                    key: *key,
                    content: content.clone(),
                    progress: progress.clone(),
                    epoch,
                    tries: 0,
                    lease_until: due,
                })));
            } else {
                self.publish(tx, now, self.queue, *key, Status::Accepted, None)?;
                acceptances.push(Acceptance::New(None));
            }
        }
        Ok(acceptances)
    }

    /// Stores those that are new, the first of each name. Answers with their names.
    async fn insert(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        commands: &[NewCommand],
        epoch: i64,
        due: Timestamp,
    ) -> Result<HashSet<CommandKey>, TxError> {
        let mut named = HashSet::with_capacity(commands.len());
        let first: Vec<_> = commands.iter().filter(|command| named.insert(command.key)).collect();
        let (orders, steps) = columns(first.iter().map(|command| command.key));
        let contents: Vec<_> = first.iter().map(|command| command.content.as_str()).collect();
        let progresses: Vec<_> = first.iter().map(|command| command.progress.as_str()).collect();
        let (due, now) = (due.as_microsecond(), now.as_microsecond());
        let inserted = tx
            .query(
                &self.sql.insert,
                &[&orders, &steps, &contents, &progresses, &epoch, &due, &now],
            )
            .await?;
        inserted.iter().map(|row| read_key(row)?.ok_or_else(strange)).collect()
    }

    /// What is answered to a command that is stored already.
    fn accept_known(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        row: Option<&Row>,
        key: CommandKey,
        content: &str,
    ) -> Result<Acceptance, TxError> {
        let row = row.ok_or_else(|| TxError::Value("a command is neither new nor stored".to_owned()))?;
        if row.content != content {
            return Ok(Acceptance::Conflict);
        }
        match row.state() {
            Some(State::Open) => {
                self.publish(tx, now, self.queue, key, Status::Accepted, None)?;
                if row.missing_reported {
                    self.publish_to_saga(tx, now, key, Status::Unresolved, None)?;
                }
            }
            Some(State::Done | State::Failed) => match row.result.as_deref().map(serde_json::from_str) {
                Some(Ok(result)) => self.publish_result(tx, now, key, result)?,
                // Its neighbours in the batch must not suffer for it.
                Some(Err(_)) | None => tracing::error!(?key, "the stored result of a command cannot be read"),
            },
            Some(State::Dead) => self.publish_to_saga(tx, now, key, Status::Unresolved, None)?,
            None => tracing::error!(?key, state = row.state, "the stored state of a command is unknown"),
        }
        Ok(Acceptance::Known)
    }

    /// Claims those of `keys` that are free, or at most `limit` that are due. One that cannot be read (a newer program
    /// wrote it) is put off like the others, and left out: it must not keep its neighbours from being claimed.
    async fn claim_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        which: &Which<'_>,
        held: &Held,
    ) -> Result<Vec<Claimed>, TxError> {
        let (held_orders, held_steps) = columns(held.keys().copied());
        let epochs: Vec<i64> = held.values().copied().collect();
        let lease_until = later(now, self.times.lease);
        let (until, now) = (lease_until.as_microsecond(), now.as_microsecond());
        let rows = match which {
            Which::Due(limit) => {
                tx.query(
                    &self.sql.claim_due,
                    &[&held_orders, &held_steps, &epochs, &until, &now, limit],
                )
                .await?
            }
            Which::Named(keys) => {
                let (orders, steps) = columns(keys.iter().copied());
                let params: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
                    [&held_orders, &held_steps, &epochs, &until, &now, &orders, &steps];
                tx.query(&self.sql.claim, &params).await?
            }
        };
        let mut claimed = Vec::with_capacity(rows.len());
        for row in &rows {
            let Some(key) = read_key(row)? else {
                tracing::error!(?row, "a command of unknown shape is left alone for now");
                continue;
            };
            let due: i64 = row.try_get(6)?;
            let one = Claimed {
                key,
                content: row.try_get(2)?,
                progress: row.try_get(3)?,
                epoch: row.try_get(4)?,
                tries: u32::try_from(row.try_get::<_, i64>(5)?).unwrap_or(u32::MAX),
                lease_until,
            };
            claimed.push((due, one));
        }
        // The statement changes rows in whatever order it likes.
        match which {
            Which::Due(_) => claimed.sort_by_key(|(due, one)| (*due, one.key)),
            Which::Named(_) => claimed.sort_by_key(|(_, one)| one.key),
        }
        Ok(claimed.into_iter().map(|(_, one)| one).collect())
    }

    async fn settle_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        settlements: &[(CommandKey, i64, Settlement)],
    ) -> Result<Vec<Fencing>, TxError> {
        let mut rows = self
            .load(tx, &self.sql.lock, settlements.iter().map(|(key, ..)| *key))
            .await?;
        let mut fencings = Vec::with_capacity(settlements.len());
        for (key, epoch, settlement) in settlements {
            match rows.get_mut(key).filter(|row| row.is_open_under(*epoch)) {
                Some(row) => {
                    self.settle_one(tx, now, row, settlement.clone())?;
                    fencings.push(Fencing::Written);
                }
                None => fencings.push(Fencing::Fenced),
            }
        }
        self.store(tx, now, rows.values());
        Ok(fencings)
    }

    fn settle_one(&self, tx: &mut Tx, now: Timestamp, row: &mut Row, settlement: Settlement) -> Result<(), TxError> {
        let key = row.key;
        match settlement {
            Settlement::Finished { result, progress } => {
                row.finish(&result, progress)?;
                self.bury_unheard(tx, now, row, &result);
                self.publish_result(tx, now, key, result)?;
            }
            Settlement::Postponed {
                until,
                reason,
                answer_missing,
                progress,
            } => {
                row.postpone(now, until, reason, answer_missing, progress);
                let patience = i64::try_from(self.times.stuck_after.as_micros()).unwrap_or(i64::MAX);
                if row.report_missing(now.as_microsecond().saturating_sub(patience)) {
                    self.publish_to_saga(tx, now, key, Status::Unresolved, None)?;
                }
            }
            Settlement::Dead { error } => {
                self.outbox.bury(tx, now, &letter_of(key), &row.content, &error);
                row.bury(error);
                self.publish_to_saga(tx, now, key, Status::Unresolved, None)?;
            }
        }
        Ok(())
    }

    /// A failure that nobody is told of leaves a letter: no saga answers for it, so an operator has to.
    fn bury_unheard(&self, tx: &mut Tx, now: Timestamp, row: &Row, result: &StepResult) {
        if let StepResult::Failure { code, detail } = result
            && self.tells_nobody()
        {
            let error = format!("{code}: {detail}");
            self.outbox.bury(tx, now, &letter_of(row.key), &row.content, &error);
        }
    }

    /// Whether the results of these commands go nowhere.
    pub(in crate::postgres) const fn tells_nobody(&self) -> bool {
        self.results.is_none()
    }

    /// Reads commands, and locks them if that is what `sql` does.
    async fn load(&self, tx: &mut Tx, sql: &str, keys: impl Iterator<Item = CommandKey>) -> Result<Rows, TxError> {
        let keys: HashSet<_> = keys.collect();
        if keys.is_empty() {
            return Ok(Rows::new());
        }
        let (orders, steps) = columns(keys.into_iter());
        let rows = tx.query(sql, &[&orders, &steps]).await?;
        rows.iter()
            .map(|row| {
                let key = read_key(row)?.ok_or_else(strange)?;
                Ok((key, Row::read(key, row)?))
            })
            .collect()
    }

    async fn load_one(&self, tx: &mut Tx, sql: &str, key: CommandKey) -> Result<Option<Row>, TxError> {
        Ok(self.load(tx, sql, std::iter::once(key)).await?.remove(&key))
    }

    /// Locks one command, for whoever is about to lock something else.
    pub(in crate::postgres) async fn lock(&self, tx: &mut Tx, key: CommandKey) -> Result<(), TxError> {
        self.load_one(tx, &self.sql.lock, key).await.map(drop)
    }

    /// Writes those that have changed when `tx` ends.
    fn store<'a>(&self, tx: &mut Tx, now: Timestamp, rows: impl Iterator<Item = &'a Row>) {
        if let Some((params, count)) = to_write(rows, now) {
            tx.write(self.sql.write.as_str(), params, Some(count));
        }
    }

    fn publish_result(&self, tx: &mut Tx, now: Timestamp, key: CommandKey, result: StepResult) -> Result<(), TxError> {
        let status = status_of(&result);
        self.publish_to_saga(tx, now, key, status, Some(result))
    }

    fn publish_to_saga(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        key: CommandKey,
        status: Status,
        result: Option<StepResult>,
    ) -> Result<(), TxError> {
        self.results
            .map_or(Ok(()), |queue| self.publish(tx, now, queue, key, status, result))
    }

    fn publish(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        queue: Queue,
        key: CommandKey,
        status: Status,
        result: Option<StepResult>,
    ) -> Result<(), TxError> {
        let message = serde_json::to_string(&message(queue, now, key, status, result))?;
        self.outbox.put(tx, now, Destination::Queue(queue), message);
        Ok(())
    }
}

/// Which commands are to be claimed.
enum Which<'a> {
    Named(&'a [CommandKey]),
    Due(i64),
}

/// Keys as two columns.
fn columns(keys: impl Iterator<Item = CommandKey>) -> (Vec<i64>, Vec<&'static str>) {
    keys.map(|key| (key.order_id.get(), key.step.as_str())).unzip()
}

/// The name in the first two columns, if this program can read it.
fn read_key(row: &tokio_postgres::Row) -> Result<Option<CommandKey>, TxError> {
    Ok(key_of(row.try_get(0)?, row.try_get(1)?))
}

fn strange() -> TxError {
    TxError::Value("a command has another name than it was asked for by".to_owned())
}
