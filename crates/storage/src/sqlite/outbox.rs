//! The outbox on SQLite.

use std::time::Duration;

use async_trait::async_trait;
use contracts::ServiceName;
use contracts::time::later;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};
use tokio::sync::mpsc;

use super::columns::micros;
use super::{Database, Tx};
use crate::StoreError;
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

/// Rows whose transaction is on disk, on their way to the dispatcher.
pub type OutboxRows = mpsc::Receiver<OutboxRow>;

/// A service's outbox. Clones share it.
#[derive(Clone)]
pub struct SqliteOutbox {
    database: Database,
    sql: std::sync::Arc<Statements>,
    committed: mpsc::Sender<OutboxRow>,
}

struct Statements {
    insert: String,
    due: String,
    postpone: String,
    bring_forward: String,
    delete: String,
    retry: String,
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
                "INSERT INTO {service}_outbox (destination, payload, next_attempt_at, created_at) VALUES (?, ?, ?, ?)"
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
            take: format!("DELETE FROM {service}_outbox WHERE id = ? RETURNING destination, payload"),
            bury: format!("INSERT INTO {service}_dead_letters (source, payload, error, died_at) VALUES (?, ?, ?, ?)"),
            count: format!("SELECT count(*) FROM {service}_outbox"),
        };
        (
            Self {
                database,
                sql: sql.into(),
                committed,
            },
            rows,
        )
    }

    /// Stores an effect in `tx`; after the commit it goes to the dispatcher. Without one, or when too many rows wait for
    /// it already, the row is found as due after [`HAND_OVER`].
    ///
    /// # Errors
    /// What SQLite says; the whole job is rolled back then.
    pub fn put(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        destination: Destination,
        payload: String,
    ) -> rusqlite::Result<()> {
        tx.prepare_cached(&self.sql.insert)?.execute(params![
            destination.to_string(),
            payload,
            micros(later(now, HAND_OVER)),
            micros(now)
        ])?;
        let row = OutboxRow {
            id: tx.last_insert_rowid(),
            destination,
            payload,
            attempts: 0,
        };
        let committed = self.committed.clone();
        // A full channel loses nothing: the row is due after `HAND_OVER`.
        tx.after_commit(move || drop(committed.try_send(row)));
        Ok(())
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
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.database
            .writer()
            .run(move |tx| {
                let rows = tx
                    .prepare_cached(&sql.due)?
                    .query_map(params![destination.to_string(), micros(now), limit], |row| {
                        Ok(OutboxRow {
                            id: row.get(0)?,
                            destination,
                            payload: row.get(1)?,
                            attempts: row.get(2)?,
                        })
                    })?
                    .collect::<rusqlite::Result<Vec<_>>>()?;
                let mut postpone = tx.prepare_cached(&sql.postpone)?;
                for row in &rows {
                    postpone.execute(params![micros(later(now, lease)), row.id])?;
                }
                Ok(rows)
            })
            .await
    }

    async fn settle(&self, now: Timestamp, settlements: Vec<(i64, Settlement)>) -> Result<(), StoreError> {
        let outbox = self.clone();
        self.database
            .writer()
            .run(move |tx| {
                let mut delete = tx.prepare_cached(&outbox.sql.delete)?;
                let mut retry = tx.prepare_cached(&outbox.sql.retry)?;
                for (id, settlement) in settlements {
                    match settlement {
                        Settlement::Delivered => {
                            delete.execute([id])?;
                        }
                        Settlement::Retry { at } => {
                            retry.execute(params![micros(at), id])?;
                        }
                        Settlement::Dead { error } => {
                            let taken: Option<(String, String)> = tx
                                .prepare_cached(&outbox.sql.take)?
                                .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
                                .optional()?;
                            if let Some((destination, payload)) = taken {
                                outbox.bury(tx, now, &destination, &payload, &error)?;
                            }
                        }
                    }
                }
                Ok(())
            })
            .await
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
