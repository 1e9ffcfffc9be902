//! What is under way between services: counts read from a connection that is handed in, so that they fit whatever else is
//! read from the same snapshot. Each looks at what is under way alone, so it is cheap at any time.

use contracts::ServiceName;
use rusqlite::types::Type;
use rusqlite::{Connection, Params};

use super::columns::bad_column;
use crate::outbox::Destination;

/// How many commands of `service` are not at their end. Only services with commands can have any.
///
/// # Errors
/// What SQLite says; for a service without commands, that there is no such table.
pub fn open_commands(connection: &Connection, service: ServiceName) -> rusqlite::Result<u64> {
    // The condition repeats that of the partial index.
    let sql = format!("SELECT count(*) FROM {service}_commands INDEXED BY {service}_commands_due WHERE state = 'open'");
    count(connection, &sql, ())
}

/// How many effects of `service` are on their way to `destination`.
///
/// # Errors
/// What SQLite says; for a service without an outbox, that there is no such table.
pub fn effects_under_way(
    connection: &Connection,
    service: ServiceName,
    destination: Destination,
) -> rusqlite::Result<u64> {
    let sql = format!("SELECT coalesce(sum(messages), 0) FROM {service}_outbox WHERE destination = ?");
    count(connection, &sql, [destination.to_string()])
}

fn count(connection: &Connection, sql: &str, parameters: impl Params) -> rusqlite::Result<u64> {
    let count: i64 = connection
        .prepare_cached(sql)?
        .query_row(parameters, |row| row.get(0))?;
    u64::try_from(count).map_err(|error| bad_column(0, Type::Integer, error))
}
