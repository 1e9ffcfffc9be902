//! Users and their credentials on PostgreSQL. Who has a name or an address is decided by the unique indexes; asking comes
//! after, to tell which of the two it was.

use async_trait::async_trait;
use contracts::UserId;
use contracts::clients::User;
use jiff::Timestamp;
use storage::postgres::{Tx, TxError, text};
use storage::{StoreError, in_transaction};

use super::PostgresAuth;
use crate::domain::user::{HOT_WALLET_USERNAME, Identity, Profile, Taken};
use crate::ports::{Credentials, Insertion, PasswordHash, UserStore};

/// Whoever adds a user waits here for whoever does so at the same time.
const LOCK_LAST: &str = "SELECT id FROM auth.last_user FOR UPDATE";
const INSERT: &str = "INSERT INTO auth.users
    (id, username, username_key, first_name, last_name, email, email_key, password_hash, created_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING id";
const INSERT_HOT_WALLET: &str = "INSERT INTO auth.users
    (id, username, username_key, first_name, last_name, email, email_key, password_hash, created_at)
    VALUES ($1, $2, $2, 'Hot', 'Wallet', '', '', NULL, $3) ON CONFLICT (id) DO NOTHING RETURNING id";
const TAKEN: &str = "SELECT EXISTS (SELECT 1 FROM auth.users WHERE username_key = $1),
    EXISTS (SELECT 1 FROM auth.users WHERE email_key = $2)";

#[async_trait]
impl UserStore for PostgresAuth {
    async fn insert(
        &self,
        now: Timestamp,
        profile: Profile,
        password_hash: PasswordHash,
    ) -> Result<Insertion, StoreError> {
        in_transaction!(self.database, tx => insert(&mut tx, now, &profile, &password_hash))
    }

    async fn insert_hot_wallet(&self, now: Timestamp) -> Result<bool, StoreError> {
        let (id, now) = (UserId::HOT_WALLET.get(), now.as_microsecond());
        let database = &self.database;
        let inserted = database
            .query(INSERT_HOT_WALLET, &[&id, &HOT_WALLET_USERNAME, &now])
            .await?;
        Ok(!inserted.is_empty())
    }

    async fn taken(&self, identity: Identity) -> Result<Taken, StoreError> {
        in_transaction!(self.database, tx => taken(&mut tx, &identity))
    }

    async fn credentials(&self, username: String) -> Result<Option<Credentials>, StoreError> {
        // Anything may be tried at login, also what this database cannot hold and therefore is nobody's.
        let username = text(username);
        in_transaction!(self.database, tx => credentials(&mut tx, &username))
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        in_transaction!(self.database, tx => user(&mut tx, id))
    }
}

async fn insert(
    tx: &mut Tx,
    now: Timestamp,
    profile: &Profile,
    password_hash: &PasswordHash,
) -> Result<Insertion, TxError> {
    let rows = tx.query(LOCK_LAST, &[]).await?;
    let last: i64 = rows
        .first()
        .ok_or_else(|| TxError::Value("nobody knows which number a user got last".to_owned()))?
        .try_get(0)?;
    let id = last.saturating_add(1);
    let identity = profile.identity();
    let inserted = tx
        .query(
            INSERT,
            &[
                &id,
                &profile.username(),
                &identity.username,
                &profile.first_name(),
                &profile.last_name(),
                &profile.email(),
                &identity.email,
                password_hash,
                &now.as_microsecond(),
            ],
        )
        .await?;
    if inserted.is_empty() {
        let taken = taken(tx, &identity).await?;
        if !taken.any() {
            return Err(TxError::Value(format!("number {id} was given to a user before")));
        }
        return Ok(Insertion::Taken(taken));
    }
    tx.write("UPDATE auth.last_user SET id = $1", vec![Box::new(id)], Some(1));
    user_id(id).map(Insertion::Created)
}

async fn taken(tx: &mut Tx, identity: &Identity) -> Result<Taken, TxError> {
    let rows = tx.query(TAKEN, &[&identity.username, &identity.email]).await?;
    let row = rows
        .first()
        .ok_or_else(|| TxError::Value("a question was not answered".to_owned()))?;
    Ok(Taken {
        username: row.try_get(0)?,
        email: row.try_get(1)?,
    })
}

async fn credentials(tx: &mut Tx, username: &str) -> Result<Option<Credentials>, TxError> {
    let sql = "SELECT id, password_hash FROM auth.users WHERE username_key = $1";
    let rows = tx.query(sql, &[&username]).await?;
    rows.first()
        .map(|row| {
            Ok(Credentials {
                user_id: user_id(row.try_get(0)?)?,
                password_hash: row.try_get(1)?,
            })
        })
        .transpose()
}

async fn user(tx: &mut Tx, id: UserId) -> Result<Option<User>, TxError> {
    let sql = "SELECT username, first_name, last_name, email FROM auth.users WHERE id = $1";
    let rows = tx.query(sql, &[&id.get()]).await?;
    rows.first()
        .map(|row| {
            Ok(User {
                id,
                username: row.try_get(0)?,
                first_name: row.try_get(1)?,
                last_name: row.try_get(2)?,
                email: row.try_get(3)?,
            })
        })
        .transpose()
}

fn user_id(number: i64) -> Result<UserId, TxError> {
    UserId::try_new(number).map_err(|error| TxError::Value(error.to_string()))
}
