//! The venue's own books: its orders, on disk.

use std::sync::Arc;
use std::time::Duration;

use contracts::Clock;
use contracts::time::later;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use storage::StoreError;
use storage::sqlite::{Database, bad_column, from_micros, micros};

use crate::ports::{Answer, ClientOrderId, Fill, VenueOrder};

/// The venue's only table. An order is there from its execution (or refusal) on, and never changes.
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

const INSERT: &str = "INSERT INTO simulated_venue_orders
    (client_order_id, side, rejection, fills, placed_at, visible_from) VALUES (?, ?, ?, ?, ?, ?)";
const LOAD: &str = "SELECT rejection, fills, visible_from FROM simulated_venue_orders WHERE client_order_id = ?";
const EXECUTIONS: &str = "SELECT number, client_order_id, fills, placed_at FROM simulated_venue_orders
    WHERE number > ? AND rejection IS NULL ORDER BY number LIMIT ?";

/// How an order ended.
pub(super) enum Entry {
    /// It was executed, as far as it could.
    Done(Vec<Fill>),
    /// It was refused.
    Rejected(String),
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
}

impl Book {
    pub(super) const fn new(database: Database) -> Self {
        Self { database }
    }

    /// Enters what becomes of an order, unless its name is taken: then that order is the answer. Expired orders are
    /// turned away at the door and leave no trace. One transaction.
    pub(super) async fn enter(
        &self,
        order: VenueOrder,
        clock: Arc<dyn Clock>,
        hidden_for: Duration,
        entry: impl FnOnce() -> Entry + Send + 'static,
    ) -> Result<Answer, StoreError> {
        let enter = move |connection: &Connection| {
            if let Some((answer, _)) = load(connection, order.client_order_id)? {
                return Ok(answer);
            }
            // Looked at here and not before: what waited in a queue until it expired is not executed.
            let now = clock.now();
            if now >= order.expires_at {
                return Ok(Answer::Rejected {
                    reason: "the order has expired".to_owned(),
                });
            }
            let (answer, rejection, fills) = match entry() {
                Entry::Done(fills) => (Answer::Done(fills.clone()), None, fills),
                Entry::Rejected(reason) => (Answer::Rejected { reason: reason.clone() }, Some(reason), Vec::new()),
            };
            connection.prepare_cached(INSERT)?.execute(params![
                order.client_order_id.to_string(),
                order.side.as_str(),
                rejection,
                to_json(&fills)?,
                micros(now),
                micros(later(now, hidden_for)),
            ])?;
            Ok(answer)
        };
        self.database.writer().run(move |tx| enter(tx)).await
    }

    /// What the books show of an order at `now`.
    pub(super) async fn find(&self, id: ClientOrderId, now: Timestamp) -> Result<Answer, StoreError> {
        let found = self
            .database
            .readers()
            .run(move |connection| load(connection, id))
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

fn load(connection: &Connection, id: ClientOrderId) -> rusqlite::Result<Option<(Answer, Timestamp)>> {
    connection
        .prepare_cached(LOAD)?
        .query_row([id.to_string()], |row| {
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
