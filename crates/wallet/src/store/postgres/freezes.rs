//! Freezes on PostgreSQL. Every request of a user asks whether they are frozen, and reads the row: another process may have
//! frozen them. All who ask at once are answered by one statement.
//!
//! What users want stored is looked at once more, in its own transaction, behind the lock that whoever freezes them holds as
//! well: none comes after a freeze that was answered.

use std::collections::HashSet;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::UserId;
use contracts::operators::{Act, Instruction};
use jiff::Timestamp;
use storage::postgres::{Tx, TxError, Work, text};
use storage::{StoreError, in_transaction};
use tokio_postgres::Row;

use super::{LOCK_USERS, PostgresWallet, limit_of, rows};
use crate::ports::{Freeze, FreezeStore, Frozen, MAX_ACTS};

const INSERT: &str = "INSERT INTO wallet.freezes (user_id, operator, reason, since) VALUES ($1, $2, $3, $4)";
const DELETE: &str = "DELETE FROM wallet.freezes WHERE user_id = $1 RETURNING user_id";
const ONE: &str = "SELECT user_id, operator, reason, since FROM wallet.freezes WHERE user_id = $1";
const LIST: &str = "SELECT user_id, operator, reason, since FROM wallet.freezes WHERE user_id > $1
    ORDER BY user_id LIMIT $2";
const WHO: &str = "SELECT user_id FROM wallet.freezes WHERE user_id = ANY ($1)";

/// Says whether users are frozen, to all who ask.
pub(super) struct AskingForFreezes;

impl Work for AskingForFreezes {
    type Call = UserId;
    type Answer = bool;

    fn items(_: &UserId) -> usize {
        1
    }

    async fn together(&self, tx: &mut Tx, calls: &[Arc<UserId>]) -> Result<Vec<Result<bool, StoreError>>, TxError> {
        let users: Vec<i64> = calls.iter().map(|user| user.get()).collect();
        let found = tx.query(WHO, &[&users]).await?;
        let frozen: HashSet<i64> = found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        Ok(users.iter().map(|user| Ok(frozen.contains(user))).collect())
    }
}

#[async_trait]
impl FreezeStore for PostgresWallet {
    async fn freeze(&self, now: Timestamp, user: UserId, instruction: Instruction) -> Result<Frozen, StoreError> {
        let Instruction { operator, reason } = instruction;
        let instruction = Instruction {
            operator: text(operator),
            reason: text(reason),
        };
        in_transaction!(self.database, tx => self.freeze_in(&mut tx, now, user, &instruction))
    }

    async fn unfreeze(&self, now: Timestamp, user: UserId, instruction: Instruction) -> Result<bool, StoreError> {
        in_transaction!(self.database, tx => self.unfreeze_in(&mut tx, now, user, &instruction))
    }

    async fn is_frozen(&self, user: UserId) -> Result<bool, StoreError> {
        self.asking.bring(user).await
    }

    async fn freeze_of(&self, user: UserId) -> Result<(Option<Freeze>, Vec<Act>), StoreError> {
        let mut tx = self.database.snapshot().await?;
        let found = self.freeze_of_in(&mut tx, user).await;
        tx.roll_back().await;
        Ok(found?)
    }

    async fn freezes(&self, after: Option<i64>, limit: usize) -> Result<Vec<Freeze>, StoreError> {
        let rows = self
            .database
            .query(LIST, &[&after.unwrap_or(0), &limit_of(limit)])
            .await?;
        Ok(rows.iter().map(to_freeze).collect::<Result<_, TxError>>()?)
    }
}

impl PostgresWallet {
    async fn freeze_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        user: UserId,
        instruction: &Instruction,
    ) -> Result<Frozen, TxError> {
        tx.query(LOCK_USERS, &[&vec![user.get()]]).await?;
        if let Some(before) = one(tx, user).await? {
            return Ok(Frozen::Before(before));
        }
        let Instruction { operator, reason } = instruction.clone();
        tx.write(
            INSERT,
            vec![
                Box::new(user.get()),
                Box::new(operator),
                Box::new(reason),
                Box::new(now.as_microsecond()),
            ],
            Some(1),
        );
        self.acts
            .record(tx, now, ("freeze", subject_of(user)), instruction, None, None);
        Ok(Frozen::Now(Freeze {
            user_id: user,
            instruction: instruction.clone(),
            since: now,
        }))
    }

    async fn unfreeze_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        user: UserId,
        instruction: &Instruction,
    ) -> Result<bool, TxError> {
        let lifted = !tx.query(DELETE, &[&user.get()]).await?.is_empty();
        if lifted {
            self.acts
                .record(tx, now, ("unfreeze", subject_of(user)), instruction, None, None);
        }
        Ok(lifted)
    }

    async fn freeze_of_in(&self, tx: &mut Tx, user: UserId) -> Result<(Option<Freeze>, Vec<Act>), TxError> {
        let freeze = one(tx, user).await?;
        Ok((freeze, self.acts.of(tx, &subject_of(user), MAX_ACTS).await?))
    }
}

async fn one(tx: &mut Tx, user: UserId) -> Result<Option<Freeze>, TxError> {
    tx.query(ONE, &[&user.get()]).await?.first().map(to_freeze).transpose()
}

fn to_freeze(row: &Row) -> Result<Freeze, TxError> {
    Ok(Freeze {
        user_id: rows::user_id(row, 0)?,
        instruction: Instruction {
            operator: row.try_get(1)?,
            reason: row.try_get(2)?,
        },
        since: rows::time(row, 3)?,
    })
}

fn subject_of(user: UserId) -> String {
    format!("user:{user}")
}
