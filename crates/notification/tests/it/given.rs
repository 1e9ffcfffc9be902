//! What the tests start from: the service over stores of its own, a clock that stands still, and a mailer that
//! answers as it is told.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::clients::NotifyCommand;
use contracts::messages::Step;
use contracts::operators::DeadLetters;
use contracts::{Clock, ManualClock, OrderId, SeededEntropy};
use jiff::Timestamp;
use notification::ports::{Mail, MailAnswer, Mailer};
use notification::store::audit::NotificationFact;
use notification::{Dependencies, Service, Settings};
use service_kit::internal::InternalTokens;
use service_kit::settings::Secret;
use storage::commands::{Claimed, CommandKey, CommandStore, CommandTimes, Record, Settlement};
use storage::outbox::{OutboxRows, OutboxStore};
use tokio::sync::mpsc;
use transport::local::LocalTransport;

use crate::sqlite::Folder;

pub(crate) const LEASE: Duration = Duration::from_secs(30);

pub(crate) const TIMES: CommandTimes = CommandTimes {
    lease: LEASE,
    hand_over: Duration::from_secs(5),
    stuck_after: Duration::from_secs(30),
};

/// The service under test, and what it stands on.
pub(crate) struct Given {
    pub(crate) service: Service,
    pub(crate) stores: Stores,
    pub(crate) rows: OutboxRows,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) transport: Arc<LocalTransport>,
    /// Last, so that nobody is at the database any more when it goes.
    pub(crate) home: Arc<dyn Home>,
}

/// Where notifications lie.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) commands: Arc<dyn CommandStore>,
    pub(crate) outbox: Arc<dyn OutboxStore>,
    pub(crate) letters: Arc<dyn DeadLetters>,
}

/// A database of a test's own, which is there for as long as this.
#[async_trait]
pub(crate) trait Home: Send + Sync {
    /// As a process does that starts on it.
    async fn open(&self) -> (Stores, OutboxRows);

    /// What an auditor reads beside those.
    async fn facts(&self, from: OrderId, to: OrderId) -> Vec<NotificationFact>;
}

/// The service over a fresh database, wherever that does not matter, with this mailer, at noon of a day.
pub(crate) fn notification(mailer: Arc<dyn Mailer>) -> Given {
    let home = Folder::fresh();
    let opened = home.open_now();
    start(Arc::new(home), opened, mailer, Settings::default())
}

pub(crate) fn noon() -> Timestamp {
    "2026-03-04T12:00:00Z".parse().unwrap()
}

/// The service over a database that was opened, at noon of a day.
pub(crate) fn start(
    home: Arc<dyn Home>,
    opened: (Stores, OutboxRows),
    mailer: Arc<dyn Mailer>,
    settings: Settings,
) -> Given {
    begin(home, opened, Arc::new(ManualClock::new(noon())), mailer, settings)
}

fn begin(
    home: Arc<dyn Home>,
    (stores, rows): (Stores, OutboxRows),
    clock: Arc<ManualClock>,
    mailer: Arc<dyn Mailer>,
    settings: Settings,
) -> Given {
    let transport = Arc::new(LocalTransport::new(1_000));
    let service = process(&stores, &clock, &transport, mailer, settings);
    Given {
        service,
        stores,
        rows,
        clock,
        transport,
        home,
    }
}

/// A process over these stores.
pub(crate) fn process(
    stores: &Stores,
    clock: &Arc<ManualClock>,
    transport: &Arc<LocalTransport>,
    mailer: Arc<dyn Mailer>,
    settings: Settings,
) -> Service {
    let callers = ["wallet", "exchanger", "operator:ann"];
    let tokens = callers.map(|name| (name.parse().unwrap(), Secret::new(&format!("token-of-{name}"))));
    Service::new(Dependencies {
        commands: Arc::clone(&stores.commands),
        outbox: Arc::clone(&stores.outbox),
        transport: Arc::clone(transport) as _,
        mailer,
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        entropy: Arc::new(SeededEntropy::new(7)),
        internal_tokens: Arc::new(InternalTokens::try_new(tokens).unwrap()),
        settings,
    })
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

    /// The process dies, and another starts on its database, with this mailer.
    pub(crate) async fn restarted(self, mailer: Arc<dyn Mailer>) -> Self {
        let Self {
            service,
            stores,
            rows,
            clock,
            home,
            ..
        } = self;
        drop((service, stores, rows));
        let opened = home.open().await;
        begin(home, opened, clock, mailer, Settings::default())
    }
}

/// One round of a worker: claims the order's notification, handles it, and settles it. `None` if it was not due.
pub(crate) async fn one_round(given: &Given, number: i64) -> Option<Settlement> {
    let claimed = given.claimed(number).await?;
    let settlement = given.service.handler().handle(claimed.clone()).await;
    given.settle(&claimed, settlement.clone()).await;
    Some(settlement)
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
