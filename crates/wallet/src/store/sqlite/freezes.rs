//! Freezes on SQLite.
//!
//! Every request of a user asks whether they are frozen. A database of SQLite belongs to one process, which keeps the
//! frozen ones in memory, read once and changed with each commit: so the question costs nothing on the path of an order.
//! An adapter whose database is shared reads the row by its key instead.
//!
//! What users want stored is asked about once more, in its own transaction and by the row ([`IS_FROZEN`]): it may have
//! waited for the writer behind the freeze, and the memory knows of that only after its commit.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use contracts::UserId;
use contracts::operators::{Act, Instruction};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use storage::StoreError;
use storage::sqlite::{Tx, from_micros, micros};
use tokio::sync::OnceCell;

use super::{SqliteWallet, collect, limit_of, rows};
use crate::ports::{Freeze, FreezeStore, Frozen, MAX_ACTS};

const INSERT: &str = "INSERT INTO wallet_freezes (user_id, operator, reason, since) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT DO NOTHING";
const DELETE: &str = "DELETE FROM wallet_freezes WHERE user_id = ?1";
const ONE: &str = "SELECT user_id, operator, reason, since FROM wallet_freezes WHERE user_id = ?1";
const LIST: &str = "SELECT user_id, operator, reason, since FROM wallet_freezes WHERE user_id > ?1
    ORDER BY user_id LIMIT ?2";
/// Whether a user is frozen by what was written until now, be it committed or not.
pub(super) const IS_FROZEN: &str = "SELECT 1 FROM wallet_freezes WHERE user_id = ?1";
const ALL: &str = "SELECT user_id FROM wallet_freezes";

type Users = Arc<RwLock<HashSet<UserId>>>;

/// The frozen users, as far as is committed. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct FrozenUsers(Arc<OnceCell<Users>>);

impl SqliteWallet {
    /// The frozen users. Whoever changes them waits for this first: what is committed after it was read, is told to it.
    async fn frozen_users(&self) -> Result<Users, StoreError> {
        let read = async || {
            let job = |tx: &mut Tx<'_>| collect(tx, ALL, (), |row| rows::user_id(row, 0));
            let users = self.database.writer().run(job).await?;
            Ok(Arc::new(RwLock::new(users.into_iter().collect())))
        };
        self.frozen.0.get_or_try_init(read).await.cloned()
    }
}

#[async_trait]
impl FreezeStore for SqliteWallet {
    async fn freeze(&self, now: Timestamp, user: UserId, instruction: Instruction) -> Result<Frozen, StoreError> {
        let users = self.frozen_users().await?;
        let acts = self.acts.clone();
        let job = move |tx: &mut Tx<'_>| {
            if let Some(before) = one(tx, user)? {
                return Ok(Frozen::Before(before));
            }
            let Instruction { operator, reason } = &instruction;
            tx.prepare_cached(INSERT)?
                .execute(params![user.get(), operator, reason, micros(now)])?;
            acts.record(tx, now, ("freeze", &subject_of(user)), &instruction, None, None)?;
            tx.after_commit(move || {
                users.write().unwrap_or_else(PoisonError::into_inner).insert(user);
            });
            Ok(Frozen::Now(Freeze {
                user_id: user,
                instruction,
                since: now,
            }))
        };
        self.database.writer().run(job).await
    }

    async fn unfreeze(&self, now: Timestamp, user: UserId, instruction: Instruction) -> Result<bool, StoreError> {
        let users = self.frozen_users().await?;
        let acts = self.acts.clone();
        let job = move |tx: &mut Tx<'_>| {
            if tx.prepare_cached(DELETE)?.execute([user.get()])? == 0 {
                return Ok(false);
            }
            acts.record(tx, now, ("unfreeze", &subject_of(user)), &instruction, None, None)?;
            tx.after_commit(move || {
                users.write().unwrap_or_else(PoisonError::into_inner).remove(&user);
            });
            Ok(true)
        };
        self.database.writer().run(job).await
    }

    async fn is_frozen(&self, user: UserId) -> Result<bool, StoreError> {
        let users = self.frozen_users().await?;
        let frozen = users.read().unwrap_or_else(PoisonError::into_inner).contains(&user);
        Ok(frozen)
    }

    async fn freeze_of(&self, user: UserId) -> Result<(Option<Freeze>, Vec<Act>), StoreError> {
        let acts = self.acts.clone();
        let query = move |connection: &Connection| {
            Ok((
                one(connection, user)?,
                acts.of(connection, &subject_of(user), MAX_ACTS)?,
            ))
        };
        self.database.readers().run(query).await
    }

    async fn freezes(&self, after: Option<i64>, limit: usize) -> Result<Vec<Freeze>, StoreError> {
        let query = move |connection: &Connection| {
            collect(
                connection,
                LIST,
                params![after.unwrap_or(0), limit_of(limit)],
                to_freeze,
            )
        };
        self.database.readers().run(query).await
    }
}

fn one(connection: &Connection, user: UserId) -> rusqlite::Result<Option<Freeze>> {
    connection
        .prepare_cached(ONE)?
        .query_row([user.get()], to_freeze)
        .optional()
}

fn to_freeze(row: &Row<'_>) -> rusqlite::Result<Freeze> {
    Ok(Freeze {
        user_id: rows::user_id(row, 0)?,
        instruction: Instruction {
            operator: row.get(1)?,
            reason: row.get(2)?,
        },
        since: from_micros(3, row.get(3)?)?,
    })
}

fn subject_of(user: UserId) -> String {
    format!("user:{user}")
}
