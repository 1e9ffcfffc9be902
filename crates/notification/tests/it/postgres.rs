//! The suites on PostgreSQL, what they start from there, and what only replicas have to promise.

#[path = "suites/audit.rs"]
mod audit;
#[path = "suites/deliveries.rs"]
mod deliveries;
#[path = "suites/submissions.rs"]
mod submissions;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::clients::Submission;
use contracts::{OrderId, SeededEntropy, ServiceName};
use notification::ports::Mailer;
use notification::store::audit::NotificationFact;
use notification::store::postgres::PostgresNotifications;
use notification::store::postgres::audit::notifications_of_orders;
use notification::{Settings, postgres_migrations};
use storage::outbox::OutboxRows;
use storage::postgres::{Database, Options, PostgresLetters, migrate};
use test_servers::postgres::TestDatabase;

use crate::given::{self, Given, Home, Stores, TIMES, ToldMailer, command, noon, process};

async fn notification(mailer: Arc<dyn Mailer>) -> Given {
    with(mailer, Settings::default()).await
}

async fn with(mailer: Arc<dyn Mailer>, settings: Settings) -> Given {
    let home = TestDatabase::create();
    migrate(&home.url(), &[postgres_migrations()], noon()).await.unwrap();
    let opened = home.open().await;
    given::start(Arc::new(home), opened, mailer, settings)
}

async fn connect(home: &TestDatabase) -> Database {
    let options = Options {
        // However busy the machine is.
        wait: Duration::from_secs(60),
        statement: Duration::from_secs(60),
        answer: Duration::from_secs(70),
        ..Options::default()
    };
    let entropy = Arc::new(SeededEntropy::new(7));
    Database::connect(&home.url(), ServiceName::Notification, options, entropy)
        .await
        .unwrap()
}

#[async_trait]
impl Home for TestDatabase {
    async fn open(&self) -> (Stores, OutboxRows) {
        let database = connect(self).await;
        let (stores, rows) = PostgresNotifications::new(database.clone(), TIMES, 1_000);
        let PostgresNotifications { commands, outbox } = stores;
        let letters = PostgresLetters::new(database, outbox.clone(), Some(commands.clone()));
        let stores = Stores {
            commands: Arc::new(commands),
            outbox: Arc::new(outbox),
            letters: Arc::new(letters),
        };
        (stores, rows)
    }

    async fn facts(&self, from: OrderId, to: OrderId) -> Vec<NotificationFact> {
        let mut tx = connect(self).await.snapshot().await.unwrap();
        let facts = notifications_of_orders(&mut tx, from, to).await.unwrap();
        tx.roll_back().await;
        facts
    }
}

#[tokio::test]
async fn what_reaches_two_replicas_at_once_is_one_notification_and_one_mail() {
    let (told, _) = ToldMailer::new([]);
    let one = notification(Arc::clone(&told) as _).await;
    let (stores, _rows) = one.home.open().await;
    let two = process(
        &stores,
        &one.clock,
        &one.transport,
        Arc::clone(&told) as _,
        Settings::default(),
    );
    let commands: Vec<_> = (1..=20).map(command).collect();
    let backwards: Vec<_> = commands.iter().rev().cloned().collect();
    let other = two.client();
    let (first, second) = tokio::join!(one.submit(commands), other.submit(backwards));
    let submissions: Vec<_> = first.into_iter().chain(second.unwrap()).collect();
    let new = Submission::Accepted { replayed: false };
    assert_eq!(submissions.iter().filter(|submission| **submission == new).count(), 20);
    let again = Submission::Accepted { replayed: true };
    assert_eq!(
        submissions.iter().filter(|submission| **submission == again).count(),
        20
    );

    let keys: Vec<_> = (1..=20).map(given::key).collect();
    let now = noon();
    let (mine, theirs) = tokio::join!(
        one.stores.commands.claim(now, keys.clone()),
        stores.commands.claim(now, keys)
    );
    let (mine, theirs) = (mine.unwrap(), theirs.unwrap());
    for claimed in mine.into_iter().chain(theirs) {
        let settlement = two.handler().handle(claimed.clone()).await;
        one.settle(&claimed, settlement).await;
    }
    assert_eq!(told.sent().len(), 20);
    assert_eq!(one.stores.commands.open_count().await, Ok(0));
}
