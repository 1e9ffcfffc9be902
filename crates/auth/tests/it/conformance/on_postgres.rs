//! What the suites start from on PostgreSQL, and what only can be seen there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use auth::domain::keys::{Change, KeyRecord, KeyRules, Wish};
use auth::domain::logins::{Account, FailurePolicy, Verdict};
use auth::domain::user::{Identity, Profile, Taken};
use auth::ports::{Credentials, Insertion, KeyStore, LoginFailureStore, PasswordHash, UserStore};
use auth::postgres_migrations;
use auth::store::postgres::PostgresAuth;
use contracts::clients::User;
use contracts::time::later;
use contracts::{SeededEntropy, ServiceName, UserId};
use jiff::Timestamp;
use storage::StoreError;
use storage::postgres::{Database, Options, migrate};
use test_servers::postgres::TestDatabase;

use crate::given::noon;

pub(super) async fn a_database() -> TestDatabase {
    let database = TestDatabase::create();
    migrate(&database.url(), &[postgres_migrations()], noon())
        .await
        .unwrap();
    database
}

async fn connect(database: &TestDatabase) -> Database {
    let options = Options {
        // However busy the machine is.
        wait: Duration::from_secs(60),
        statement: Duration::from_secs(60),
        answer: Duration::from_secs(70),
        ..Options::default()
    };
    let entropy = Arc::new(SeededEntropy::new(7));
    Database::connect(&database.url(), ServiceName::Auth, options, entropy)
        .await
        .unwrap()
}

pub(super) async fn a_store(database: &TestDatabase) -> PostgresAuth {
    PostgresAuth::new(connect(database).await)
}

/// Two processes on one database, each with connections of its own. Calls go to them by turns.
pub(super) struct Replicas {
    stores: [PostgresAuth; 2],
    calls: AtomicUsize,
}

impl Replicas {
    pub(super) async fn of(database: &TestDatabase) -> Self {
        Self {
            stores: [a_store(database).await, a_store(database).await],
            calls: AtomicUsize::new(0),
        }
    }

    fn next(&self) -> &PostgresAuth {
        &self.stores[self.calls.fetch_add(1, Ordering::Relaxed) % 2]
    }
}

#[async_trait]
impl UserStore for Replicas {
    async fn insert(&self, now: Timestamp, profile: Profile, hash: PasswordHash) -> Result<Insertion, StoreError> {
        self.next().insert(now, profile, hash).await
    }

    async fn insert_hot_wallet(&self, now: Timestamp) -> Result<bool, StoreError> {
        self.next().insert_hot_wallet(now).await
    }

    async fn taken(&self, identity: Identity) -> Result<Taken, StoreError> {
        self.next().taken(identity).await
    }

    async fn credentials(&self, username: String) -> Result<Option<Credentials>, StoreError> {
        self.next().credentials(username).await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.next().user(id).await
    }
}

#[async_trait]
impl KeyStore for Replicas {
    async fn amend(
        &self,
        now: Timestamp,
        wish: Wish,
        fresh: KeyRecord,
        rules: KeyRules,
    ) -> Result<(Change, Vec<KeyRecord>), StoreError> {
        self.next().amend(now, wish, fresh, rules).await
    }
}

#[async_trait]
impl LoginFailureStore for Replicas {
    async fn closed_until(
        &self,
        now: Timestamp,
        account: Account,
        policy: FailurePolicy,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.next().closed_until(now, account, policy).await
    }

    async fn conclude(
        &self,
        now: Timestamp,
        account: Account,
        right: bool,
        policy: FailurePolicy,
    ) -> Result<Verdict, StoreError> {
        self.next().conclude(now, account, right, policy).await
    }
}

/// How many rows a table has.
async fn rows_in(database: &Database, table: &str) -> i64 {
    let rows = database.query(&format!("SELECT count(*) FROM auth.{table}"), &[]).await;
    rows.unwrap()[0].get(0)
}

#[tokio::test]
async fn failures_that_do_not_count_any_more_are_forgotten() {
    let home = a_database().await;
    let database = connect(&home).await;
    let store = PostgresAuth::new(database.clone());
    let policy = FailurePolicy::default();
    let wrong = async |now, name: &str| {
        let verdict = store.conclude(now, Account::of(name), false, policy).await;
        assert_eq!(verdict, Ok(Verdict::Wrong));
    };
    for name in ["ada", "grace", "joan"] {
        wrong(noon(), name).await;
    }
    let almost = later(noon(), policy.window - Duration::from_micros(1));
    wrong(almost, "alan").await;
    assert_eq!(rows_in(&database, "login_failures").await, 4);
    wrong(later(noon(), policy.window), "ada").await;
    assert_eq!(
        rows_in(&database, "login_failures").await,
        2,
        "alan's, and ada's new one"
    );
}

#[tokio::test]
async fn a_success_without_failures_writes_nothing() {
    let home = a_database().await;
    let database = connect(&home).await;
    let store = PostgresAuth::new(database.clone());
    let policy = FailurePolicy::default();
    let verdict = store.conclude(noon(), Account::of("ada"), true, policy).await;
    assert_eq!(verdict, Ok(Verdict::Right));
    assert_eq!(rows_in(&database, "login_failures").await, 0);
}
