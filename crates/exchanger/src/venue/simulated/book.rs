//! The venue's own books: its orders, on disk.

use std::sync::Arc;
use std::time::Duration;

use contracts::Clock;
use contracts::time::later;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use storage::StoreError;
use storage::sqlite::{Database, Desk, bad_column, from_micros, micros};

use crate::ports::{Answer, ClientOrderId, Fill, VenueOrder};

/// The venue's only table, as it was first made. An order is there from its execution (or refusal) on, and never changes.
pub(super) const SCHEMA: &str = "
CREATE TABLE simulated_venue_orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    client_order_id TEXT NOT NULL UNIQUE,
    side TEXT NOT NULL CHECK (side IN ('buy', 'sell')),
    rejection TEXT,
    fills TEXT NOT NULL,
    placed_at INTEGER NOT NULL,
    visible_from INTEGER NOT NULL
) STRICT;
";

/// Orders never go, so no number is used twice; SQLite need not remember the highest in a table of its own.
pub(super) const NUMBERED_BY_ITSELF: &str = "
CREATE TABLE simulated_venue_book (
    number INTEGER PRIMARY KEY,
    client_order_id TEXT NOT NULL UNIQUE,
    side TEXT NOT NULL CHECK (side = 'buy' OR side = 'sell'),
    rejection TEXT,
    fills TEXT NOT NULL,
    placed_at INTEGER NOT NULL,
    visible_from INTEGER NOT NULL
) STRICT;
INSERT INTO simulated_venue_book SELECT * FROM simulated_venue_orders ORDER BY number;
DROP TABLE simulated_venue_orders;
ALTER TABLE simulated_venue_book RENAME TO simulated_venue_orders;
";

const INSERT: &str = "INSERT INTO simulated_venue_orders
    (client_order_id, side, rejection, fills, placed_at, visible_from) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT (client_order_id) DO NOTHING";
const LOAD: &str = "SELECT rejection, fills, visible_from FROM simulated_venue_orders WHERE client_order_id = ?";
const EXECUTIONS: &str = "SELECT number, client_order_id, fills, placed_at FROM simulated_venue_orders
    WHERE number > ? AND rejection IS NULL ORDER BY number LIMIT ?";

/// How an order ended.
#[derive(Clone)]
pub(super) enum Entry {
    /// It was executed, as far as it could.
    Done(Vec<Fill>),
    /// It was refused.
    Rejected(String),
}

impl From<Entry> for Answer {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Done(fills) => Self::Done(fills),
            Entry::Rejected(reason) => Self::Rejected { reason },
        }
    }
}

/// An order at the door.
pub(super) struct Arrival {
    pub(super) order: VenueOrder,
    /// What becomes of it if its name is free and its time not over.
    pub(super) entry: Entry,
    /// For how long nobody is told of it.
    pub(super) hidden_for: Duration,
}

/// An order that the venue has executed, from its own statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// The venue's number, ascending in the order of execution.
    pub number: i64,
    /// Our name for it.
    pub client_order_id: ClientOrderId,
    /// What was filled; empty if nothing was.
    pub fills: Vec<Fill>,
    /// When.
    pub executed_at: Timestamp,
}

/// The books. Clones share them.
#[derive(Clone)]
pub(super) struct Book {
    database: Database,
    door: Desk<Arrival, Answer>,
}

impl Book {
    pub(super) fn new(database: Database, clock: Arc<dyn Clock>) -> Self {
        let door = Desk::new(database.clone(), move |tx, arrivals: &[Arc<Arrival>]| {
            // Looked at here and not before: what waited in a queue until it expired is not executed.
            let now = clock.now();
            arrivals.iter().map(|arrival| enter(tx, now, arrival)).collect()
        });
        Self { database, door }
    }

    pub(super) const fn database(&self) -> &Database {
        &self.database
    }

    /// Enters what becomes of an order, unless its name is taken: then that order is the answer. Expired orders are
    /// turned away at the door and leave no trace. In one transaction with whoever comes at the same time.
    pub(super) async fn enter(&self, arrival: Arrival) -> Result<Answer, StoreError> {
        self.door.bring(arrival).await
    }

    /// What the books show of an order at `now`.
    pub(super) async fn find(&self, id: ClientOrderId, now: Timestamp) -> Result<Answer, StoreError> {
        let found = self
            .database
            .readers()
            .look_up(|connection| load(connection, &id.to_string()))
            .await?;
        Ok(found
            .filter(|(_, visible_from)| *visible_from <= now)
            .map_or(Answer::NotFound { at: now }, |(answer, _)| answer))
    }

    /// See [`super::SimulatedVenue::executions`].
    pub(super) async fn executions(&self, after: i64, limit: usize) -> Result<Vec<Execution>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.database
            .readers()
            .run(move |connection| {
                connection
                    .prepare_cached(EXECUTIONS)?
                    .query_map(params![after, limit], to_execution)?
                    .collect()
            })
            .await
    }
}

fn enter(connection: &Connection, now: Timestamp, arrival: &Arrival) -> rusqlite::Result<Answer> {
    let Arrival { order, entry, .. } = arrival;
    let name = order.client_order_id.to_string();
    if now < order.expires_at {
        let (rejection, fills) = match entry {
            Entry::Done(fills) => (None, fills.as_slice()),
            Entry::Rejected(reason) => (Some(reason), &[][..]),
        };
        let entered = connection.prepare_cached(INSERT)?.execute(params![
            name,
            order.side.as_str(),
            rejection,
            to_json(fills)?,
            micros(now),
            micros(later(now, arrival.hidden_for)),
        ])?;
        if entered == 1 {
            return Ok(entry.clone().into());
        }
    }
    let known = load(connection, &name)?.map(|(answer, _)| answer);
    Ok(known.unwrap_or_else(|| Answer::Rejected {
        reason: "the order has expired".to_owned(),
    }))
}

fn load(connection: &Connection, name: &str) -> rusqlite::Result<Option<(Answer, Timestamp)>> {
    connection
        .prepare_cached(LOAD)?
        .query_row([name], |row| {
            let answer = match row.get::<_, Option<String>>(0)? {
                Some(reason) => Answer::Rejected { reason },
                None => Answer::Done(fills(row, 1)?),
            };
            Ok((answer, from_micros(2, row.get(2)?)?))
        })
        .optional()
}

fn to_execution(row: &Row<'_>) -> rusqlite::Result<Execution> {
    let id: String = row.get(1)?;
    Ok(Execution {
        number: row.get(0)?,
        client_order_id: id.parse().map_err(|error| bad_column(1, Type::Text, error))?,
        fills: fills(row, 2)?,
        executed_at: from_micros(3, row.get(3)?)?,
    })
}

fn fills(row: &Row<'_>, column: usize) -> rusqlite::Result<Vec<Fill>> {
    let json: String = row.get(column)?;
    serde_json::from_str(&json).map_err(|error| bad_column(column, Type::Text, error))
}

fn to_json(fills: &[Fill]) -> rusqlite::Result<String> {
    serde_json::to_string(fills).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}
