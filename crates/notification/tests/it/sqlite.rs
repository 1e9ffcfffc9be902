//! The suites on SQLite, what they start from there, and what only a database of one process has to promise.

#[path = "suites/audit.rs"]
mod audit;
#[path = "suites/deliveries.rs"]
mod deliveries;
#[path = "suites/submissions.rs"]
mod submissions;

use std::sync::Arc;

use async_trait::async_trait;
use contracts::{OrderId, ServiceName};
use notification::Settings;
use notification::ports::Mailer;
use notification::store::audit::NotificationFact;
use notification::store::sqlite::SqliteNotifications;
use notification::store::sqlite::audit::notifications_of_orders;
use storage::migrations::SchemaError;
use storage::outbox::OutboxRows;
use storage::sqlite::{Database, Durability, OpenError, Options, SqliteLetters, migrate, reader};
use tempfile::TempDir;

use crate::given::{self, Given, Home, Stores, TIMES, ToldMailer, command, noon};

async fn notification(mailer: Arc<dyn Mailer>) -> Given {
    given::notification(mailer)
}

async fn with(mailer: Arc<dyn Mailer>, settings: Settings) -> Given {
    let home = Folder::fresh();
    let opened = home.open_now();
    given::start(Arc::new(home), opened, mailer, settings)
}

/// A folder with a database in it.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn fresh() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn open_now(&self) -> (Stores, OutboxRows) {
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
        let database = Database::open(&self.0.path().join("notification.db"), options, |connection| {
            migrate(connection, &[notification::migrations()], noon())
                .map(drop)
                .map_err(Failure::Schema)
        });
        let database = database.unwrap();
        let (SqliteNotifications { commands, outbox }, rows) = SqliteNotifications::new(database.clone(), TIMES, 1_000);
        let letters = SqliteLetters::new(
            ServiceName::Notification,
            database,
            outbox.clone(),
            Some(commands.clone()),
        );
        let stores = Stores {
            commands: Arc::new(commands),
            outbox: Arc::new(outbox),
            letters: Arc::new(letters),
        };
        (stores, rows)
    }
}

#[async_trait]
impl Home for Folder {
    async fn open(&self) -> (Stores, OutboxRows) {
        self.open_now()
    }

    async fn facts(&self, from: OrderId, to: OrderId) -> Vec<NotificationFact> {
        let connection = reader(&self.0.path().join("notification.db")).unwrap();
        notifications_of_orders(&connection, from, to).unwrap()
    }
}

#[tokio::test]
async fn after_a_restart_nothing_waits_for_the_lease_of_a_dead_worker() {
    let given = notification(ToldMailer::new([]).0).await;
    given.submit(vec![command(7)]).await;
    given.claimed(7).await.unwrap();
    let given = given.restarted(ToldMailer::new([]).0).await;
    assert_eq!(given.claimed(7).await, None);
    assert_eq!(given.service.release_leases().await.unwrap(), 1);
    assert!(given.claimed(7).await.is_some());
}
