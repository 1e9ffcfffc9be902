//! Dead letters on PostgreSQL: listed, and put on their way again.

use std::sync::Arc;

use async_trait::async_trait;
use contracts::clients::ClientError;
use contracts::operators::{DeadLetter, DeadLetters, Instruction, Replay};
use jiff::Timestamp;
use tokio_postgres::Row;

use super::acts::Acts;
use super::columns::from_micros;
use super::{Database, PostgresCommands, PostgresOutbox, Tx, TxError};
use crate::StoreError;
use crate::commands::CommandKey;
use crate::commands::wording::{Way, not_revived, revival, way};
use crate::letters::DeadLetterStore;
use crate::outbox::Destination;

/// A service's dead letters. Clones share them.
#[derive(Clone)]
pub struct PostgresLetters {
    database: Database,
    outbox: PostgresOutbox,
    commands: Option<PostgresCommands>,
    acts: Acts,
    sql: Arc<Statements>,
}

struct Statements {
    list: String,
    source: String,
    lock: String,
    mark: String,
}

impl PostgresLetters {
    /// The letters of the service that `database` is of, which go back to `outbox`, or to one of its `commands` if it has
    /// any.
    #[must_use]
    pub fn new(database: Database, outbox: PostgresOutbox, commands: Option<PostgresCommands>) -> Self {
        let service = database.service();
        let table = format!("{service}.dead_letters");
        let columns = "id, source, payload, error, died_at";
        let sql = Statements {
            list: format!("SELECT {columns} FROM {table} WHERE replayed_at IS NULL AND id > $1 ORDER BY id LIMIT $2"),
            source: format!("SELECT source FROM {table} WHERE id = $1"),
            lock: format!("SELECT {columns}, replayed_at IS NOT NULL FROM {table} WHERE id = $1 FOR UPDATE"),
            mark: format!("UPDATE {table} SET replayed_at = $1 WHERE id = $2"),
        };
        Self {
            database,
            outbox,
            commands,
            acts: Acts::new(service),
            sql: Arc::new(sql),
        }
    }

    async fn list_in(&self, tx: &mut Tx, after: i64, limit: i64) -> Result<Vec<DeadLetter>, TxError> {
        let rows = tx.query(&self.sql.list, &[&after, &limit]).await?;
        rows.iter().map(to_letter).collect()
    }

    async fn replay_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        id: i64,
        instruction: &Instruction,
    ) -> Result<Replay, TxError> {
        let sources = tx.query(&self.sql.source, &[&id]).await?;
        let Some(source) = sources.first() else {
            return Ok(Replay::Unknown);
        };
        let source: String = source.try_get(0)?;
        let way = way(&source);
        // Commands are locked before letters, here as everywhere.
        if let (Some(Way::Command(key)), Some(commands)) = (&way, &self.commands) {
            commands.lock(tx, *key).await?;
        }
        let rows = tx.query(&self.sql.lock, &[&id]).await?;
        let Some(row) = rows.first() else {
            return Ok(Replay::Unknown);
        };
        let (letter, before) = (to_letter(row)?, row.try_get(5)?);
        if before {
            return Ok(Replay::Replayed { before });
        }
        match way {
            Some(Way::Outbox(destination)) => self.outbox.put(tx, now, destination, letter.payload),
            Some(Way::Command(key)) => {
                if let Some(detail) = self.revive(tx, now, key, instruction).await? {
                    return Ok(Replay::Impossible { detail });
                }
            }
            None => {
                let detail = format!("nobody knows where a letter from `{source}` belongs");
                return Ok(Replay::Impossible { detail });
            }
        }
        let mark = vec![Box::new(now.as_microsecond()) as super::Param, Box::new(id)];
        tx.write(self.sql.mark.as_str(), mark, Some(1));
        let act = ("replay", format!("dead_letter:{id}"));
        self.acts.record(tx, now, act, instruction, None, None);
        Ok(Replay::Replayed { before })
    }

    /// Opens a letter's command again, where that is right. Why it cannot be done, if so.
    async fn revive(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        key: CommandKey,
        instruction: &Instruction,
    ) -> Result<Option<String>, TxError> {
        let Some(commands) = &self.commands else {
            return Ok(Some("this service has no commands".to_owned()));
        };
        let mut revival = revival(key, instruction, commands.tells_nobody()).into();
        Ok(not_revived(commands.intervene_in(tx, now, &mut revival).await?))
    }

    async fn bury_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        source: Destination,
        payload: &str,
        error: &str,
    ) -> Result<(), TxError> {
        self.outbox.bury(tx, now, &source.to_string(), payload, error);
        Ok(())
    }
}

#[async_trait]
impl DeadLetters for PostgresLetters {
    async fn list(&self, after: Option<i64>, limit: usize) -> Result<Vec<DeadLetter>, ClientError> {
        let (after, limit) = (after.unwrap_or(0), i64::try_from(limit).unwrap_or(i64::MAX));
        let listed: Result<_, StoreError> =
            crate::in_transaction!(self.database, tx => self.list_in(&mut tx, after, limit));
        Ok(listed?)
    }

    async fn replay(&self, now: Timestamp, id: i64, instruction: Instruction) -> Result<Replay, ClientError> {
        let replayed: Result<_, StoreError> =
            crate::in_transaction!(self.database, tx => self.replay_in(&mut tx, now, id, &instruction));
        Ok(replayed?)
    }
}

#[async_trait]
impl DeadLetterStore for PostgresLetters {
    async fn bury(
        &self,
        now: Timestamp,
        source: Destination,
        payload: String,
        error: String,
    ) -> Result<(), StoreError> {
        crate::in_transaction!(self.database, tx => self.bury_in(&mut tx, now, source, &payload, &error))
    }
}

fn to_letter(row: &Row) -> Result<DeadLetter, TxError> {
    Ok(DeadLetter {
        id: row.try_get(0)?,
        source: row.try_get(1)?,
        payload: row.try_get(2)?,
        error: row.try_get(3)?,
        died_at: from_micros(row.try_get(4)?)?,
    })
}
