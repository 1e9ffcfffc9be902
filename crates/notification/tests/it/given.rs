//! What the tests start from: the service over a database of its own, a clock that stands still, and a mailer that
//! answers as it is told.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::clients::NotifyCommand;
use contracts::messages::Step;
use contracts::{Clock, ManualClock, OrderId, SeededEntropy, ServiceName};
use jiff::Timestamp;
use notification::ports::{Mail, MailAnswer, Mailer};
use notification::store::sqlite::SqliteNotifications;
use notification::{Dependencies, Service, Settings};
use service_kit::internal::InternalTokens;
use service_kit::settings::Secret;
use storage::commands::{Claimed, CommandKey, CommandStore as _, CommandTimes, Record, Settlement};
use storage::migrations::SchemaError;
use storage::sqlite::{Database, Durability, OpenError, Options, OutboxRows, SqliteLetters, migrate};
use tempfile::TempDir;
use tokio::sync::mpsc;
use transport::local::LocalTransport;

pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// The service under test, and what it stands on.
pub(crate) struct Given {
    pub(crate) service: Service,
    pub(crate) stores: SqliteNotifications,
    pub(crate) letters: SqliteLetters,
    pub(crate) rows: OutboxRows,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) transport: Arc<LocalTransport>,
    pub(crate) folder: Arc<TempDir>,
}

/// The service over a fresh database, with this mailer, at noon of a day.
pub(crate) fn notification(mailer: Arc<dyn Mailer>) -> Given {
    with(mailer, Settings::default())
}

pub(crate) fn with(mailer: Arc<dyn Mailer>, settings: Settings) -> Given {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    begin(folder, Arc::new(ManualClock::new(noon())), mailer, settings)
}

pub(crate) fn noon() -> Timestamp {
    "2026-03-04T12:00:00Z".parse().unwrap()
}

fn begin(folder: Arc<TempDir>, clock: Arc<ManualClock>, mailer: Arc<dyn Mailer>, settings: Settings) -> Given {
    let times = CommandTimes {
        lease: LEASE,
        hand_over: Duration::from_secs(5),
        stuck_after: Duration::from_secs(30),
    };
    let database = open(folder.path());
    let (stores, rows) = SqliteNotifications::new(database.clone(), times, 1_000);
    let (outbox, commands) = (stores.outbox.clone(), stores.commands.clone());
    let letters = SqliteLetters::new(ServiceName::Notification, database, outbox, Some(commands));
    let transport = Arc::new(LocalTransport::new(1_000));
    let service = process(&stores, &clock, &transport, mailer, settings);
    Given {
        service,
        stores,
        letters,
        rows,
        clock,
        transport,
        folder,
    }
}

/// A process over these stores.
pub(crate) fn process(
    stores: &SqliteNotifications,
    clock: &Arc<ManualClock>,
    transport: &Arc<LocalTransport>,
    mailer: Arc<dyn Mailer>,
    settings: Settings,
) -> Service {
    let callers = ["wallet", "exchanger", "operator:ann"];
    let tokens = callers.map(|name| (name.parse().unwrap(), Secret::new(&format!("token-of-{name}"))));
    Service::new(Dependencies {
        commands: Arc::new(stores.commands.clone()),
        outbox: Arc::new(stores.outbox.clone()),
        transport: Arc::clone(transport) as _,
        mailer,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        entropy: Arc::new(SeededEntropy::new(7)),
        internal_tokens: Arc::new(InternalTokens::try_new(tokens).unwrap()),
        settings,
    })
}

fn open(folder: &Path) -> Database {
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
    Database::open(&folder.join("notification.db"), options, |connection| {
        migrate(connection, &[notification::migrations()], noon())
            .map(drop)
            .map_err(Failure::Schema)
    })
    .unwrap()
}

pub(crate) fn order(number: i64) -> OrderId {
    OrderId::try_new(number).unwrap()
}

pub(crate) fn key(number: i64) -> CommandKey {
    CommandKey {
        order_id: order(number),
        step: Step::Notify,
    }
}

/// What wallet says about an order.
pub(crate) fn command(number: i64) -> NotifyCommand {
    NotifyCommand {
        order_id: order(number),
        email: "ada@example.com".to_owned(),
        payload: format!("Order {number} is completed\n\nYou bought 3 BTC."),
    }
}

impl Given {
    pub(crate) async fn submit(&self, commands: Vec<NotifyCommand>) -> Vec<contracts::clients::Submission> {
        self.service.client().submit(commands).await.unwrap()
    }

    pub(crate) async fn record(&self, number: i64) -> Option<Record> {
        self.stores.commands.record(key(number)).await.unwrap()
    }

    /// Claims what is due, as a worker does: by its wake-up, or by the sweep.
    pub(crate) async fn claimed(&self, number: i64) -> Option<Claimed> {
        let claimed = self
            .stores
            .commands
            .claim(self.clock.now(), vec![key(number)])
            .await
            .unwrap();
        claimed.into_iter().next()
    }

    pub(crate) async fn settle(&self, claimed: &Claimed, settlement: Settlement) {
        let settlements = vec![(claimed.key, claimed.epoch, settlement)];
        self.stores
            .commands
            .settle(self.clock.now(), settlements)
            .await
            .unwrap();
    }

    /// The process dies, and another starts on its file, with this mailer.
    pub(crate) fn restarted(self, mailer: Arc<dyn Mailer>) -> Self {
        let Self {
            service,
            stores,
            letters,
            rows,
            clock,
            folder,
            ..
        } = self;
        drop((service, stores, letters, rows));
        begin(folder, clock, mailer, Settings::default())
    }
}

/// Answers as told, [`MailAnswer::Delivered`] when told nothing, and shows what it was given.
pub(crate) struct ToldMailer {
    answers: Mutex<VecDeque<MailAnswer>>,
    sent: Mutex<Vec<Mail>>,
    seen: mpsc::Sender<OrderId>,
}

impl ToldMailer {
    pub(crate) fn new(answers: impl IntoIterator<Item = MailAnswer>) -> (Arc<Self>, mpsc::Receiver<OrderId>) {
        let (seen, orders) = mpsc::channel(1_000);
        let mailer = Self {
            answers: Mutex::new(answers.into_iter().collect()),
            sent: Mutex::default(),
            seen,
        };
        (Arc::new(mailer), orders)
    }

    pub(crate) fn sent(&self) -> Vec<Mail> {
        self.sent.lock().unwrap().clone()
    }
}

#[async_trait]
impl Mailer for ToldMailer {
    async fn send(&self, mail: &Mail) -> MailAnswer {
        self.sent.lock().unwrap().push(mail.clone());
        let _ = self.seen.try_send(mail.order_id);
        self.answers
            .lock()
            .unwrap()
            .pop_front()
            .unwrap_or(MailAnswer::Delivered)
    }
}
