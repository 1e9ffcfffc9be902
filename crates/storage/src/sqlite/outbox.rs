//! The outbox on SQLite.
//!
//! What one job says to one destination shares a row: most jobs carry the steps of many orders, and a row for each message
//! would cost two entries in two trees to write and as much to remove. A row goes when the fates of all its messages are
//! known; those that did not arrive become rows of their own. Until then its messages may be delivered again after a crash,
//! as any may.

mod open_rows;

use std::time::Duration;

use async_trait::async_trait;
use contracts::ServiceName;
use contracts::time::later;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};
use tokio::sync::mpsc;

use self::open_rows::{MAX_TOGETHER, MessageId, OpenRows};
use super::columns::micros;
use super::{Database, Tx};
use crate::StoreError;
pub use crate::outbox::OutboxRows;
use crate::outbox::{Destination, HAND_OVER, OutboxRow, OutboxStore, Settlement};

/// The tables of an outbox, as a migration of the service that owns it.
///
/// AUTOINCREMENT: an id is never used again, or a late second settlement would delete a newer row.
pub const OUTBOX_SCHEMA: &str = "
CREATE TABLE {service}_outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    destination TEXT NOT NULL,
    payload TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL
) STRICT;
CREATE INDEX {service}_outbox_due ON {service}_outbox (destination, next_attempt_at);
CREATE TABLE {service}_dead_letters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    source TEXT NOT NULL,
    payload TEXT NOT NULL,
    error TEXT NOT NULL,
    died_at INTEGER NOT NULL
) STRICT;
";

/// When a row was written, for those who wonder how long it waits: a migration after [`OUTBOX_SCHEMA`]. Of older rows
/// it is not known.
pub const OUTBOX_TIMES: &str = "
ALTER TABLE {service}_outbox ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
";

/// How many messages a row holds, so that what waits is counted along an index: a migration after [`OUTBOX_TIMES`]. A
/// program that knows of one message a row does not open the database any more.
pub const OUTBOX_TOGETHER: &str = "
ALTER TABLE {service}_outbox ADD COLUMN messages INTEGER NOT NULL DEFAULT 1;
DROP INDEX {service}_outbox_due;
CREATE INDEX {service}_outbox_due ON {service}_outbox (destination, next_attempt_at, messages);
";

/// Parts the messages of a row (RFC 7464): no JSON text contains it.
const SEPARATOR: char = '\u{1e}';

/// A service's outbox. Clones share it.
#[derive(Clone)]
pub struct SqliteOutbox {
    database: Database,
    sql: std::sync::Arc<Statements>,
    committed: mpsc::Sender<OutboxRow>,
    open: std::sync::Arc<OpenRows>,
}

/// What a job says to one destination, until the job ends.
pub(super) struct Envelope {
    outbox: SqliteOutbox,
    now: Timestamp,
    destination: Destination,
    payloads: Vec<String>,
}

struct Statements {
    insert: String,
    due: String,
    postpone: String,
    bring_forward: String,
    delete: String,
    retry: String,
    again: String,
    take: String,
    bury: String,
    count: String,
}

impl SqliteOutbox {
    /// The outbox of `service`, and the rows that leave it after each commit; at most `capacity` of those wait, and
    /// what does not fit is found as due later.
    #[must_use]
    pub fn new(service: ServiceName, database: Database, capacity: usize) -> (Self, OutboxRows) {
        let (committed, rows) = mpsc::channel(capacity);
        let sql = Statements {
            insert: format!(
                "INSERT INTO {service}_outbox (destination, payload, next_attempt_at, created_at, messages)
                 VALUES (?, ?, ?, ?, ?)"
            ),
            due: format!(
                "SELECT id, payload, attempts FROM {service}_outbox
                 WHERE destination = ? AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ?"
            ),
            postpone: format!("UPDATE {service}_outbox SET next_attempt_at = ? WHERE id = ?"),
            bring_forward: format!(
                "UPDATE {service}_outbox SET next_attempt_at = ?1 WHERE destination = ?2 AND next_attempt_at > ?1"
            ),
            delete: format!("DELETE FROM {service}_outbox WHERE id = ?"),
            retry: format!("UPDATE {service}_outbox SET attempts = attempts + 1, next_attempt_at = ? WHERE id = ?"),
            again: format!(
                "INSERT INTO {service}_outbox (destination, payload, attempts, next_attempt_at, created_at)
                 VALUES (?, ?, ?, ?, ?)"
            ),
            take: format!(
                "DELETE FROM {service}_outbox WHERE id = ? RETURNING destination, payload, attempts, created_at"
            ),
            bury: format!("INSERT INTO {service}_dead_letters (source, payload, error, died_at) VALUES (?, ?, ?, ?)"),
            count: format!("SELECT coalesce(sum(messages), 0) FROM {service}_outbox"),
        };
        (
            Self {
                database,
                sql: sql.into(),
                committed,
                open: std::sync::Arc::default(),
            },
            rows,
        )
    }

    /// Stores an effect, JSON, when the job of `tx` ends; after the commit it goes to the dispatcher. Without one, or when
    /// too many wait for it already, it is found as due after [`HAND_OVER`].
    pub fn put(&self, tx: &mut Tx<'_>, now: Timestamp, destination: Destination, payload: String) {
        // A letter that a program buried which did not know of rows with several messages comes back as the several it is.
        let payloads = if payload.contains(SEPARATOR) {
            parted(&payload)
        } else {
            vec![payload]
        };
        for payload in payloads {
            let fits = |envelope: &&mut Envelope| {
                std::sync::Arc::ptr_eq(&envelope.outbox.open, &self.open)
                    && envelope.destination == destination
                    && envelope.payloads.len() < MAX_TOGETHER
            };
            match tx.outgoing.iter_mut().rev().find(fits) {
                Some(envelope) => {
                    envelope.now = envelope.now.max(now);
                    envelope.payloads.push(payload);
                }
                None => tx.outgoing.push(Envelope {
                    outbox: self.clone(),
                    now,
                    destination,
                    payloads: vec![payload],
                }),
            }
        }
    }

    /// Stores a dead letter in `tx`.
    ///
    /// # Errors
    /// What SQLite says; the whole job is rolled back then.
    pub fn bury(&self, tx: &Tx<'_>, now: Timestamp, source: &str, payload: &str, error: &str) -> rusqlite::Result<()> {
        tx.prepare_cached(&self.sql.bury)?
            .execute(params![source, payload, error, micros(now)])?;
        Ok(())
    }
}

/// Stores what a job has to say, at its end.
///
/// # Errors
/// What SQLite says; the whole job is rolled back then.
pub(super) fn store(tx: &mut Tx<'_>) -> rusqlite::Result<()> {
    for envelope in std::mem::take(&mut tx.outgoing) {
        let Envelope {
            outbox,
            now,
            destination,
            payloads,
        } = envelope;
        let together = payloads.join(&SEPARATOR.to_string());
        tx.prepare_cached(&outbox.sql.insert)?.execute(params![
            destination.to_string(),
            together,
            micros(later(now, HAND_OVER)),
            micros(now),
            i64::try_from(payloads.len()).unwrap_or(i64::MAX)
        ])?;
        let row = tx.last_insert_rowid();
        // What does not fit into the channel is not lost: the row is due after `HAND_OVER`.
        tx.once_written(move || {
            for message in messages(row, destination, payloads, 0) {
                if outbox.committed.try_send(message).is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

/// The messages of a row, each under a number of its own.
fn messages(
    row: i64,
    destination: Destination,
    payloads: Vec<String>,
    attempts: u32,
) -> impl Iterator<Item = OutboxRow> {
    let count = payloads.len();
    payloads.into_iter().enumerate().map(move |(place, payload)| OutboxRow {
        id: MessageId { row, place, count }.to_number(),
        destination,
        payload,
        attempts,
    })
}

fn parted(together: &str) -> Vec<String> {
    together.split(SEPARATOR).map(str::to_owned).collect()
}

impl SqliteOutbox {
    /// Writes down what became of all messages of a row.
    fn close(&self, tx: &Tx<'_>, now: Timestamp, row: i64, fates: Vec<Settlement>) -> rusqlite::Result<()> {
        if fates.iter().all(|fate| *fate == Settlement::Delivered) {
            tx.prepare_cached(&self.sql.delete)?.execute([row])?;
            return Ok(());
        }
        if let [Settlement::Retry { at }] = fates[..] {
            tx.prepare_cached(&self.sql.retry)?.execute(params![micros(at), row])?;
            return Ok(());
        }
        let taken: Option<(String, String, u32, i64)> = tx
            .prepare_cached(&self.sql.take)?
            .query_row([row], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        let Some((destination, together, attempts, created_at)) = taken else {
            return Ok(());
        };
        let payloads = parted(&together);
        if payloads.len() != fates.len() {
            // Rather delivered again than lost.
            return Err(rusqlite::Error::StatementChangedRows(payloads.len()));
        }
        for (payload, fate) in payloads.into_iter().zip(fates) {
            match fate {
                Settlement::Delivered => {}
                Settlement::Retry { at } => {
                    let attempts = attempts.saturating_add(1);
                    let again = params![destination, payload, attempts, micros(at), created_at];
                    tx.prepare_cached(&self.sql.again)?.execute(again)?;
                }
                Settlement::Dead { error } => self.bury(tx, now, &destination, &payload, &error)?,
            }
        }
        Ok(())
    }
}

#[async_trait]
impl OutboxStore for SqliteOutbox {
    async fn claim_due(
        &self,
        now: Timestamp,
        destination: Destination,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let sql = self.sql.clone();
        let rows = self
            .database
            .writer()
            .run(move |tx| {
                let mut due = tx.prepare_cached(&sql.due)?;
                let mut found = due.query(params![
                    destination.to_string(),
                    micros(now),
                    i64::try_from(limit).unwrap_or(i64::MAX)
                ])?;
                let (mut rows, mut count) = (Vec::new(), 0);
                while count < limit
                    && let Some(row) = found.next()?
                {
                    let (id, together, attempts): (i64, String, u32) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    let payloads = parted(&together);
                    count += payloads.len();
                    rows.push((id, payloads, attempts));
                }
                drop(found);
                let mut postpone = tx.prepare_cached(&sql.postpone)?;
                for (id, ..) in &rows {
                    postpone.execute(params![micros(later(now, lease)), id])?;
                }
                Ok(rows)
            })
            .await?;
        let messages = rows
            .into_iter()
            .flat_map(|(id, payloads, attempts)| messages(id, destination, payloads, attempts));
        Ok(self.open.without_those_decided(messages))
    }

    async fn settle(&self, now: Timestamp, settlements: Vec<(i64, Settlement)>) -> Result<(), StoreError> {
        let closed = self.open.note(settlements);
        if closed.is_empty() {
            return Ok(());
        }
        let rows: Vec<i64> = closed.iter().map(|(row, _)| *row).collect();
        let outbox = self.clone();
        let job = move |tx: &mut Tx<'_>| {
            closed
                .into_iter()
                .try_for_each(|(row, fates)| outbox.close(tx, now, row, fates))
        };
        self.database.writer().run(job).await?;
        self.open.forget(&rows);
        Ok(())
    }

    async fn bring_forward(&self, now: Timestamp, destination: Destination) -> Result<u64, StoreError> {
        let sql = self.sql.clone();
        let brought = self
            .database
            .writer()
            .run(move |tx| {
                tx.prepare_cached(&sql.bring_forward)?
                    .execute(params![micros(now), destination.to_string()])
            })
            .await?;
        Ok(u64::try_from(brought).unwrap_or(u64::MAX))
    }

    async fn backlog(&self) -> Result<u64, StoreError> {
        let sql = self.sql.clone();
        let count: i64 = self
            .database
            .readers()
            .run(move |connection| connection.query_row(&sql.count, (), |row| row.get(0)))
            .await?;
        Ok(count.unsigned_abs())
    }
}
