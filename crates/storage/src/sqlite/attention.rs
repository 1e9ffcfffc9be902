//! What waits for a person: counts for an auditor, read from a connection that is handed in, so that they fit whatever
//! else is read from the same snapshot.

use contracts::ServiceName;
use rusqlite::Connection;

use super::columns::bad_column;

/// How many dead letters `service` has that wait for a person: messages that nobody could make sense of. Only services
/// with an outbox ([`super::OUTBOX_SCHEMA`], [`super::OPERATORS_SCHEMA`]) can have any.
///
/// # Errors
/// What SQLite says; for a service without an outbox, that there is no such table.
pub fn dead_letters(connection: &Connection, service: ServiceName) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {service}_dead_letters WHERE replayed_at IS NULL");
    count(connection, &sql)
}

/// How many commands of `service` are [`State::Dead`](crate::commands::State::Dead): they cannot be worked on until a person has looked. Only services
/// with commands ([`super::COMMANDS_SCHEMA`], [`super::DEAD_COMMANDS_INDEX`]) can have any.
///
/// # Errors
/// What SQLite says; for a service without commands, that there is no such table.
pub fn dead_commands(connection: &Connection, service: ServiceName) -> rusqlite::Result<u64> {
    // Spelled out: a parameter would not find the index.
    let sql = format!("SELECT count(*) FROM {service}_commands WHERE state = 'dead'");
    count(connection, &sql)
}

fn count(connection: &Connection, sql: &str) -> rusqlite::Result<u64> {
    let count: i64 = connection.prepare_cached(sql)?.query_row((), |row| row.get(0))?;
    u64::try_from(count).map_err(|error| bad_column(0, rusqlite::types::Type::Integer, error))
}
