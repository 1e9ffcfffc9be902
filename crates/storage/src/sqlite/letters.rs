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
use crate::commands::{Amended, Amendment, CommandKey, Intervention, State};

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

/// Where a letter goes back to.
enum Way {
    Outbox(crate::outbox::Destination),
    Command(CommandKey),
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

    /// Opens a dead command again, or a failed one of which nobody was told; any other needs nothing. Why it cannot be done, if so.
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
        // Where a saga was told of a failure, it has gone on from there.
        let unheard = commands.tells_nobody();
        let intervention = Intervention {
            key,
            verb: "replay",
            once: None,
            instruction: instruction.clone(),
            decide: Box::new(move |standing| match standing.record.state {
                State::Dead => Amendment::Reopen {
                    progress: standing.record.progress.clone(),
                },
                State::Failed if unheard => Amendment::Reopen {
                    progress: standing.record.progress.clone(),
                },
                State::Open | State::Done | State::Failed => Amendment::Nudge,
            }),
        };
        Ok(match commands.intervene_in(tx, now, intervention)? {
            Amended::Unknown => Some("its command does not exist".to_owned()),
            Amended::Refused { detail } => Some(detail),
            Amended::Reopened | Amended::Ended | Amended::Nudged | Amended::Replayed | Amended::Contradicted => None,
        })
    }
}

/// `queue:…` and `service:…` were on their way out, `command:7:exchange` was being worked on.
fn way(source: &str) -> Option<Way> {
    let Some(rest) = source.strip_prefix("command:") else {
        return source.parse().ok().map(Way::Outbox);
    };
    let (order, step) = rest.split_once(':')?;
    Some(Way::Command(CommandKey {
        order_id: order.parse().ok()?,
        step: step.parse().ok()?,
    }))
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

fn to_letter(row: &Row<'_>) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        id: row.get(0)?,
        source: row.get(1)?,
        payload: row.get(2)?,
        error: row.get(3)?,
        died_at: from_micros(4, row.get(4)?)?,
    })
}
