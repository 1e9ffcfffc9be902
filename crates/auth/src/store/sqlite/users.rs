//! Users and their credentials on SQLite.

use async_trait::async_trait;
use contracts::UserId;
use contracts::clients::User;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use storage::StoreError;
use storage::sqlite::{bad_column, micros};

use super::SqliteAuth;
use crate::domain::user::{HOT_WALLET_USERNAME, Identity, Profile, Taken};
use crate::ports::{Credentials, Insertion, PasswordHash, UserStore};

#[async_trait]
impl UserStore for SqliteAuth {
    async fn insert(
        &self,
        now: Timestamp,
        profile: Profile,
        password_hash: PasswordHash,
    ) -> Result<Insertion, StoreError> {
        self.database
            .writer()
            .run(move |tx| {
                let identity = profile.identity();
                let taken = taken(tx, &identity)?;
                if taken.any() {
                    return Ok(Insertion::Taken(taken));
                }
                let id = tx
                    .prepare_cached(
                        "INSERT INTO auth_users (username, username_key, first_name, last_name, email, email_key,
                         password_hash, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    )?
                    .insert(params![
                        profile.username(),
                        identity.username,
                        profile.first_name(),
                        profile.last_name(),
                        profile.email(),
                        identity.email,
                        password_hash,
                        micros(now)
                    ])?;
                user_id(id).map(Insertion::Created)
            })
            .await
    }

    async fn insert_hot_wallet(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.database
            .writer()
            .run(move |tx| {
                let inserted = tx
                    .prepare_cached(
                        "INSERT INTO auth_users (id, username, username_key, first_name, last_name, email, email_key,
                         password_hash, created_at) VALUES (?1, ?2, ?2, 'Hot', 'Wallet', '', '', NULL, ?3)
                         ON CONFLICT (id) DO NOTHING",
                    )?
                    .execute(params![UserId::HOT_WALLET.get(), HOT_WALLET_USERNAME, micros(now)])?;
                Ok(inserted == 1)
            })
            .await
    }

    async fn taken(&self, identity: Identity) -> Result<Taken, StoreError> {
        self.database
            .readers()
            .run(move |connection| taken(connection, &identity))
            .await
    }

    async fn credentials(&self, username: String) -> Result<Option<Credentials>, StoreError> {
        self.database
            .readers()
            .run(move |connection| {
                connection
                    .prepare_cached("SELECT id, password_hash FROM auth_users WHERE username_key = ?")?
                    .query_row([username], |row| {
                        Ok(Credentials {
                            user_id: user_id(row.get(0)?)?,
                            password_hash: row.get(1)?,
                        })
                    })
                    .optional()
            })
            .await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.database
            .readers()
            .run(move |connection| {
                connection
                    .prepare_cached("SELECT id, username, first_name, last_name, email FROM auth_users WHERE id = ?")?
                    .query_row([id.get()], to_user)
                    .optional()
            })
            .await
    }
}

fn taken(connection: &Connection, identity: &Identity) -> rusqlite::Result<Taken> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM auth_users WHERE username_key = ?1),
                    EXISTS (SELECT 1 FROM auth_users WHERE email_key = ?2)",
        )?
        .query_row([&identity.username, &identity.email], |row| {
            Ok(Taken {
                username: row.get(0)?,
                email: row.get(1)?,
            })
        })
}

fn to_user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: user_id(row.get(0)?)?,
        username: row.get(1)?,
        first_name: row.get(2)?,
        last_name: row.get(3)?,
        email: row.get(4)?,
    })
}

fn user_id(number: i64) -> rusqlite::Result<UserId> {
    UserId::try_new(number).map_err(|error| bad_column(0, Type::Integer, error))
}
