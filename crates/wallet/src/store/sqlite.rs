//! The wallet's store on SQLite: [`SqliteWallet`] is all its ports; [`audit`] reads the facts that the audit checks.

mod accept;
pub mod audit;
mod deposits;
mod freezes;
mod keys;
mod moves;
mod operators;
mod orders;
mod reads;
mod rows;
mod survey;

pub use self::survey::SagaSurvey;

use std::time::Duration;

use contracts::time::later;
use contracts::{OrderId, ServiceName};
use jiff::Timestamp;
use rusqlite::{Connection, params};
use storage::sqlite::{Acts, Database, Desk, SqliteOutbox, micros};

use self::freezes::FrozenUsers;
use crate::domain::Order;
use crate::ports::{Advanced, Placement};

/// How long a row that this program cannot read is left aside. Nobody else is at work on this database: the newer program
/// that wrote it comes by a new start, and then all is due at once.
const LEFT_ASIDE: Duration = Duration::from_secs(60 * 60);

/// Orders, deposits, freezes and keys on SQLite. Clones share them; a database has one, and its clones.
#[derive(Clone)]
pub struct SqliteWallet {
    database: Database,
    outbox: SqliteOutbox,
    acts: Acts,
    frozen: FrozenUsers,
    accepting: Desk<accept::Call, Vec<Placement<Box<Order>, OrderId>>>,
    moving: Desk<moves::Call, Vec<Advanced>>,
}

impl SqliteWallet {
    /// The orders and deposits in `database`, whose effects leave through `outbox`.
    #[must_use]
    pub fn new(database: Database, outbox: SqliteOutbox) -> Self {
        let (of_new, of_moved) = (outbox.clone(), outbox.clone());
        Self {
            accepting: Desk::new(database.clone(), move |tx, calls| accept::accept(&of_new, tx, calls)),
            moving: Desk::new(database.clone(), move |tx, calls| moves::move_all(&of_moved, tx, calls)),
            database,
            outbox,
            acts: Acts::new(ServiceName::Wallet),
            frozen: FrozenUsers::default(),
        }
    }
}

/// A bound on rows as SQLite takes it.
fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Whatever a statement finds, row by row.
fn collect<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare_cached(sql)?.query_map(params, read)?.collect()
}

/// Whether a row stands for something that this program does not know: a newer one wrote it.
const fn is_unreadable(error: &rusqlite::Error) -> bool {
    matches!(error, rusqlite::Error::FromSqlConversionFailure(..))
}

/// Like [`collect`], for sweeps: a row that cannot be read is left aside with `postpone` (its id, a time) instead
/// of keeping its neighbours from being found. Its first column is its id.
fn collect_readable<T>(
    connection: &Connection,
    sql: &str,
    (now, limit): (Timestamp, usize),
    postpone: &str,
    mut read: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![micros(now), limit_of(limit)])?;
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        match read(row) {
            Ok(item) => readable.push(item),
            Err(error) if is_unreadable(&error) => unreadable.push((row.get::<_, i64>(0)?, error)),
            Err(error) => return Err(error),
        }
    }
    for (id, error) in unreadable {
        tracing::error!(id, %error, "a row cannot be read by this program; it is left to the newer one that wrote it");
        let until = later(now, LEFT_ASIDE);
        connection
            .prepare_cached(postpone)?
            .execute(params![id, micros(until)])?;
    }
    Ok(readable)
}

fn encoding(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}
