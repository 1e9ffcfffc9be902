//! The whole service at work: API, lane, worker, queue, dispatcher and outbox, by the machine's own clock, with a venue that
//! misbehaves by chance.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::clients::{Exchanger, Submission};
use contracts::ledger::Owner;
use contracts::messages::{Message, Queue, Status, Step, StepResult};
use contracts::{Amount, Asset, Clock, OrderId, SeededEntropy, SystemClock};
use exchanger::store::sqlite::SqliteExchanger;
use exchanger::venue::simulated::{Course, Manners, Market, RandomManners, Rates, SimulatedVenue};
use exchanger::{Dependencies, Rules, Service, Settings};
use service_kit::internal::InternalTokens;
use service_kit::shutdown::Shutdown;
use storage::commands::CommandTimes;
use storage::sqlite::OutboxRows;
use tempfile::TempDir;
use transport::local::LocalTransport;
use transport::queue::{Subscription, Transport};

use crate::books::Books;
use crate::scene::{basis_points, btc, buy, database, name, order, sell, usd, user};

const TIMES: CommandTimes = CommandTimes {
    lease: Duration::from_secs(5),
    hand_over: Duration::from_millis(500),
    stuck_after: Duration::from_secs(30),
};

const SETTINGS: Settings = Settings {
    rules: Rules {
        order_life: Duration::from_secs(2),
        shortest_life: Duration::from_millis(500),
        engine_timeout: Duration::from_millis(300),
        clock_skew: Duration::from_millis(50),
        first_pause: Duration::from_millis(20),
        longest_pause: Duration::from_millis(200),
        max_attempts: 3,
        max_reverse_attempts: 5,
        reverse_pause: Duration::from_millis(20),
    },
    venue_timeout: Duration::from_secs(3),
    concurrency: 64,
    lane_capacity: 16,
    sweep_every: Duration::from_millis(50),
};

struct Running {
    service: Service,
    venue: SimulatedVenue,
    books: Arc<Books>,
    results: Box<dyn Subscription>,
    shutdown: Shutdown,
    rows: Option<OutboxRows>,
    _folder: TempDir,
}

impl Running {
    async fn with(manners: RandomManners) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let manners: Arc<dyn Manners> = Arc::new(manners);
        let path = folder.path().join("venue.db");
        let market = Market {
            spread: basis_points(37),
            fee: basis_points(15),
            ..Market::default()
        };
        let venue = SimulatedVenue::try_open(&path, name(), market, manners, Arc::clone(&clock)).unwrap();
        let (stores, rows) = SqliteExchanger::new(database(&folder), TIMES, 1_000);
        let books = Arc::new(Books::with_hot_wallet(&[usd("1000"), btc("1000")]));
        let transport = Arc::new(LocalTransport::new(1_000));
        let results = transport.subscribe(Queue::SagaSteps).await.unwrap();
        let service = Service::new(Dependencies {
            commands: Arc::new(stores.commands),
            installation: Arc::new(stores.installation),
            outbox: Arc::new(stores.outbox),
            balance: books.clone(),
            venue: Arc::new(venue.clone()),
            transport,
            internal_tokens: Arc::new(InternalTokens::try_new([]).unwrap()),
            clock,
            entropy: Arc::new(SeededEntropy::new(1)),
            settings: SETTINGS,
        });
        Self {
            service,
            venue,
            books,
            results,
            shutdown: Shutdown::new(),
            rows: Some(rows),
            _folder: folder,
        }
    }

    /// The results of so many orders, each the first that is heard.
    async fn results(&mut self, orders: usize) -> BTreeMap<OrderId, StepResult> {
        let mut results = BTreeMap::new();
        while results.len() < orders {
            let deliveries = tokio::time::timeout(Duration::from_secs(60), self.results.receive(100)).await;
            for delivery in deliveries.expect("every order ends within a minute") {
                let Message {
                    order_id,
                    step,
                    status,
                    result,
                    ..
                } = delivery.message;
                assert_eq!(step, Step::Exchange);
                if status != Status::Unresolved {
                    results.entry(order_id).or_insert(result.unwrap());
                }
            }
        }
        results
    }

    async fn stop(self) {
        self.shutdown.request();
        self.shutdown.wait(Duration::from_secs(20)).await.unwrap();
    }
}

async fn submit(client: &dyn Exchanger, command: contracts::clients::ExchangeCommand) {
    let outcome = client.submit(vec![command]).await.unwrap();
    assert_eq!(outcome, [Submission::Accepted { replayed: false }]);
}

/// A venue at which two of three order meets with trouble, and whose price moves.
fn rude_manners() -> RandomManners {
    let rates = Rates {
        refuse: basis_points(1_000),
        partial: basis_points(1_500),
        fill_nothing: basis_points(500),
        executed_but_timed_out: basis_points(1_500),
        timed_out_not_executed: basis_points(1_000),
        not_yet_visible: basis_points(1_000),
        hidden_for: Duration::from_millis(150),
        slow: basis_points(500),
        slow_by: Duration::from_millis(50),
    };
    let course = Course {
        seed: 11,
        drift: 3,
        volatility: basis_points(40),
    };
    RandomManners::try_new(11, rates, Duration::from_millis(2), course).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_orders_at_a_rude_venue_all_end_and_the_books_are_the_venues() {
    let mut running = Running::with(rude_manners()).await;
    running.service.start_worker(&running.shutdown);
    running
        .service
        .start_dispatcher(running.rows.take().unwrap(), &running.shutdown);
    let client = running.service.client();
    for number in 1..=200 {
        let command = if number % 2 == 0 {
            buy(number, "29.99")
        } else {
            sell(number, "1.23456789")
        };
        running.books.hold(command.order_id, user(), command.amount);
        submit(&*client, command).await;
    }
    let results = running.results(200).await;
    let executions = running.venue.executions(0, 1_000).await.unwrap();
    let mut crypto_at_venue = 0;
    for (order_id, result) in &results {
        let fills: Vec<_> = executions
            .iter()
            .filter(|execution| execution.client_order_id.order_id == *order_id)
            .flat_map(|execution| &execution.fills)
            .collect();
        let filled: i128 = fills.iter().map(|fill| fill.quantity.units()).sum();
        assert!(fills.len() <= 1, "order {order_id} was executed twice");
        match result {
            StepResult::Traded(trade) => {
                assert_eq!(trade.filled.units(), filled);
                assert_eq!(trade.price, fills[0].price);
                let sold = order_id.get() % 2 == 1;
                crypto_at_venue += if sold { filled } else { -filled };
            }
            StepResult::Failure { code, .. } => {
                assert_eq!(filled, 0, "order {order_id} failed ({code}), and yet executed");
            }
            other @ (StepResult::Transferred { .. } | StepResult::Reversed | StepResult::Notified) => {
                panic!("{other:?}")
            }
        }
    }
    running.books.check();
    let at_venue = running.books.balance(name().account(), Asset::BTC);
    assert_eq!(at_venue, Amount::new(crypto_at_venue, Asset::BTC));
    let failures = results
        .values()
        .filter(|result| matches!(result, StepResult::Failure { .. }))
        .count();
    assert!(
        (10..100).contains(&failures),
        "{failures} of 200 failed: the venue was not as rude as it should be"
    );
    assert!(running.books.balance(&Owner::Fees, Asset::USD).is_positive());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_before_the_worker_started_comes_by_the_queue() {
    let manners = RandomManners::try_new(0, Rates::default(), Duration::ZERO, Course::default()).unwrap();
    let mut running = Running::with(manners).await;
    let client = running.service.client();
    for number in 1..=20 {
        running.books.hold(order(number), user(), btc("1"));
        submit(&*client, sell(number, "1")).await;
    }
    running
        .service
        .start_dispatcher(running.rows.take().unwrap(), &running.shutdown);
    running.service.start_worker(&running.shutdown);
    let results = running.results(20).await;
    assert!(results.values().all(|result| matches!(result, StepResult::Traded(_))));
    running.stop().await;
}
