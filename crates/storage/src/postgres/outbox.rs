//! The outbox on PostgreSQL: a row for each message, many rows for each statement.
//!
//! Several dispatchers may empty it. Whoever locks rows for more than a moment's look locks them in the order of their
//! numbers, so that no two wait for each other; whoever looks for work passes over what others have locked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::ServiceName;
use contracts::time::later;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::columns::text;
use super::{Database, Tx, TxError};
use crate::StoreError;
use crate::outbox::{Destination, HAND_OVER, OutboxRow, OutboxRows, OutboxStore, Settlement};

/// The tables of an outbox, as a migration of the service that owns it. A sequence never gives a number twice, so a late
/// second settlement cannot hit a newer row.
pub const OUTBOX_SCHEMA: &str = "
CREATE SEQUENCE {service}.outbox_ids;
CREATE TABLE {service}.outbox (
    id bigint PRIMARY KEY DEFAULT nextval('{service}.outbox_ids'),
    destination text NOT NULL,
    payload text NOT NULL,
    attempts bigint NOT NULL DEFAULT 0,
    next_attempt_at bigint NOT NULL,
    created_at bigint NOT NULL
);
CREATE INDEX outbox_due ON {service}.outbox (destination, next_attempt_at);
CREATE TABLE {service}.dead_letters (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    payload text NOT NULL,
    error text NOT NULL,
    died_at bigint NOT NULL,
    replayed_at bigint
);
CREATE INDEX dead_letters_waiting ON {service}.dead_letters (id) WHERE replayed_at IS NULL;
";

/// A service's outbox. Clones share it.
#[derive(Clone)]
pub struct PostgresOutbox {
    database: Database,
    sql: Arc<Statements>,
    committed: mpsc::Sender<OutboxRow>,
}

struct Statements {
    insert: String,
    due: String,
    bring_forward: String,
    lock: String,
    delete: String,
    retry: String,
    bury_rows: String,
    bury: String,
    count: String,
}

/// What a transaction says through one outbox, until it ends.
pub(super) struct Envelope {
    outbox: PostgresOutbox,
    messages: Vec<(Destination, String)>,
    /// Of the messages: their destinations, texts, times of writing and times when they count as lost.
    columns: (Vec<String>, Vec<String>, Vec<i64>, Vec<i64>),
}

impl PostgresOutbox {
    /// The outbox of the service that `database` is of, and the rows that leave it after each commit; at most `capacity` of
    /// those wait, and what does not fit is found as due later.
    #[must_use]
    pub fn new(database: Database, capacity: usize) -> (Self, OutboxRows) {
        let (committed, rows) = mpsc::channel(capacity);
        let sql = Arc::new(Statements::new(database.service()));
        let outbox = Self {
            database,
            sql,
            committed,
        };
        (outbox, rows)
    }

    /// Stores an effect, JSON, when `tx` ends; after the commit it goes to the dispatcher. Without one, or when too many
    /// wait for it already, it is found as due after [`HAND_OVER`].
    pub fn put(&self, tx: &mut Tx, now: Timestamp, destination: Destination, payload: String) {
        let ours = |envelope: &&mut Envelope| Arc::ptr_eq(&envelope.outbox.sql, &self.sql);
        match tx.outgoing.iter_mut().find(ours) {
            Some(envelope) => envelope.add(now, destination, payload),
            None => {
                let mut envelope = Envelope {
                    outbox: self.clone(),
                    messages: Vec::new(),
                    columns: (Vec::new(), Vec::new(), Vec::new(), Vec::new()),
                };
                envelope.add(now, destination, payload);
                tx.outgoing.push(envelope);
            }
        }
    }

    /// Stores a dead letter when `tx` ends.
    pub fn bury(&self, tx: &mut Tx, now: Timestamp, source: &str, payload: &str, error: &str) {
        let [payload, error] = [payload, error].map(|from_outside| text(from_outside.to_owned()));
        tx.write(
            self.sql.bury.as_str(),
            vec![
                Box::new(source.to_owned()),
                Box::new(payload),
                Box::new(error),
                Box::new(now.as_microsecond()),
            ],
            Some(1),
        );
    }

    async fn claim_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        destination: Destination,
        limit: i64,
        lease: Duration,
    ) -> Result<Vec<OutboxRow>, TxError> {
        let (name, until) = (destination.to_string(), later(now, lease).as_microsecond());
        let rows = tx
            .query(&self.sql.due, &[&name, &now.as_microsecond(), &limit, &until])
            .await?;
        let mut rows = rows
            .into_iter()
            .map(|row| {
                Ok(OutboxRow {
                    id: row.try_get(0)?,
                    destination,
                    payload: row.try_get(1)?,
                    attempts: u32::try_from(row.try_get::<_, i64>(2)?).unwrap_or(u32::MAX),
                })
            })
            .collect::<Result<Vec<_>, TxError>>()?;
        // The statement changes rows in whatever order it likes.
        rows.sort_unstable_by_key(|row| row.id);
        Ok(rows)
    }

    async fn settle_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        settlements: &BTreeMap<i64, Settlement>,
    ) -> Result<(), TxError> {
        let ids: Vec<i64> = settlements.keys().copied().collect();
        let (mut delivered, mut again, mut times) = (Vec::new(), Vec::new(), Vec::new());
        let (mut dead, mut errors) = (Vec::new(), Vec::new());
        for (id, settlement) in settlements {
            match settlement {
                Settlement::Delivered => delivered.push(*id),
                Settlement::Retry { at } => {
                    again.push(*id);
                    times.push(at.as_microsecond());
                }
                Settlement::Dead { error } => {
                    dead.push(*id);
                    errors.push(text(error.clone()));
                }
            }
        }
        tx.write(self.sql.lock.as_str(), vec![Box::new(ids)], None);
        if !delivered.is_empty() {
            tx.write(self.sql.delete.as_str(), vec![Box::new(delivered)], None);
        }
        if !again.is_empty() {
            tx.write(self.sql.retry.as_str(), vec![Box::new(again), Box::new(times)], None);
        }
        if !dead.is_empty() {
            tx.write(
                self.sql.bury_rows.as_str(),
                vec![Box::new(dead), Box::new(errors), Box::new(now.as_microsecond())],
                None,
            );
        }
        Ok(())
    }
}

impl Statements {
    fn new(service: ServiceName) -> Self {
        let (outbox, letters) = (format!("{service}.outbox"), format!("{service}.dead_letters"));
        Self {
            // The numbers are drawn before the rows are stored, so that it is certain which message has which.
            insert: format!(
                "WITH fresh AS MATERIALIZED (
                     SELECT nextval('{service}.outbox_ids') AS id, * FROM
                     unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[])
                     WITH ORDINALITY AS message (destination, payload, created_at, due_at, place)),
                 stored AS (
                     INSERT INTO {outbox} (id, destination, payload, created_at, next_attempt_at)
                     SELECT id, destination, payload, created_at, due_at FROM fresh)
                 SELECT id FROM fresh ORDER BY place"
            ),
            due: format!(
                "UPDATE {outbox} SET next_attempt_at = $4 WHERE id = ANY (ARRAY (
                     SELECT id FROM {outbox} WHERE destination = $1 AND next_attempt_at <= $2
                     ORDER BY next_attempt_at, id LIMIT $3 FOR UPDATE SKIP LOCKED))
                 RETURNING id, payload, attempts"
            ),
            bring_forward: format!(
                "WITH brought AS (
                     UPDATE {outbox} SET next_attempt_at = $1 WHERE id = ANY (ARRAY (
                         SELECT id FROM {outbox} WHERE destination = $2 AND next_attempt_at > $1
                         ORDER BY id LIMIT $3 FOR UPDATE))
                     RETURNING id)
                 SELECT count(*) FROM brought"
            ),
            lock: format!("SELECT id FROM {outbox} WHERE id = ANY ($1) ORDER BY id FOR UPDATE"),
            delete: format!("DELETE FROM {outbox} WHERE id = ANY ($1)"),
            retry: format!(
                "UPDATE {outbox} AS row SET attempts = attempts + 1, next_attempt_at = again.at
                 FROM unnest($1::bigint[], $2::bigint[]) AS again (id, at) WHERE row.id = again.id"
            ),
            bury_rows: format!(
                "WITH dead AS (
                     DELETE FROM {outbox} AS row USING unnest($1::bigint[], $2::text[]) AS dead (id, error)
                     WHERE row.id = dead.id RETURNING row.id, row.destination, row.payload, dead.error)
                 INSERT INTO {letters} (source, payload, error, died_at)
                 SELECT destination, payload, error, $3 FROM dead ORDER BY id"
            ),
            bury: format!("INSERT INTO {letters} (source, payload, error, died_at) VALUES ($1, $2, $3, $4)"),
            count: format!("SELECT count(*) FROM {outbox}"),
        }
    }
}

impl Envelope {
    fn add(&mut self, now: Timestamp, destination: Destination, payload: String) {
        let (destinations, payloads, written, due) = &mut self.columns;
        destinations.push(destination.to_string());
        payloads.push(payload.clone());
        written.push(now.as_microsecond());
        due.push(later(now, HAND_OVER).as_microsecond());
        self.messages.push((destination, payload));
    }

    pub(super) fn sql(&self) -> &str {
        &self.outbox.sql.insert
    }

    pub(super) async fn insert(
        &self,
        connection: &deadpool_postgres::Object,
        statement: &Statement,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let (destinations, payloads, written, due) = &self.columns;
        connection
            .query(statement, &[destinations, payloads, written, due])
            .await
    }

    /// What is to be done with the stored rows after the commit.
    pub(super) fn hand_over(self, rows: &[Row]) -> Result<impl FnOnce() + Send + 'static, TxError> {
        let Self { outbox, messages, .. } = self;
        if rows.len() != messages.len() {
            return Err(TxError::Value("not every message was stored".to_owned()));
        }
        let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
        Ok(move || {
            for (id, (destination, payload)) in ids.into_iter().zip(messages) {
                let row = OutboxRow {
                    id,
                    destination,
                    payload,
                    attempts: 0,
                };
                // What does not fit into the channel is not lost: the row is due after `HAND_OVER`.
                if outbox.committed.try_send(row).is_err() {
                    return;
                }
            }
        })
    }
}

#[async_trait]
impl OutboxStore for PostgresOutbox {
    async fn claim_due(
        &self,
        now: Timestamp,
        destination: Destination,
        limit: usize,
        lease: Duration,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        crate::in_transaction!(self.database, tx => self.claim_in(&mut tx, now, destination, limit, lease))
    }

    async fn settle(&self, now: Timestamp, settlements: Vec<(i64, Settlement)>) -> Result<(), StoreError> {
        if settlements.is_empty() {
            return Ok(());
        }
        // Of one that is told of twice, the last word counts.
        let settlements = settlements.into_iter().collect();
        crate::in_transaction!(self.database, tx => self.settle_in(&mut tx, now, &settlements))
    }

    async fn bring_forward(&self, now: Timestamp, destination: Destination) -> Result<u64, StoreError> {
        let (now, destination) = (now.as_microsecond(), destination.to_string());
        in_turns(&self.database, &self.sql.bring_forward, &[&now, &destination]).await
    }

    async fn backlog(&self) -> Result<u64, StoreError> {
        let rows = self.database.query(&self.sql.count, &[]).await?;
        Ok(count(&rows)?)
    }
}

/// The most rows that one statement brings forward: few enough for it to end in time, however long the backlog is.
const TURN: i64 = 1_000;

/// Runs a statement that changes at most as many rows as its last parameter says, and counts them, until none is left. What
/// it has done stays done when a later turn fails.
///
/// # Errors
/// What the database says.
pub async fn in_turns(database: &Database, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<u64, StoreError> {
    let params: Vec<_> = params.iter().copied().chain([&TURN as &(dyn ToSql + Sync)]).collect();
    let mut all = 0;
    loop {
        let changed = count(&database.query(sql, &params).await?)?;
        all += changed;
        if changed < TURN.unsigned_abs() {
            return Ok(all);
        }
    }
}

/// The number in the first column of the only row.
pub(super) fn count(rows: &[Row]) -> Result<u64, TxError> {
    let row = rows
        .first()
        .ok_or_else(|| TxError::Value("nothing was counted".to_owned()))?;
    Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
}
