//! The command store on SQLite: what happens to one command inside a transaction. [`port`] has the verbs over
//! batches, [`intervene`] what operators do, [`statements`] the SQL.

mod intervene;
mod port;
mod statements;
mod unheard;

use std::sync::Arc;

use contracts::ServiceName;
use contracts::messages::{Queue, Status, StepResult};
use contracts::time::later;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row, params};

use self::statements::Statements;
pub use self::statements::{COMMANDS_SCHEMA, DEAD_COMMANDS_INDEX};
use super::acts::Acts;
use super::columns::{bad_column, micros};
use super::{Database, Desk, SqliteOutbox, Tx};
use crate::commands::wording::{end_of, key_of, letter_of, message, status_of};
use crate::commands::{
    Acceptance, Claimed, CommandKey, CommandTimes, Fencing, Held, NewCommand, Record, Settlement, State,
};
use crate::outbox::Destination;

/// A service's commands on SQLite. Clones share it.
#[derive(Clone)]
pub struct SqliteCommands {
    database: Database,
    outbox: SqliteOutbox,
    queue: Queue,
    results: Option<Queue>,
    times: CommandTimes,
    acts: Acts,
    sql: Arc<Statements>,
    checkpoints: Desk<Checkpoint, Fencing>,
}

/// What a handler wants to have stored of its command's progress. Handlers work on one command each, and want it one by
/// one.
struct Checkpoint {
    now: Timestamp,
    key: CommandKey,
    epoch: i64,
    progress: String,
}

impl SqliteCommands {
    /// The commands of `service`, which publishes through `outbox` and whose worker listens on `queue`. Their results
    /// go to `results`, where anybody wants to know.
    #[must_use]
    pub fn new(
        service: ServiceName,
        database: Database,
        outbox: SqliteOutbox,
        queue: Queue,
        results: Option<Queue>,
        times: CommandTimes,
    ) -> Self {
        let sql = Arc::new(Statements::new(service));
        let statements = Arc::clone(&sql);
        let checkpoints = Desk::new(database.clone(), move |tx, waiting: &[Arc<Checkpoint>]| {
            let store = |c: &Arc<Checkpoint>| statements.store_progress(tx, c.now, c.key, c.epoch, &c.progress);
            waiting.iter().map(store).collect()
        });
        Self {
            database,
            outbox,
            queue,
            results,
            times,
            acts: Acts::new(service),
            sql,
            checkpoints,
        }
    }

    /// [`CommandStore::checkpoint`](crate::commands::CommandStore::checkpoint) inside a transaction of the service's own
    /// store, for what must be stored together with the progress.
    ///
    /// # Errors
    /// What SQLite says; the whole job is rolled back then.
    pub fn checkpoint_in(
        &self,
        tx: &Tx<'_>,
        now: Timestamp,
        key: CommandKey,
        epoch: i64,
        progress: &str,
    ) -> rusqlite::Result<Fencing> {
        self.sql.store_progress(tx, now, key, epoch, progress)
    }

    fn accept_one(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        command: NewCommand,
        grant: bool,
    ) -> rusqlite::Result<Acceptance> {
        let NewCommand { key, content, progress } = command;
        let (epoch, due) = if grant {
            (1, self.times.lease)
        } else {
            (0, self.times.hand_over)
        };
        let due = later(now, due);
        let inserted = tx.prepare_cached(&self.sql.insert)?.execute(params![
            key.order_id.get(),
            key.step.as_str(),
            content,
            progress,
            State::Open.as_str(),
            epoch,
            micros(due),
            None::<String>,
            micros(now),
        ])?;
        if inserted == 1 {
            if grant {
                let claimed = Claimed {
                    key,
                    content,
                    progress,
                    epoch,
                    tries: 0,
                    lease_until: due,
                };
                return Ok(Acceptance::New(Some(claimed)));
            }
            self.publish(tx, now, self.queue, key, Status::Accepted, None)?;
            return Ok(Acceptance::New(None));
        }
        self.accept_known(tx, now, key, &content)
    }

    /// What is answered to a command that is stored already.
    fn accept_known(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        key: CommandKey,
        content: &str,
    ) -> rusqlite::Result<Acceptance> {
        let (stored, state, result, reported): (String, String, Option<String>, bool) = tx
            .prepare_cached(&self.sql.stored)?
            .query_row(params![key.order_id.get(), key.step.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })?;
        if stored != content {
            return Ok(Acceptance::Conflict);
        }
        match State::from_name(&state) {
            Some(State::Open) => {
                self.publish(tx, now, self.queue, key, Status::Accepted, None)?;
                if reported {
                    self.publish_to_saga(tx, now, key, Status::Unresolved, None)?;
                }
            }
            Some(State::Done | State::Failed) => match result.as_deref().map(serde_json::from_str) {
                Some(Ok(result)) => self.publish_result(tx, now, key, result)?,
                // Its neighbours in the batch must not suffer for it.
                Some(Err(_)) | None => tracing::error!(?key, "the stored result of a command cannot be read"),
            },
            Some(State::Dead) => self.publish_to_saga(tx, now, key, Status::Unresolved, None)?,
            None => tracing::error!(?key, state, "the stored state of a command is unknown"),
        }
        Ok(Acceptance::Known)
    }

    /// Claims rows that were found to be free in this transaction. A row that cannot be read (a newer program wrote
    /// it) is put off like the others, and left out: it must not keep its neighbours from being claimed.
    fn claim_found(&self, tx: &Tx<'_>, now: Timestamp, found: Vec<Found>) -> rusqlite::Result<Vec<Claimed>> {
        let lease_until = later(now, self.times.lease);
        let mut claim = tx.prepare_cached(&self.sql.claim)?;
        let mut claimed = Vec::with_capacity(found.len());
        for found in found {
            let epoch = found.epoch.saturating_add(1);
            claim.execute(params![found.rowid, epoch, micros(lease_until), micros(now)])?;
            let Some(key) = key_of(found.order_id, &found.step) else {
                tracing::error!(
                    found.order_id,
                    found.step,
                    "a command of unknown shape is left alone for now"
                );
                continue;
            };
            claimed.push(Claimed {
                key,
                content: found.content,
                progress: found.progress,
                epoch,
                tries: found.tries,
                lease_until,
            });
        }
        Ok(claimed)
    }

    fn settle_one(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        key: CommandKey,
        epoch: i64,
        settlement: Settlement,
    ) -> rusqlite::Result<Fencing> {
        let (order, step) = (key.order_id.get(), key.step.as_str());
        match settlement {
            Settlement::Finished { result, progress } => {
                let state = end_of(&result);
                let written = tx.prepare_cached(&self.sql.finish)?.execute(params![
                    order,
                    step,
                    epoch,
                    state.as_str(),
                    encode(&result)?,
                    progress,
                    micros(now)
                ])?;
                if written == 0 {
                    return Ok(Fencing::Fenced);
                }
                self.bury_unheard(tx, now, key, &result)?;
                self.publish_result(tx, now, key, result)?;
            }
            Settlement::Postponed {
                until,
                reason,
                answer_missing,
                progress,
            } => {
                let written = tx.prepare_cached(&self.sql.postpone)?.execute(params![
                    order,
                    step,
                    epoch,
                    micros(until),
                    progress,
                    micros(now),
                    reason,
                    answer_missing
                ])?;
                if written == 0 {
                    return Ok(Fencing::Fenced);
                }
                if !answer_missing {
                    return Ok(Fencing::Written);
                }
                let patience_began = micros(now).saturating_sub(micros_of(self.times.stuck_after));
                let overdue =
                    tx.prepare_cached(&self.sql.report_missing)?
                        .execute(params![order, step, patience_began])?;
                if overdue == 1 {
                    self.publish_to_saga(tx, now, key, Status::Unresolved, None)?;
                }
            }
            Settlement::Dead { error } => {
                let content: Option<String> = tx
                    .prepare_cached(&self.sql.bury)?
                    .query_row(params![order, step, epoch, error, micros(now)], |row| row.get(0))
                    .optional()?;
                let Some(content) = content else {
                    return Ok(Fencing::Fenced);
                };
                self.outbox.bury(tx, now, &letter_of(key), &content, &error)?;
                self.publish_to_saga(tx, now, key, Status::Unresolved, None)?;
            }
        }
        Ok(Fencing::Written)
    }

    /// Ends whatever claim there is; answers with the new epoch.
    fn fence(&self, tx: &Tx<'_>, key: CommandKey) -> rusqlite::Result<i64> {
        tx.prepare_cached(&self.sql.fence)?
            .query_row(params![key.order_id.get(), key.step.as_str()], |row| row.get(0))
    }

    fn load(&self, tx: &rusqlite::Connection, key: CommandKey) -> rusqlite::Result<Option<Record>> {
        tx.prepare_cached(&self.sql.load)?
            .query_row(params![key.order_id.get(), key.step.as_str()], |row| {
                to_record(key, row)
            })
            .optional()
    }

    fn publish_result(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        key: CommandKey,
        result: StepResult,
    ) -> rusqlite::Result<()> {
        let status = status_of(&result);
        self.publish_to_saga(tx, now, key, status, Some(result))
    }

    fn publish_to_saga(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        key: CommandKey,
        status: Status,
        result: Option<StepResult>,
    ) -> rusqlite::Result<()> {
        self.results
            .map_or(Ok(()), |queue| self.publish(tx, now, queue, key, status, result))
    }

    fn publish(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        queue: Queue,
        key: CommandKey,
        status: Status,
        result: Option<StepResult>,
    ) -> rusqlite::Result<()> {
        let message = message(queue, now, key, status, result);
        self.outbox.put(tx, now, Destination::Queue(queue), encode(&message)?);
        Ok(())
    }
}

fn micros_of(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn encode(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// An open command that is free to be claimed.
struct Found {
    rowid: i64,
    order_id: i64,
    step: String,
    content: String,
    progress: String,
    epoch: i64,
    tries: u32,
}

impl Found {
    /// Whether somebody is at it under its latest claim.
    fn is_in(&self, held: &Held) -> bool {
        let key = key_of(self.order_id, &self.step);
        key.is_some_and(|key| held.get(&key) == Some(&self.epoch))
    }
}

fn to_found(row: &Row<'_>) -> rusqlite::Result<Found> {
    Ok(Found {
        rowid: row.get(0)?,
        order_id: row.get(1)?,
        step: row.get(2)?,
        content: row.get(3)?,
        progress: row.get(4)?,
        epoch: row.get(5)?,
        tries: row.get(6)?,
    })
}

fn to_record(key: CommandKey, row: &Row<'_>) -> rusqlite::Result<Record> {
    let state = State::from_name(&row.get::<_, String>(2)?)
        .ok_or_else(|| bad_column(2, Type::Text, "not the state of a command"))?;
    let result = row
        .get::<_, Option<String>>(3)?
        .map(|text| serde_json::from_str(&text).map_err(|error| bad_column(3, Type::Text, error)))
        .transpose()?;
    Ok(Record {
        key,
        content: row.get(0)?,
        progress: row.get(1)?,
        state,
        result,
    })
}
