//! The command store on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::messages::{FailureCode, Message, Queue, SCHEMA_VERSION, Status, StepResult};
use contracts::time::later;
use contracts::{OrderId, ServiceName};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{OptionalExtension as _, Row, params};

use super::columns::{bad_column, micros};
use super::{Database, SqliteOutbox, Tx};
use crate::StoreError;
use crate::commands::{
    Acceptance, BeyondRecall, Claimed, CommandKey, CommandStore, CommandTimes, Entombment, Fencing, NewCommand, Record,
    Settlement, State,
};
use crate::outbox::Destination;

/// The table of commands, as a migration of the service that owns it. `next_attempt_at` is when an open command is
/// due: the end of its lease while somebody works on it, the end of its pause when it is postponed.
pub const COMMANDS_SCHEMA: &str = "
CREATE TABLE {service}_commands (
    order_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    content TEXT NOT NULL,
    progress TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'done', 'failed', 'dead')),
    epoch INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    answer_missing_since INTEGER,
    missing_reported INTEGER NOT NULL DEFAULT 0,
    last_reason TEXT,
    result TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (order_id, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX {service}_commands_due ON {service}_commands (next_attempt_at) WHERE state = 'open';
";

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

struct Statements {
    insert: String,
    load: String,
    claim: String,
    due: String,
    checkpoint: String,
    finish: String,
    postpone: String,
    report_missing: String,
    fence: String,
    bury: String,
    count: String,
    release: String,
}

impl Statements {
    fn new(service: ServiceName) -> Self {
        let table = format!("{service}_commands");
        Self {
            insert: format!(
                "INSERT INTO {table} (order_id, step, content, progress, state, epoch, next_attempt_at, result,
                 created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)
                 ON CONFLICT DO NOTHING"
            ),
            load: format!("SELECT content, progress, state, result FROM {table} WHERE order_id = ?1 AND step = ?2"),
            // An epoch of 0 was never claimed: its wake-up may come before it is due.
            claim: format!(
                "UPDATE {table} SET epoch = epoch + 1, next_attempt_at = ?3, updated_at = ?4
                 WHERE order_id = ?1 AND step = ?2 AND state = 'open' AND (epoch = 0 OR next_attempt_at <= ?4)
                 RETURNING content, progress, epoch, tries"
            ),
            due: format!(
                "SELECT order_id, step FROM {table} WHERE state = 'open' AND next_attempt_at <= ?1
                 ORDER BY next_attempt_at LIMIT ?2"
            ),
            checkpoint: format!(
                "UPDATE {table} SET progress = ?4, updated_at = ?5
                 WHERE order_id = ?1 AND step = ?2 AND epoch = ?3 AND state = 'open'"
            ),
            finish: format!(
                "UPDATE {table} SET state = ?4, result = ?5, progress = coalesce(?6, progress), updated_at = ?7,
                 answer_missing_since = NULL, last_reason = NULL
                 WHERE order_id = ?1 AND step = ?2 AND epoch = ?3 AND state = 'open'"
            ),
            postpone: format!(
                "UPDATE {table} SET next_attempt_at = ?4, progress = coalesce(?5, progress), updated_at = ?6,
                 last_reason = ?7, tries = tries + 1,
                 answer_missing_since = CASE WHEN ?8 THEN coalesce(answer_missing_since, ?6) END,
                 missing_reported = CASE WHEN ?8 THEN missing_reported ELSE 0 END
                 WHERE order_id = ?1 AND step = ?2 AND epoch = ?3 AND state = 'open'"
            ),
            report_missing: format!(
                "UPDATE {table} SET missing_reported = 1
                 WHERE order_id = ?1 AND step = ?2 AND missing_reported = 0 AND answer_missing_since <= ?3"
            ),
            fence: format!("UPDATE {table} SET epoch = epoch + 1 WHERE order_id = ?1 AND step = ?2 RETURNING epoch"),
            bury: format!(
                "UPDATE {table} SET state = 'dead', last_reason = ?4, updated_at = ?5
                 WHERE order_id = ?1 AND step = ?2 AND epoch = ?3 AND state = 'open'
                 RETURNING content"
            ),
            count: format!("SELECT count(*) FROM {table} WHERE state = 'open'"),
            release: format!("UPDATE {table} SET next_attempt_at = ?1 WHERE state = 'open' AND next_attempt_at > ?1"),
        }
    }
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

    async fn claim(&self, now: Timestamp, keys: Vec<CommandKey>) -> Result<Vec<Claimed>, StoreError> {
        let store = self.clone();
        self.database
            .writer()
            .run(move |tx| {
                keys.into_iter()
                    .filter_map(|key| store.claim_one(tx, now, key).transpose())
                    .collect()
            })
            .await
    }

    async fn claim_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Claimed>, StoreError> {
        let store = self.clone();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.database
            .writer()
            .run(move |tx| {
                let keys = tx
                    .prepare_cached(&store.sql.due)?
                    .query_map(params![micros(now), limit], to_key)?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                keys.into_iter()
                    .filter_map(|key| store.claim_one(tx, now, key).transpose())
                    .collect()
            })
            .await
    }

    async fn checkpoint(
        &self,
        now: Timestamp,
        key: CommandKey,
        epoch: i64,
        progress: String,
    ) -> Result<Fencing, StoreError> {
        let store = self.clone();
        self.database
            .writer()
            .run(move |tx| store.checkpoint_in(tx, now, key, epoch, &progress))
            .await
    }

    async fn settle(
        &self,
        now: Timestamp,
        settlements: Vec<(CommandKey, i64, Settlement)>,
    ) -> Result<Vec<Fencing>, StoreError> {
        let store = self.clone();
        self.database
            .writer()
            .run(move |tx| {
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

    async fn open_count(&self) -> Result<u64, StoreError> {
        let sql = Arc::clone(&self.sql);
        let count: i64 = self
            .database
            .readers()
            .run(move |connection| connection.query_row(&sql.count, (), |row| row.get(0)))
            .await?;
        Ok(count.unsigned_abs())
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
