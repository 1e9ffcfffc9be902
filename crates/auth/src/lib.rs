//! `auth`: who people are.
//!
//! Owns users, their credentials and the keys that sign access tokens. What it keeps true:
//!
//! - a user name and an e-mail address belong to one user, whatever their case; user 1 is the hot wallet, and nobody
//!   logs in as it;
//! - a password is kept as an argon2id hash only, and hashing never takes more than a fixed share of the machine;
//! - a stranger cannot tell a wrong user name from a wrong password, and gets few guesses at either;
//! - whatever token was signed can be verified until it expires: a key is published before its first and until after
//!   its last signature counts.
//!
//! Rooms: [`domain`] decides, `use_cases` are the verbs, [`ports`] what they need, [`store`] and [`worker`] supply it,
//! `api` speaks HTTP. There is no queue: nothing here waits for anything outside.

mod api;
pub mod domain;
mod metrics;
pub mod ports;
pub mod store;
mod use_cases;
pub mod worker;

use std::sync::Arc;
use std::time::Duration;

use contracts::{Clock, Entropy, ServiceName};
use service_kit::http::RateLimit;
use service_kit::internal::InternalTokens;
use service_kit::openapi::Routes;
use service_kit::shutdown::Shutdown;
use storage::migrations::Migrations;

use crate::domain::keys::KeyRules;
use crate::domain::logins::FailurePolicy;
use crate::metrics::{Logins, Registrations};
use crate::ports::{KeyStore, LoginFailureStore, PasswordHasher, UserStore};
pub use crate::store::postgres::migrations as postgres_migrations;
pub use crate::use_cases::{KeyError, LogInError, LoggedIn, RegisterError, create_hot_wallet_user};
use crate::use_cases::{KeyRing, LogIn, Register};
pub use crate::worker::hashing::{Argon2Pool, PoolLimits};

/// The schema, in order.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::Auth).then(
        "users, keys and failed logins",
        include_str!("../migrations/sqlite/0001_users_keys_and_failed_logins.sql"),
    )
}

/// What can be turned here.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The issuer named in tokens; verifiers demand the same.
    pub issuer: String,
    /// The audience named in tokens; verifiers demand the same.
    pub audience: String,
    /// How long a token is valid, in whole seconds; 15 minutes by default.
    pub token_ttl: Duration,
    /// How many failed logins close an account, and for how long; 10 and 15 minutes by default.
    pub failures: FailurePolicy,
    /// The age at which a signing key is replaced by itself; 30 days by default.
    pub key_max_age: Duration,
    /// How often that age is looked at; one hour by default.
    pub key_check_every: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            issuer: "cambist".to_owned(),
            audience: "cambist".to_owned(),
            token_ttl: Duration::from_secs(15 * 60),
            failures: FailurePolicy::default(),
            key_max_age: Duration::from_secs(30 * 24 * 60 * 60),
            key_check_every: Duration::from_secs(60 * 60),
        }
    }
}

/// Everything this service needs from outside.
pub struct Dependencies {
    /// Users and their credentials.
    pub users: Arc<dyn UserStore>,
    /// Signing keys.
    pub keys: Arc<dyn KeyStore>,
    /// Failed logins.
    pub failures: Arc<dyn LoginFailureStore>,
    /// Hashes passwords: [`Argon2Pool`].
    pub hasher: Arc<dyn PasswordHasher>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Keys and token ids are drawn from it: the system's, outside tests.
    pub entropy: Arc<dyn Entropy>,
    /// What one address may ask of `/register` and `/login` together.
    pub rate_limit: Arc<RateLimit>,
    /// Who may call the internal routes.
    pub internal_tokens: Arc<InternalTokens>,
    /// What can be turned.
    pub settings: Settings,
}

/// The service. Clones are the same one.
#[derive(Clone)]
pub struct Service(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) register: Register,
    pub(crate) log_in: LogIn,
    pub(crate) users: Arc<dyn UserStore>,
    pub(crate) ring: Arc<KeyRing>,
    entropy: Arc<dyn Entropy>,
    rate_limit: Arc<RateLimit>,
    internal_tokens: Arc<InternalTokens>,
    key_check_every: Duration,
}

impl Service {
    /// The service made of these parts. Nothing runs yet, and nothing is read.
    #[must_use]
    pub fn new(dependencies: Dependencies) -> Self {
        let Dependencies {
            users,
            keys,
            failures,
            hasher,
            clock,
            entropy,
            rate_limit,
            internal_tokens,
            settings,
        } = dependencies;
        let rules = KeyRules {
            token_ttl: settings.token_ttl,
            max_age: settings.key_max_age,
        };
        let ring = Arc::new(KeyRing::new(keys, Arc::clone(&clock), Arc::clone(&entropy), rules));
        Self(Arc::new(Parts {
            register: Register {
                users: Arc::clone(&users),
                hasher: Arc::clone(&hasher),
                clock: Arc::clone(&clock),
                counted: Registrations::default(),
            },
            log_in: LogIn {
                users: Arc::clone(&users),
                failures,
                hasher,
                ring: Arc::clone(&ring),
                clock,
                entropy: Arc::clone(&entropy),
                issuer: settings.issuer,
                audience: settings.audience,
                token_ttl: settings.token_ttl,
                policy: settings.failures,
                counted: Logins::default(),
            },
            users,
            ring,
            entropy,
            rate_limit,
            internal_tokens,
            key_check_every: settings.key_check_every,
        }))
    }

    /// The service as others see it, by plain calls.
    #[must_use]
    pub fn client(&self) -> Arc<dyn contracts::clients::Auth> {
        Arc::new(use_cases::Client {
            users: Arc::clone(&self.0.users),
            ring: Arc::clone(&self.0.ring),
        })
    }

    /// `POST /register`, `POST /login`, `GET /.well-known/jwks.json`. Fallbacks and guard are the listener's.
    pub fn public_routes(&self) -> Routes {
        api::public(Arc::clone(&self.0), &self.0.rate_limit)
    }

    /// `GET /user/{user_id}` for `wallet` and operators, and the JWKS once more for `wallet`, whose listener verifies
    /// tokens and reaches nothing but internal addresses.
    pub fn internal_routes(&self) -> Routes {
        api::internal(Arc::clone(&self.0), &self.0.internal_tokens)
    }

    /// Starts what runs beside requests: the replacement of old signing keys. Several processes may do it.
    pub fn start(&self, shutdown: &Shutdown) {
        let rotation = worker::key_rotation::KeyRotation {
            ring: Arc::clone(&self.0.ring),
            entropy: Arc::clone(&self.0.entropy),
            every: self.0.key_check_every,
        };
        shutdown.spawn("auth: key rotation", rotation.run(shutdown.token()));
    }

    /// Brings a new signing key in now, whatever the age of the present one. The new key is published at once and
    /// signs after [`domain::keys::PUBLISH_AHEAD`]; the old one is published until the last token it signed has
    /// expired. Not idempotent: each call makes a key, until there are [`domain::keys::MAX_KEYS`].
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn rotate_keys(&self) -> Result<domain::keys::Change, KeyError> {
        self.0.ring.amend(domain::keys::Wish::Rotate).await
    }

    /// Replaces the signing key if it is too old, makes the first one if there is none, and forgets those nobody
    /// needs any more: what [`Service::start`] does periodically. Idempotent.
    ///
    /// # Errors
    /// [`KeyError`].
    pub async fn rotate_keys_if_due(&self) -> Result<domain::keys::Change, KeyError> {
        self.0.ring.amend(domain::keys::Wish::RotateIfDue).await
    }
}
