//! What waits for a person: counts for an auditor, read from a connection that is handed in, so that they fit whatever
//! else is read from the same snapshot.

use contracts::ServiceName;
use rusqlite::Connection;

use super::columns::bad_column;
use crate::commands::State;

/// How many dead letters `service` has: messages that nobody could make sense of. They stay until a person has looked.
/// Only services with an outbox ([`super::OUTBOX_SCHEMA`]) can have any.
///
/// # Errors
/// What SQLite says; for a service without an outbox, that there is no such table.
pub fn dead_letters(connection: &Connection, service: ServiceName) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {service}_dead_letters");
    count(connection, &sql, ())
}

/// How many commands of `service` are [`State::Dead`]: they cannot be worked on until a person has looked. Only services
/// with commands ([`super::COMMANDS_SCHEMA`]) can have any. Reads the whole table: for auditors, not for the order path.
///
/// # Errors
/// What SQLite says; for a service without commands, that there is no such table.
pub fn dead_commands(connection: &Connection, service: ServiceName) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {service}_commands WHERE state = ?");
    count(connection, &sql, [State::Dead.as_str()])
}

fn count(connection: &Connection, sql: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<u64> {
    let count: i64 = connection
        .prepare_cached(sql)?
        .query_row(parameters, |row| row.get(0))?;
    u64::try_from(count).map_err(|error| bad_column(0, rusqlite::types::Type::Integer, error))
}
