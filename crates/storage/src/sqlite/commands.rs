//! The command store on SQLite: what happens to one command inside a transaction. [`port`] has the verbs over
//! batches, [`statements`] the SQL.

mod port;
mod statements;

use std::sync::Arc;

use contracts::messages::{Message, Queue, SCHEMA_VERSION, Status, StepResult};
use contracts::time::later;
use contracts::{OrderId, ServiceName};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row, params};

pub use self::statements::COMMANDS_SCHEMA;
use self::statements::Statements;
use super::columns::{bad_column, micros};
use super::{Database, SqliteOutbox, Tx};
use crate::commands::{Acceptance, Claimed, CommandKey, CommandTimes, Fencing, NewCommand, Record, Settlement, State};
use crate::outbox::Destination;

/// A service's commands on SQLite. Clones share it.
#[derive(Clone)]
pub struct SqliteCommands {
    database: Database,
    outbox: SqliteOutbox,
    queue: Queue,
    results: Option<Queue>,
    times: CommandTimes,
    sql: Arc<Statements>,
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
        Self {
            database,
            outbox,
            queue,
            results,
            times,
            sql: Arc::new(Statements::new(service)),
        }
    }

    /// [`CommandStore::checkpoint`] inside a transaction of the service's own store, for what must be stored
    /// together with the progress.
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
        let written = tx.prepare_cached(&self.sql.checkpoint)?.execute(params![
            key.order_id.get(),
            key.step.as_str(),
            epoch,
            progress,
            micros(now)
        ])?;
        Ok(if written == 1 {
            Fencing::Written
        } else {
            Fencing::Fenced
        })
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
        let Some(record) = self.load(tx, key)? else {
            return Err(rusqlite::Error::QueryReturnedNoRows);
        };
        if record.content != content {
            return Ok(Acceptance::Conflict);
        }
        match (record.state, record.result) {
            (State::Open, _) => self.publish(tx, now, self.queue, key, Status::Accepted, None)?,
            (State::Done | State::Failed, Some(result)) => self.publish_result(tx, now, key, result)?,
            // Dead, which an operator has to look at: asking again changes nothing.
            (State::Done | State::Failed | State::Dead, _) => {}
        }
        Ok(Acceptance::Known)
    }

    fn claim_one(&self, tx: &Tx<'_>, now: Timestamp, key: CommandKey) -> rusqlite::Result<Option<Claimed>> {
        let lease_until = later(now, self.times.lease);
        tx.prepare_cached(&self.sql.claim)?
            .query_row(
                params![key.order_id.get(), key.step.as_str(), micros(lease_until), micros(now)],
                |row| {
                    Ok(Claimed {
                        key,
                        content: row.get(0)?,
                        progress: row.get(1)?,
                        epoch: row.get(2)?,
                        tries: row.get(3)?,
                        lease_until,
                    })
                },
            )
            .optional()
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
                self.outbox
                    .bury(tx, now, &format!("command:{order}:{step}"), &content, &error)?;
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
        let status = if end_of(&result) == State::Failed {
            Status::Failed
        } else {
            Status::Done
        };
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
        let message = Message {
            message_id: format!("{}-{}-{}-{}", queue, key.order_id, key.step, micros(now)),
            order_id: key.order_id,
            step: key.step,
            status,
            schema_version: SCHEMA_VERSION,
            occurred_at: now,
            traceparent: None,
            result,
        };
        self.outbox.put(tx, now, Destination::Queue(queue), encode(&message)?)
    }
}

fn end_of(result: &StepResult) -> State {
    match result {
        StepResult::Failure { .. } => State::Failed,
        StepResult::Traded(_) | StepResult::Transferred { .. } | StepResult::Reversed | StepResult::Notified => {
            State::Done
        }
    }
}

fn micros_of(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn encode(value: &impl serde::Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

fn to_key(row: &Row<'_>) -> rusqlite::Result<CommandKey> {
    let order_id = OrderId::try_new(row.get(0)?).map_err(|error| bad_column(0, Type::Integer, error))?;
    let step = row
        .get::<_, String>(1)?
        .parse()
        .map_err(|error| bad_column(1, Type::Text, error))?;
    Ok(CommandKey { order_id, step })
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
