//! What the tests start from: the service over a database of its own, a clock that stands still, and a hasher that
//! counts instead of working.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use auth::domain::user::Password;
use auth::ports::{HashError, PasswordHash, PasswordHasher};
use auth::store::sqlite::SqliteAuth;
use auth::{Dependencies, Service, Settings};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use contracts::{Clock, ManualClock, SystemEntropy};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use service_kit::auth::TokenVerifier;
use service_kit::http::RateLimit;
use service_kit::internal::InternalTokens;
use service_kit::problem::with_fallbacks;
use service_kit::settings::Secret;
use storage::migrations::SchemaError;
use storage::sqlite::{Database, Durability, OpenError, Options, migrate};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// The service under test, and what it stands on.
pub(crate) struct Given {
    pub(crate) service: Service,
    pub(crate) store: SqliteAuth,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) hasher: Arc<CountingHasher>,
    pub(crate) settings: Settings,
    pub(crate) rate_limit: Arc<RateLimit>,
    folder: Arc<TempDir>,
}

/// The service over a fresh database, at noon of a day.
pub(crate) fn auth() -> Given {
    with(Settings::default(), 0)
}

/// The same with these settings, and so many requests per minute from one address (0: any number).
pub(crate) fn with(settings: Settings, per_minute: u32) -> Given {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let clock = Arc::new(ManualClock::new(noon()));
    let store = SqliteAuth::new(open(folder.path()));
    let rate_limit = Arc::new(RateLimit::per_minute(per_minute, Arc::clone(&clock) as Arc<dyn Clock>));
    begin(store, clock, settings, rate_limit, folder)
}

pub(crate) fn noon() -> Timestamp {
    "2026-03-04T12:00:00Z".parse().unwrap()
}

fn begin(
    store: SqliteAuth,
    clock: Arc<ManualClock>,
    settings: Settings,
    rate_limit: Arc<RateLimit>,
    folder: Arc<TempDir>,
) -> Given {
    let hasher = Arc::new(CountingHasher::default());
    let service = Service::new(Dependencies {
        users: Arc::new(store.clone()),
        keys: Arc::new(store.clone()),
        failures: Arc::new(store.clone()),
        hasher: Arc::clone(&hasher) as Arc<dyn PasswordHasher>,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        entropy: Arc::new(SystemEntropy),
        rate_limit: Arc::clone(&rate_limit),
        internal_tokens: Arc::new(tokens()),
        settings: settings.clone(),
    });
    Given {
        service,
        store,
        clock,
        hasher,
        settings,
        rate_limit,
        folder,
    }
}

fn tokens() -> InternalTokens {
    let callers = ["wallet", "exchanger", "operator:ann"];
    InternalTokens::try_new(callers.map(|name| (name.parse().unwrap(), Secret::new(&format!("token-of-{name}")))))
        .unwrap()
}

/// A database in `folder` with the schema of `auth`.
pub(crate) fn open(folder: &Path) -> Database {
    #[derive(Debug)]
    enum Failure {
        Open(#[expect(dead_code, reason = "shown by Debug when a test fails")] OpenError),
        Schema(#[expect(dead_code, reason = "shown by Debug when a test fails")] SchemaError),
    }
    impl From<OpenError> for Failure {
        fn from(error: OpenError) -> Self {
            Self::Open(error)
        }
    }
    let options = Options {
        durability: Durability::ProcessCrash,
        ..Options::default()
    };
    Database::open(&folder.join("auth.db"), options, |connection| {
        migrate(connection, &[auth::migrations()], noon())
            .map(drop)
            .map_err(Failure::Schema)
    })
    .unwrap()
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The pointers of the fields to blame.
    pub(crate) fn blamed(&self) -> Vec<&str> {
        let errors = self.body["errors"].as_array().map_or(&[][..], Vec::as_slice);
        errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }
}

impl Given {
    /// Another process over the same database: what it knows, it has read.
    pub(crate) fn another_process(&self) -> Self {
        begin(
            self.store.clone(),
            Arc::clone(&self.clock),
            self.settings.clone(),
            Arc::clone(&self.rate_limit),
            Arc::clone(&self.folder),
        )
    }

    /// The process ends, and starts again on its file.
    pub(crate) fn restarted(self) -> Self {
        let Self {
            service,
            store,
            clock,
            settings,
            rate_limit,
            folder,
            ..
        } = self;
        drop((service, store));
        let store = SqliteAuth::new(open(folder.path()));
        begin(store, clock, settings, rate_limit, folder)
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string())).unwrap();
        ask(self.service.public_routes().into(), request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path).body(Body::empty()).unwrap();
        ask(self.service.public_routes().into(), request).await
    }

    pub(crate) async fn get_as(&self, caller: &str, path: &str) -> Answer {
        let request = Request::get(path).header("authorization", format!("Bearer token-of-{caller}"));
        let request = request.body(Body::empty()).unwrap();
        ask(self.service.internal_routes().into(), request).await
    }

    pub(crate) async fn register(&self, username: &str) -> Answer {
        self.post("/register", registration(username)).await
    }

    pub(crate) async fn log_in(&self, username: &str, password: &str) -> Answer {
        let body = json!({"username": username, "password": password});
        self.post("/login", body).await
    }

    /// A token of this user, who is registered with the example's password.
    pub(crate) async fn token(&self, username: &str) -> String {
        let answer = self.log_in(username, "password").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body["token"].as_str().unwrap().to_owned()
    }

    /// Verifies tokens as the other services do: with nothing but the client.
    pub(crate) fn verifier(&self) -> TokenVerifier {
        let cache = NonZeroUsize::new(100).unwrap();
        TokenVerifier::new(
            self.service.client(),
            Arc::clone(&self.clock) as Arc<dyn Clock>,
            &self.settings.issuer,
            &self.settings.audience,
            cache,
        )
    }
}

pub(crate) async fn ask(routes: Router, request: Request<Body>) -> Answer {
    let response = with_fallbacks(routes).oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    }
}

/// A registration that is accepted.
pub(crate) fn registration(username: &str) -> Value {
    json!({
        "username": username,
        "first_name": "Ada",
        "last_name": "Lovelace",
        "email": format!("{username}@example.com"),
        "password": "password",
    })
}

/// Hashes by writing the password down, and counts.
#[derive(Default)]
pub(crate) struct CountingHasher {
    hashed: Mutex<usize>,
    verified: Mutex<Vec<String>>,
}

impl CountingHasher {
    pub(crate) const DECOY: &str = "decoy";

    pub(crate) fn hashed(&self) -> usize {
        *self.hashed.lock().unwrap()
    }

    /// The hashes with which passwords were compared, and forgets them.
    pub(crate) fn take_verified(&self) -> Vec<String> {
        std::mem::take(&mut self.verified.lock().unwrap())
    }
}

#[async_trait]
impl PasswordHasher for CountingHasher {
    async fn hash(&self, password: Password) -> Result<PasswordHash, HashError> {
        *self.hashed.lock().unwrap() += 1;
        tokio::task::yield_now().await;
        Ok(format!("{:?}", password.as_bytes()))
    }

    async fn verify(&self, password: Password, hash: PasswordHash) -> Result<bool, HashError> {
        let right = format!("{:?}", password.as_bytes()) == hash;
        self.verified.lock().unwrap().push(hash);
        tokio::task::yield_now().await;
        Ok(right)
    }

    fn decoy(&self) -> &str {
        Self::DECOY
    }
}
