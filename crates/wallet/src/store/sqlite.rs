//! The wallet's store on SQLite: [`SqliteWallet`] is both ports; [`audit`] reads the facts that the audit checks.

pub mod audit;
mod deposits;
mod orders;
mod reads;
mod rows;

use rusqlite::Connection;
use storage::sqlite::{Database, SqliteOutbox};

/// Orders and deposits on SQLite. Clones share them.
#[derive(Clone)]
pub struct SqliteWallet {
    database: Database,
    outbox: SqliteOutbox,
}

impl SqliteWallet {
    /// The orders and deposits in `database`, whose effects leave through `outbox`.
    #[must_use]
    pub const fn new(database: Database, outbox: SqliteOutbox) -> Self {
        Self { database, outbox }
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

fn encoding(error: serde_json::Error) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(error.into())
}
