//! Applying migrations to SQLite, and checking that none is missing.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

use super::columns::micros;
use crate::migrations::{self, Migration, Migrations, SchemaError, none_missing};

const TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_migrations (
    service TEXT NOT NULL, number INTEGER NOT NULL, name TEXT NOT NULL, checksum TEXT NOT NULL,
    applied_at INTEGER NOT NULL, PRIMARY KEY (service, number)) STRICT, WITHOUT ROWID";

/// Applies what is missing, in one transaction: all or nothing. Returns what it applied. Applying twice, or two at
/// once, is safe.
///
/// # Errors
/// [`SchemaError::Ahead`] or [`SchemaError::Edited`] for a database that another version made, before anything is
/// changed; [`SchemaError::Database`].
pub fn migrate(
    connection: &mut Connection,
    services: &[Migrations],
    now: Timestamp,
) -> Result<Vec<Migration>, SchemaError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute_batch(TABLE)?;
    let missing = missing(&tx, services)?;
    for migration in &missing {
        tx.execute_batch(&migration.sql)?;
        tx.execute(
            "INSERT INTO schema_migrations (service, number, name, checksum, applied_at) VALUES (?, ?, ?, ?, ?)",
            params![
                migration.service.as_str(),
                migration.number,
                migration.name,
                migration.checksum(),
                micros(now)
            ],
        )?;
    }
    tx.commit()?;
    Ok(missing)
}

/// Makes sure that of these services exactly these migrations are applied. Other services in the same database are
/// none of its business.
///
/// # Errors
/// [`SchemaError`] says which one is missing, unknown or different.
pub fn check(connection: &Connection, services: &[Migrations]) -> Result<(), SchemaError> {
    let exists = connection
        .prepare("SELECT 1 FROM sqlite_schema WHERE name = 'schema_migrations'")?
        .exists(())?;
    let missing = if exists {
        missing(connection, services)?
    } else {
        services
            .iter()
            .flat_map(|service| service.list().iter().cloned())
            .collect()
    };
    none_missing(&missing)
}

fn missing(connection: &Connection, services: &[Migrations]) -> Result<Vec<Migration>, SchemaError> {
    let mut applied = BTreeMap::new();
    let mut statement = connection.prepare("SELECT service, number, checksum FROM schema_migrations")?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        applied.insert(
            (row.get::<_, String>(0)?, row.get::<_, u32>(1)?),
            row.get::<_, String>(2)?,
        );
    }
    migrations::missing(applied, services)
}

impl From<rusqlite::Error> for SchemaError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.to_string())
    }
}
