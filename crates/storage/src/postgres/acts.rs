//! The acts of operators on PostgreSQL: one table a service, written in the transaction of what an act changes.

use std::sync::Arc;

use contracts::ServiceName;
use contracts::operators::{Act, Instruction};
use jiff::Timestamp;
use tokio_postgres::Row;

use super::columns::{from_micros, text};
use super::{Tx, TxError};

/// The table of acts. `once` names an act that must not be done twice with different content.
pub const OPERATORS_SCHEMA: &str = "
CREATE TABLE {service}.operator_acts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    time bigint NOT NULL,
    operator text NOT NULL,
    verb text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    content text,
    once text
);
CREATE INDEX operator_acts_subject ON {service}.operator_acts (subject);
CREATE UNIQUE INDEX operator_acts_once ON {service}.operator_acts (once) WHERE once IS NOT NULL;
";

/// The acts of operators on one service, inside its transactions. Clones are the same.
#[derive(Debug, Clone)]
pub struct Acts(Arc<Statements>);

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
        let table = format!("{service}.operator_acts");
        let sql = Statements {
            insert: format!(
                "INSERT INTO {table} (time, operator, verb, subject, reason, content, once)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)"
            ),
            once: format!("SELECT content FROM {table} WHERE once = $1"),
            of: format!(
                "SELECT time, operator, verb, subject, reason, content FROM {table} WHERE subject = $1
                 ORDER BY id LIMIT $2"
            ),
        };
        Self(sql.into())
    }

    /// Records an act when `tx` ends, and tells the log of it once it is committed. `once` names one that must not be done
    /// again.
    pub fn record(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        (verb, subject): (&'static str, String),
        instruction: &Instruction,
        content: Option<String>,
        once: Option<String>,
    ) {
        let Instruction { operator, reason } = instruction.clone();
        tx.write(
            self.0.insert.as_str(),
            vec![
                Box::new(now.as_microsecond()),
                Box::new(operator.clone()),
                Box::new(verb),
                Box::new(subject.clone()),
                Box::new(text(reason.clone())),
                Box::new(content.map(text)),
                Box::new(once),
            ],
            Some(1),
        );
        tx.after_commit(move || tracing::info!(operator, verb, subject, reason, "an operator acted"));
    }

    /// What was said under this name, if anything was.
    ///
    /// # Errors
    /// What the database says.
    pub async fn said(&self, tx: &mut Tx, once: &str) -> Result<Option<String>, TxError> {
        let rows = tx.query(&self.0.once, &[&once]).await?;
        let content = rows
            .first()
            .map(|row| row.try_get::<_, Option<String>>(0))
            .transpose()?;
        Ok(content.map(Option::unwrap_or_default))
    }

    /// The first `limit` acts on a subject, oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(&self, tx: &mut Tx, subject: &str, limit: usize) -> Result<Vec<Act>, TxError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = tx.query(&self.0.of, &[&subject, &limit]).await?;
        rows.iter().map(to_act).collect()
    }
}

fn to_act(row: &Row) -> Result<Act, TxError> {
    Ok(Act {
        time: from_micros(row.try_get(0)?)?,
        operator: row.try_get(1)?,
        verb: row.try_get(2)?,
        subject: row.try_get(3)?,
        reason: row.try_get(4)?,
        content: row.try_get(5)?,
    })
}
