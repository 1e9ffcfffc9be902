//! What `auth` needs: three stores and a hasher.
//!
//! Every store method is one transaction. Stores decide nothing: what happens to what they read is decided by
//! [`crate::domain`], inside that transaction.

use std::time::Duration;

use async_trait::async_trait;
use contracts::UserId;
use contracts::clients::User;
use jiff::Timestamp;
use storage::StoreError;
use thiserror::Error;

use crate::domain::keys::{Change, KeyRecord, KeyRules, Wish};
use crate::domain::logins::{Account, FailurePolicy, Verdict};
use crate::domain::user::{Identity, Password, Profile, Taken};

/// A password's hash in the PHC string format, parameters and salt included.
pub type PasswordHash = String;

/// What became of a new user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// They are there.
    Created(UserId),
    /// Somebody has the name or the address; nothing changed.
    Taken(Taken),
}

/// What a login is checked against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Whose.
    pub user_id: UserId,
    /// `None` for a user as whom nobody logs in.
    pub password_hash: Option<PasswordHash>,
}

/// Users and their credentials.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Adds a user with the next number, never 1 and never one that was given before. Of any number of concurrent
    /// calls with the same identity, in whatever case, one succeeds.
    async fn insert(
        &self,
        now: Timestamp,
        profile: Profile,
        password_hash: PasswordHash,
    ) -> Result<Insertion, StoreError>;

    /// Adds user 1, the hot wallet, without credentials. Idempotent; answers whether it was added just now.
    async fn insert_hot_wallet(&self, now: Timestamp) -> Result<bool, StoreError>;

    /// Which parts of an identity somebody has.
    async fn taken(&self, identity: Identity) -> Result<Taken, StoreError>;

    /// The credentials that belong to a user name, given in lower case.
    async fn credentials(&self, username: String) -> Result<Option<Credentials>, StoreError>;

    /// A user's data.
    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError>;
}

/// The signing keys.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Reads the keys, carries out [`crate::domain::keys::plan`] and answers with the keys as they are then, oldest
    /// first: all in one transaction that excludes every other, so that processes which start at once agree on one
    /// key. Writes nothing where nothing changes.
    async fn amend(
        &self,
        now: Timestamp,
        wish: Wish,
        fresh: KeyRecord,
        rules: KeyRules,
    ) -> Result<(Change, Vec<KeyRecord>), StoreError>;
}

/// The failed logins. Bounded: what does not count any more is deleted as new failures come in, and those come no
/// faster than passwords are hashed.
#[async_trait]
pub trait LoginFailureStore: Send + Sync {
    /// Until when an account is closed; `None` when it is open. Reads only.
    async fn closed_until(
        &self,
        now: Timestamp,
        account: Account,
        policy: FailurePolicy,
    ) -> Result<Option<Timestamp>, StoreError>;

    /// Carries out [`crate::domain::logins::conclude`] in one transaction. Writes nothing for a success of an account
    /// without failures.
    async fn conclude(
        &self,
        now: Timestamp,
        account: Account,
        right: bool,
        policy: FailurePolicy,
    ) -> Result<Verdict, StoreError>;
}

/// Why a password was not hashed or compared.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HashError {
    /// As many wait already as may.
    #[error("too many passwords wait to be hashed")]
    Busy {
        /// When to come back.
        retry_after: Duration,
    },
    /// The hash is none, or the machine failed.
    #[error("a password could not be hashed: {0}")]
    Failed(String),
}

/// Hashes passwords, slowly on purpose, and never on the threads that serve requests.
#[async_trait]
pub trait PasswordHasher: Send + Sync {
    /// A salted hash of a new password; never the same twice.
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError>;

    /// Whether a password belongs to a hash. Takes the same time for the [`PasswordHasher::decoy`] as for a hash of
    /// its own.
    async fn verify(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError>;

    /// A hash like those it makes, to which no password belongs: what a login without a user is compared with.
    fn decoy(&self) -> &str;
}
