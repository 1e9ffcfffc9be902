//! The acts of operators on SQLite: one table a service, written in the transaction of what an act changes.

use contracts::ServiceName;
use contracts::operators::{Act, Instruction};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::columns::{from_micros, micros};

/// The table of acts, and the mark of letters that were sent again: a migration after [`super::OUTBOX_SCHEMA`].
///
/// `once` names an act that must not be done twice with different content.
pub const OPERATORS_SCHEMA: &str = "
CREATE TABLE {service}_operator_acts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time INTEGER NOT NULL,
    operator TEXT NOT NULL,
    verb TEXT NOT NULL,
    subject TEXT NOT NULL,
    reason TEXT NOT NULL,
    content TEXT,
    once TEXT
) STRICT;
CREATE INDEX {service}_operator_acts_subject ON {service}_operator_acts (subject);
CREATE UNIQUE INDEX {service}_operator_acts_once ON {service}_operator_acts (once) WHERE once IS NOT NULL;
ALTER TABLE {service}_dead_letters ADD COLUMN replayed_at INTEGER;
CREATE INDEX {service}_dead_letters_waiting ON {service}_dead_letters (id) WHERE replayed_at IS NULL;
";

/// The acts of operators on one service, inside its transactions. Clones are the same.
#[derive(Debug, Clone)]
pub struct Acts(std::sync::Arc<Statements>);

#[derive(Debug)]
struct Statements {
    insert: String,
    once: String,
    of: String,
}

impl Acts {
    /// Those of `service`.
    #[must_use]
    pub fn new(service: ServiceName) -> Self {
        let table = format!("{service}_operator_acts");
        Self(
            Statements {
                insert: format!(
                    "INSERT INTO {table} (time, operator, verb, subject, reason, content, once)
                     VALUES (?, ?, ?, ?, ?, ?, ?)"
                ),
                once: format!("SELECT content FROM {table} WHERE once = ?"),
                of: format!(
                    "SELECT time, operator, verb, subject, reason, content FROM {table} WHERE subject = ?
                     ORDER BY id LIMIT ?"
                ),
            }
            .into(),
        )
    }

    /// Records an act, and tells the log of it once it is on disk. `once` names one that must not be done again.
    ///
    /// # Errors
    /// What SQLite says; the whole job is rolled back then.
    pub fn record(
        &self,
        tx: &mut super::Tx<'_>,
        now: Timestamp,
        (verb, subject): (&'static str, &str),
        instruction: &Instruction,
        content: Option<&str>,
        once: Option<&str>,
    ) -> rusqlite::Result<()> {
        let Instruction { operator, reason } = instruction;
        tx.prepare_cached(&self.0.insert)?.execute(params![
            micros(now),
            operator,
            verb,
            subject,
            reason,
            content,
            once
        ])?;
        let (operator, subject, reason) = (operator.clone(), subject.to_owned(), reason.clone());
        tx.after_commit(move || tracing::info!(operator, verb, subject, reason, "an operator acted"));
        Ok(())
    }

    /// What was said under this name, if anything was.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn said(&self, connection: &Connection, once: &str) -> rusqlite::Result<Option<String>> {
        let content: Option<Option<String>> = connection
            .prepare_cached(&self.0.once)?
            .query_row([once], |row| row.get(0))
            .optional()?;
        Ok(content.map(Option::unwrap_or_default))
    }

    /// The first `limit` acts on a subject, oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn of(&self, connection: &Connection, subject: &str, limit: usize) -> rusqlite::Result<Vec<Act>> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        connection
            .prepare_cached(&self.0.of)?
            .query_map(params![subject, limit], to_act)?
            .collect()
    }
}

fn to_act(row: &Row<'_>) -> rusqlite::Result<Act> {
    Ok(Act {
        time: from_micros(0, row.get(0)?)?,
        operator: row.get(1)?,
        verb: row.get(2)?,
        subject: row.get(3)?,
        reason: row.get(4)?,
        content: row.get(5)?,
    })
}
