//! How outboxes and commands stand, for whoever watches: read from a connection that is handed in, in queries that
//! follow an index and look at no more than [`SURVEYED`] rows each, however much waits.

use contracts::ServiceName;
use rusqlite::Connection;

use super::columns::from_micros;
use crate::survey::{CommandsSurvey, OutboxSurvey, SURVEYED, by_source};

/// What waits in the outbox of `service`, which has one. A row of a destination that this program does not know (a newer
/// one wrote it) is left out.
///
/// # Errors
/// What SQLite says.
pub fn survey_outbox(connection: &Connection, service: ServiceName) -> rusqlite::Result<OutboxSurvey> {
    let outbox = format!("{service}_outbox");
    let counted = format!(
        "SELECT destination, sum(messages) FROM
         (SELECT destination, messages FROM {outbox} INDEXED BY {outbox}_due ORDER BY destination
          LIMIT {SURVEYED})
         GROUP BY destination"
    );
    // The lowest number is the oldest row.
    let oldest = format!(
        "SELECT created_at FROM {outbox} WHERE id =
         (SELECT min(id) FROM (SELECT id FROM {outbox} INDEXED BY {outbox}_due WHERE destination = ?1 LIMIT {SURVEYED}))"
    );
    let counts = connection
        .prepare_cached(&counted)?
        .query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut waiting = Vec::with_capacity(counts.len());
    for (name, rows) in counts {
        let Ok(destination) = name.parse() else { continue };
        let since: i64 = connection
            .prepare_cached(&oldest)?
            .query_row([&name], |row| row.get(0))?;
        // Zero: written by a program that did not say.
        let since = (since > 0).then(|| from_micros(0, since)).transpose()?;
        waiting.push((destination, rows.unsigned_abs(), since));
    }
    Ok(OutboxSurvey {
        waiting,
        dead: dead_letters_by_source(connection, service)?,
    })
}

fn dead_letters_by_source(connection: &Connection, service: ServiceName) -> rusqlite::Result<[(&'static str, u64); 4]> {
    let sql = format!("SELECT source FROM {service}_dead_letters WHERE replayed_at IS NULL LIMIT {SURVEYED}");
    let mut statement = connection.prepare_cached(&sql)?;
    let sources = statement.query_map((), |row| row.get::<_, String>(0))?;
    let sources = sources.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(by_source(sources.iter().map(String::as_str)))
}

/// How the commands of `service` stand, which has some.
///
/// # Errors
/// What SQLite says.
pub fn survey_commands(connection: &Connection, service: ServiceName) -> rusqlite::Result<CommandsSurvey> {
    let commands = format!("{service}_commands");
    let open = format!(
        "SELECT count(*), count(answer_missing_since), min(created_at) FROM
         (SELECT answer_missing_since, created_at FROM {commands} INDEXED BY {commands}_due WHERE state = 'open'
          LIMIT {SURVEYED})"
    );
    let (open, answer_missing, oldest): (i64, i64, Option<i64>) = connection
        .prepare_cached(&open)?
        .query_row((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(CommandsSurvey {
        open: open.unsigned_abs(),
        answer_missing: answer_missing.unsigned_abs(),
        dead: super::dead_commands(connection, service)?,
        oldest: oldest.map(|micros| from_micros(2, micros)).transpose()?,
    })
}
