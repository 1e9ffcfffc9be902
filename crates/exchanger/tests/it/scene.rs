//! A scene: one exchanger on a store of its own, a simulated venue, books, and a clock that moves when it is told.

use std::sync::Arc;
use std::time::Duration;

use contracts::clients::{ExchangeCommand, Exchanger, Side, Submission};
use contracts::ledger::Owner;
use contracts::messages::{Step, StepResult, Trade};
use contracts::{Amount, Asset, BasisPoints, Clock, ManualClock, OrderId, Price, SeededEntropy, UserId};
use exchanger::ports::{ClientOrderId, Installation, InstallationId, VenueName};
use exchanger::store::sqlite::SqliteExchanger;
use exchanger::venue::simulated::{Conduct, Execution, Market, ScriptedManners, SimulatedVenue};
use exchanger::{Dependencies, Rules, Service, Settings};
use jiff::Timestamp;
use rusqlite::Connection;
use service_kit::internal::{Caller, InternalTokens};
use service_kit::settings::Secret;
use storage::StoreError;
use storage::commands::{Claimed, CommandKey, CommandStore, CommandTimes, Fencing, Record, Settlement, State};
use storage::migrations::SchemaError;
use storage::outbox::{OutboxRow, OutboxRows, OutboxStore};
use storage::sqlite::{Database, Durability, OpenError, Options, migrate};
use tempfile::TempDir;
use transport::local::LocalTransport;

use crate::books::Books;

pub(crate) const TIMES: CommandTimes = CommandTimes {
    lease: Duration::from_secs(30),
    hand_over: Duration::from_secs(3),
    stuck_after: Duration::from_secs(30),
};

pub(crate) const USER: i64 = 2;

pub(crate) const INSTALLATION: InstallationId = InstallationId::new(0x5eed_0001);

/// An installation that is told which one it is.
struct Told(InstallationId);

#[async_trait::async_trait]
impl Installation for Told {
    async fn id(&self) -> Result<InstallationId, StoreError> {
        Ok(self.0)
    }
}

/// Our name for an attempt at the venue.
pub(crate) fn client_order_id(number: i64, step: Step, attempt: u32) -> ClientOrderId {
    ClientOrderId {
        installation: Some(INSTALLATION),
        order_id: order(number),
        step,
        attempt,
    }
}

pub(crate) fn btc(text: &str) -> Amount {
    Amount::parse(text, Asset::BTC).unwrap()
}

pub(crate) fn usd(text: &str) -> Amount {
    Amount::parse(text, Asset::USD).unwrap()
}

pub(crate) fn order(number: i64) -> OrderId {
    OrderId::try_new(number).unwrap()
}

pub(crate) fn user() -> UserId {
    UserId::try_new(USER).unwrap()
}

pub(crate) fn price(text: &str) -> Price {
    text.parse().unwrap()
}

pub(crate) fn basis_points(points: u32) -> BasisPoints {
    BasisPoints::try_new(points).unwrap()
}

pub(crate) fn exchange(number: i64) -> CommandKey {
    CommandKey {
        order_id: order(number),
        step: Step::Exchange,
    }
}

pub(crate) fn reverse(number: i64) -> CommandKey {
    CommandKey {
        order_id: order(number),
        step: Step::Reverse,
    }
}

pub(crate) fn command(number: i64, side: Side, amount: Amount, compensate: bool) -> ExchangeCommand {
    ExchangeCommand {
        order_id: order(number),
        acquirer_user_id: user(),
        side,
        asset: Asset::BTC,
        currency: Asset::USD,
        amount,
        compensate,
    }
}

pub(crate) fn buy(number: i64, fiat: &str) -> ExchangeCommand {
    command(number, Side::Buy, usd(fiat), false)
}

pub(crate) fn sell(number: i64, crypto: &str) -> ExchangeCommand {
    command(number, Side::Sell, btc(crypto), false)
}

pub(crate) fn undo(number: i64, crypto: &str) -> ExchangeCommand {
    command(number, Side::Buy, btc(crypto), true)
}

/// The trade in a result that has to be one.
pub(crate) fn trade(result: StepResult) -> Trade {
    let StepResult::Traded(trade) = result else {
        panic!("not a trade: {result:?}");
    };
    trade
}

pub(crate) fn name() -> VenueName {
    VenueName::try_new("sim").unwrap()
}

#[derive(Debug)]
struct NoDatabase;

impl From<OpenError> for NoDatabase {
    fn from(error: OpenError) -> Self {
        panic!("{error}");
    }
}

impl From<SchemaError> for NoDatabase {
    fn from(error: SchemaError) -> Self {
        panic!("{error}");
    }
}

pub(crate) fn database(folder: &TempDir) -> Database {
    let options = Options {
        durability: Durability::ProcessCrash,
        ..Options::default()
    };
    Database::open(&folder.path().join("cambist.db"), options, prepare).unwrap()
}

/// A database whose commits are on disk when `to_disk` says so.
pub(crate) fn database_on(folder: &TempDir, to_disk: impl Fn() -> std::io::Result<()> + Send + 'static) -> Database {
    let path = folder.path().join("cambist.db");
    Database::open_on(&path, Options::default(), to_disk, prepare).unwrap()
}

fn prepare(connection: &mut Connection) -> Result<(), NoDatabase> {
    migrate(connection, &[exchanger::migrations()], Timestamp::UNIX_EPOCH)?;
    Ok(())
}

fn manual_clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new("2026-01-01T12:00:00Z".parse().unwrap()))
}

/// Where a scene's commands lie.
pub(crate) struct Stores {
    pub(crate) commands: Arc<dyn CommandStore>,
    pub(crate) outbox: Arc<dyn OutboxStore>,
    pub(crate) installation: Arc<dyn Installation>,
    pub(crate) rows: OutboxRows,
}

pub(crate) struct Scene {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Arc<dyn CommandStore>,
    pub(crate) venue: SimulatedVenue,
    pub(crate) manners: Arc<ScriptedManners>,
    pub(crate) books: Arc<Books>,
    pub(crate) service: Service,
    pub(crate) dependencies: Dependencies,
    pub(crate) rules: Rules,
    rows: OutboxRows,
    _folder: TempDir,
}

impl Scene {
    /// The hot wallet holds 1,000 of everything; the venue trades at 10 and fills everything.
    pub(crate) fn new() -> Self {
        let clock = manual_clock();
        Self::beside_a_venue_with(clock.clone(), clock)
    }

    /// The same, with a venue whose clock is its own.
    pub(crate) fn beside_a_venue_with(venue_clock: Arc<ManualClock>, clock: Arc<ManualClock>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder);
        Self::in_database(folder, database, venue_clock, clock)
    }

    /// The same as a new one, on a disk of the caller's.
    pub(crate) fn on_disk(to_disk: impl Fn() -> std::io::Result<()> + Send + 'static) -> Self {
        let (folder, clock) = (tempfile::tempdir().unwrap(), manual_clock());
        let database = database_on(&folder, to_disk);
        Self::in_database(folder, database, clock.clone(), clock)
    }

    fn in_database(
        folder: TempDir,
        database: Database,
        venue_clock: Arc<ManualClock>,
        clock: Arc<ManualClock>,
    ) -> Self {
        let (stores, rows) = SqliteExchanger::new(database, TIMES, 1_000);
        let stores = Stores {
            commands: Arc::new(stores.commands),
            outbox: Arc::new(stores.outbox),
            installation: Arc::new(Told(INSTALLATION)),
            rows,
        };
        Self::with(folder, stores, venue_clock, clock)
    }

    /// The same as a new one, on stores of any kind.
    pub(crate) fn on(stores: Stores) -> Self {
        let clock = manual_clock();
        Self::with(tempfile::tempdir().unwrap(), stores, clock.clone(), clock)
    }

    fn with(folder: TempDir, stores: Stores, venue_clock: Arc<ManualClock>, clock: Arc<ManualClock>) -> Self {
        let manners = Arc::new(ScriptedManners::new(Conduct::Fill));
        let venue = SimulatedVenue::try_open(
            &folder.path().join("venue.db"),
            name(),
            Market::default(),
            manners.clone(),
            venue_clock,
        )
        .unwrap();
        let books = Arc::new(Books::with_hot_wallet(&[usd("1000"), btc("1000")]));
        let store = stores.commands;
        let settings = Settings::default();
        let dependencies = Dependencies {
            commands: Arc::clone(&store),
            installation: stores.installation,
            outbox: stores.outbox,
            balance: books.clone(),
            venue: Arc::new(venue.clone()),
            transport: Arc::new(LocalTransport::new(100)),
            internal_tokens: Arc::new(tokens()),
            clock: clock.clone(),
            entropy: Arc::new(SeededEntropy::new(7)),
            settings,
        };
        Self {
            _folder: folder,
            clock,
            store,
            venue,
            manners,
            books,
            service: Service::new(dependencies.clone()),
            dependencies,
            rules: settings.rules,
            rows: stores.rows,
        }
    }

    pub(crate) fn client(&self) -> Arc<dyn Exchanger> {
        self.service.client()
    }

    /// The hold of the command's order, and the command.
    pub(crate) async fn order(&self, command: ExchangeCommand) {
        self.books.hold(command.order_id, user(), command.amount);
        assert_eq!(self.submit(command).await, Submission::Accepted { replayed: false });
    }

    pub(crate) async fn submit(&self, command: ExchangeCommand) -> Submission {
        self.client().submit(vec![command]).await.unwrap().pop().unwrap()
    }

    /// Takes the command as a wake-up would.
    pub(crate) async fn claim(&self, key: CommandKey) -> Claimed {
        self.try_claim(key).await.unwrap()
    }

    pub(crate) async fn try_claim(&self, key: CommandKey) -> Option<Claimed> {
        self.store.claim(self.clock.now(), vec![key]).await.unwrap().pop()
    }

    pub(crate) async fn handle(&self, claimed: Claimed) -> Settlement {
        self.service.handler().handle(claimed).await
    }

    pub(crate) async fn settle(&self, key: CommandKey, epoch: i64, settlement: Settlement) -> Fencing {
        let settlements = vec![(key, epoch, settlement)];
        self.store
            .settle(self.clock.now(), settlements)
            .await
            .unwrap()
            .pop()
            .unwrap()
    }

    /// One claim, carried out and settled.
    pub(crate) async fn work(&self, key: CommandKey) -> Settlement {
        let claimed = self.claim(key).await;
        let epoch = claimed.epoch;
        let settlement = self.handle(claimed).await;
        assert_eq!(self.settle(key, epoch, settlement.clone()).await, Fencing::Written);
        settlement
    }

    pub(crate) async fn record(&self, key: CommandKey) -> Record {
        self.store.record(key).await.unwrap().unwrap()
    }

    /// Lets the worker work, and time pass, until the command is at its end. Checks the books on the way.
    pub(crate) async fn finish(&self, key: CommandKey) -> StepResult {
        let limit = 10_000;
        for _ in 0..limit {
            while self.try_work(key).await {}
            self.books.check();
            let record = self.record(key).await;
            match record.state {
                State::Open => self.clock.advance(Duration::from_millis(50)),
                State::Done | State::Failed => return record.result.unwrap(),
                State::Dead => panic!("the command is dead"),
            }
        }
        panic!("the command has not ended after {limit} rounds");
    }

    /// The same, if it can be claimed now.
    pub(crate) async fn try_work(&self, key: CommandKey) -> bool {
        let Some(claimed) = self.try_claim(key).await else {
            return false;
        };
        let epoch = claimed.epoch;
        let settlement = self.handle(claimed).await;
        self.settle(key, epoch, settlement).await;
        true
    }

    /// What the venue has really done, by its own statement.
    pub(crate) async fn executions(&self) -> Vec<Execution> {
        let executions = self.venue.executions(0, 1_000).await.unwrap();
        executions
            .into_iter()
            .filter(|execution| !execution.fills.is_empty())
            .collect()
    }

    /// The outbox rows that left the store so far.
    pub(crate) fn published(&mut self) -> Vec<OutboxRow> {
        std::iter::from_fn(|| self.rows.try_recv().ok()).collect()
    }

    /// Fiat and crypto of the user, then of the hot wallet without its capital.
    pub(crate) fn balances(&self) -> [String; 4] {
        let (user, hot) = (Owner::User(user()), Owner::HotWallet);
        let beyond_capital = |amount: Amount, capital: Amount| amount.checked_sub(capital).unwrap().to_string();
        [
            self.books.balance(&user, Asset::USD).to_string(),
            self.books.balance(&user, Asset::BTC).to_string(),
            beyond_capital(self.books.balance(&hot, Asset::USD), usd("1000")),
            beyond_capital(self.books.balance(&hot, Asset::BTC), btc("1000")),
        ]
    }
}

pub(crate) const WALLET_TOKEN: &str = "wallet-token-wallet-token-wallet";
pub(crate) const BALANCE_TOKEN: &str = "balance-token-balance-token-bala";
pub(crate) const OPERATOR_TOKEN: &str = "operator-token-operator-token-op";

fn tokens() -> InternalTokens {
    let tokens = [
        ("wallet", WALLET_TOKEN),
        ("balance", BALANCE_TOKEN),
        ("operator:ann", OPERATOR_TOKEN),
    ];
    let parsed = tokens.map(|(caller, token)| (caller.parse::<Caller>().unwrap(), Secret::new(token)));
    InternalTokens::try_new(parsed).unwrap()
}
