//! Dead letters on SQLite: listed, and put on their way again.

use async_trait::async_trait;
use contracts::ServiceName;
use contracts::clients::ClientError;
use contracts::operators::{DeadLetter, DeadLetters, Instruction, Replay};
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, Row, params};

use super::acts::Acts;
use super::columns::{from_micros, micros};
use super::{Database, SqliteCommands, SqliteOutbox, Tx};
use crate::StoreError;
use crate::commands::CommandKey;
use crate::commands::wording::{Way, not_revived, revival, way};
use crate::letters::DeadLetterStore;
use crate::outbox::Destination;

/// A service's dead letters. Clones share them.
#[derive(Clone)]
pub struct SqliteLetters {
    database: Database,
    outbox: SqliteOutbox,
    commands: Option<SqliteCommands>,
    acts: Acts,
    sql: std::sync::Arc<Statements>,
}

struct Statements {
    list: String,
    load: String,
    mark: String,
}

impl SqliteLetters {
    /// The letters of `service`, which go back to `outbox`, or to one of its `commands` if it has any.
    #[must_use]
    pub fn new(
        service: ServiceName,
        database: Database,
        outbox: SqliteOutbox,
        commands: Option<SqliteCommands>,
    ) -> Self {
        let table = format!("{service}_dead_letters");
        let columns = "id, source, payload, error, died_at";
        let sql = Statements {
            list: format!("SELECT {columns} FROM {table} WHERE replayed_at IS NULL AND id > ? ORDER BY id LIMIT ?"),
            load: format!("SELECT {columns}, replayed_at IS NOT NULL FROM {table} WHERE id = ?"),
            mark: format!("UPDATE {table} SET replayed_at = ? WHERE id = ?"),
        };
        Self {
            database,
            outbox,
            commands,
            acts: Acts::new(service),
            sql: sql.into(),
        }
    }

    fn replay_in(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        id: i64,
        instruction: &Instruction,
    ) -> rusqlite::Result<Replay> {
        let found: Option<(DeadLetter, bool)> = tx
            .prepare_cached(&self.sql.load)?
            .query_row([id], |row| Ok((to_letter(row)?, row.get(5)?)))
            .optional()?;
        let Some((letter, before)) = found else {
            return Ok(Replay::Unknown);
        };
        if before {
            return Ok(Replay::Replayed { before });
        }
        match way(&letter.source) {
            Some(Way::Outbox(destination)) => self.outbox.put(tx, now, destination, letter.payload),
            Some(Way::Command(key)) => {
                if let Some(detail) = self.revive(tx, now, key, instruction)? {
                    return Ok(Replay::Impossible { detail });
                }
            }
            None => {
                let detail = format!("nobody knows where a letter from `{}` belongs", letter.source);
                return Ok(Replay::Impossible { detail });
            }
        }
        tx.prepare_cached(&self.sql.mark)?.execute(params![micros(now), id])?;
        let subject = format!("dead_letter:{id}");
        self.acts
            .record(tx, now, ("replay", &subject), instruction, None, None)?;
        Ok(Replay::Replayed { before })
    }

    /// Opens a letter's command again, where that is right. Why it cannot be done, if so.
    fn revive(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        key: CommandKey,
        instruction: &Instruction,
    ) -> rusqlite::Result<Option<String>> {
        let Some(commands) = &self.commands else {
            return Ok(Some("this service has no commands".to_owned()));
        };
        let revival = revival(key, instruction, commands.tells_nobody());
        Ok(not_revived(commands.intervene_in(tx, now, revival)?))
    }
}

#[async_trait]
impl DeadLetters for SqliteLetters {
    async fn list(&self, after: Option<i64>, limit: usize) -> Result<Vec<DeadLetter>, ClientError> {
        let sql = self.sql.clone();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let letters = self
            .database
            .readers()
            .run(move |connection| {
                connection
                    .prepare_cached(&sql.list)?
                    .query_map(params![after.unwrap_or(0), limit], to_letter)?
                    .collect()
            })
            .await?;
        Ok(letters)
    }

    async fn replay(&self, now: Timestamp, id: i64, instruction: Instruction) -> Result<Replay, ClientError> {
        let letters = self.clone();
        let replayed = self
            .database
            .writer()
            .run(move |tx| letters.replay_in(tx, now, id, &instruction))
            .await?;
        Ok(replayed)
    }
}

#[async_trait]
impl DeadLetterStore for SqliteLetters {
    async fn bury(
        &self,
        now: Timestamp,
        source: Destination,
        payload: String,
        error: String,
    ) -> Result<(), StoreError> {
        let outbox = self.outbox.clone();
        let job = move |tx: &mut Tx<'_>| outbox.bury(tx, now, &source.to_string(), &payload, &error);
        self.database.writer().run(job).await
    }
}

fn to_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        id: row.get(0)?,
        source: row.get(1)?,
        payload: row.get(2)?,
        error: row.get(3)?,
        died_at: from_micros(4, row.get(4)?)?,
    })
}
