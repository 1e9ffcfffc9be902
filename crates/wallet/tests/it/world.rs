//! The service over a real store and queue, and hand-made neighbours that keep the promises of their ports.
//!
//! Every result is delivered twice, so that all of these tests are also tests of idempotence.

mod auth;
mod call;
mod clock;
mod ledger;
mod mailbox;
mod neighbours;
mod rulings;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use contracts::clients::Balance;
use contracts::ledger::{Leg, Owner};
use contracts::{Asset, Clock, Entropy as _, OrderId, ServiceName, SystemEntropy, UserId};
use http::Request;
use serde_json::Value;
use service_kit::auth::{Claims, SigningKey, TokenVerifier};
use service_kit::internal::{Caller, InternalTokens};
use service_kit::problem::with_fallbacks;
use service_kit::settings::Secret;
use service_kit::shutdown::Shutdown;
use storage::sqlite::{Database, OutboxRows, SqliteOutbox, reader};
use tempfile::TempDir;
use transport::local::LocalTransport;
use wallet::domain::{Order, OrderState, replay};
use wallet::ports::OrderStore as _;
use wallet::store::sqlite::{SqliteWallet, audit};
use wallet::{Dependencies, Deposits, Pacing, Service, Settings};

pub(crate) use self::auth::AuthFake;
use self::call::answer;
pub(crate) use self::call::{Answer, Call};
use self::clock::SetClock;
pub(crate) use self::ledger::{Ledger, LedgerMode};
pub(crate) use self::mailbox::Mailbox;
pub(crate) use self::neighbours::{Chain, Gateway, Reversal, Trader, Venue, message};
use crate::samples::user;
use crate::sqlite::open;

/// How often the store is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// The longest that anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the hot wallet has at the beginning, of each of USD and BTC.
pub(crate) const FUNDS: i128 = 1_000;

pub(crate) struct World {
    folder: TempDir,
    database: Database,
    pub(crate) ledger: Arc<Ledger>,
    /// The ledger as the service reaches it.
    balance: Arc<dyn Balance>,
    pub(crate) exchanger: Arc<Trader>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) auth: Arc<AuthFake>,
    pub(crate) clock: Arc<SetClock>,
    transport: Arc<LocalTransport>,
    key: SigningKey,
    process: Option<Process>,
}

/// What dies in a crash.
struct Process {
    service: Service,
    store: SqliteWallet,
    rows: Option<OutboxRows>,
    shutdown: Shutdown,
    public: Router,
    internal: Router,
}

/// Patient with decisions, quick with sweeps.
pub(crate) fn settings() -> Settings {
    Settings {
        deposits: Deposits::SelfService,
        max_in_flight: NonZeroUsize::new(100).unwrap(),
        key_lifetime: Duration::from_secs(7 * 24 * 60 * 60),
        hold_wait: PATIENCE,
        pacing: Pacing {
            first: Duration::from_millis(100),
            longest: Duration::from_millis(200),
        },
        sweep_every: Duration::from_millis(20),
        streams: wallet::Streams::default(),
        single_process: true,
    }
}

/// What is to be seen sooner or later.
async fn seen<T>(look: impl Fn() -> Option<T>) -> T {
    let seen = async {
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            // sleep: nobody tells; where time is virtual, this is what lets it pass
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.expect("it is seen")
}

impl World {
    /// A world whose service has neither dispatcher nor worker yet.
    pub(crate) async fn asleep(settings: Settings) -> Self {
        let ledger: Arc<Ledger> = Arc::default();
        Self::reaching(Arc::clone(&ledger) as _, ledger, settings).await
    }

    /// The same, whose service reaches the ledger in some other way.
    pub(crate) async fn reaching(balance: Arc<dyn Balance>, ledger: Arc<Ledger>, settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = open(&folder.path().join("wallet.db"));
        let transport = Arc::new(LocalTransport::new(1_024));
        let key = SigningKey::from_seed("test", &[7; 32]);
        let mut world = Self {
            folder,
            database,
            exchanger: Arc::new(Trader::new(Arc::clone(&transport), Arc::clone(&ledger))),
            gateway: Arc::new(Gateway::new(Arc::clone(&transport), Arc::clone(&ledger))),
            mailbox: Arc::default(),
            auth: Arc::new(AuthFake::new(key.public().unwrap())),
            clock: Arc::default(),
            ledger,
            balance,
            transport,
            key,
            process: None,
        };
        world.boot(settings).await;
        world
    }

    /// A world in which everything runs.
    pub(crate) async fn awake() -> Self {
        let mut world = Self::asleep(settings()).await;
        world.wake();
        world
    }

    async fn boot(&mut self, settings: Settings) {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let (outbox, rows) = SqliteOutbox::new(ServiceName::Wallet, self.database.clone(), 1_024);
        let store = SqliteWallet::new(self.database.clone(), outbox.clone());
        let cache = NonZeroUsize::new(64).unwrap();
        let auth = Arc::clone(&self.auth) as Arc<dyn contracts::clients::Auth>;
        let verifier = TokenVerifier::new(auth, Arc::clone(&clock), "cambist", "cambist", cache);
        let tokens = [
            (Caller::Operator("ann".to_owned()), Secret::new("ann-ann-ann-ann-ann")),
            (
                Caller::Service(ServiceName::Exchanger),
                Secret::new("exchanger-exchanger"),
            ),
        ];
        let service = Service::new(Dependencies {
            orders: Arc::new(store.clone()),
            deposits: Arc::new(store.clone()),
            freezes: Arc::new(store.clone()),
            keys: Arc::new(store.clone()),
            outbox: Arc::new(outbox),
            auth: Arc::clone(&self.auth) as _,
            balance: Arc::clone(&self.balance),
            exchanger: Arc::clone(&self.exchanger) as _,
            bc_gateway: Arc::clone(&self.gateway) as _,
            notification: Arc::clone(&self.mailbox) as _,
            transport: Arc::clone(&self.transport) as _,
            verifier: Arc::new(verifier),
            internal_tokens: Arc::new(InternalTokens::try_new(tokens).unwrap()),
            clock,
            entropy: Arc::new(SystemEntropy),
            settings,
        });
        service.prepare().await.unwrap();
        let shutdown = Shutdown::new();
        service.start_gauge(&shutdown).await.unwrap();
        self.process = Some(Process {
            public: with_fallbacks(service.public_routes().into()),
            internal: with_fallbacks(service.internal_routes().into()),
            store,
            rows: Some(rows),
            shutdown,
            service,
        });
    }

    /// Starts dispatcher and worker.
    pub(crate) fn wake(&mut self) {
        let process = self.process.as_mut().unwrap();
        let rows = process.rows.take().unwrap();
        process.service.start_dispatcher(rows, &process.shutdown);
        process.service.start_worker(&process.shutdown);
    }

    /// The process is gone with all it remembers; another one, asleep, has the same database.
    pub(crate) async fn crash(&mut self, settings: Settings) {
        let process = self.process.take().unwrap();
        process.shutdown.request();
        process.shutdown.wait(PATIENCE).await.unwrap();
        drop(process);
        self.boot(settings).await;
    }

    fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.process().service.in_flight()
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.process().service.open_streams()
    }

    /// The store itself, of which the service hears nothing.
    pub(crate) fn store(&self) -> &SqliteWallet {
        &self.process().store
    }

    pub(crate) fn token(&self, user: UserId) -> String {
        self.token_for(user, Duration::from_secs(900))
    }

    pub(crate) fn token_for(&self, user: UserId, lifetime: Duration) -> String {
        let id = SystemEntropy.next_id();
        let claims = Claims::new(user, "cambist", "cambist", self.clock.now(), lifetime, id);
        format!("Bearer {}", self.key.mint(&claims).unwrap())
    }

    /// A request by user 2.
    pub(crate) fn request(&self, method: &str, path: &str) -> Call<'_> {
        Call {
            world: self,
            method: method.parse().unwrap(),
            path: path.to_owned(),
            headers: vec![("authorization", self.token(user(2)))],
            body: None,
        }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.request("POST", path).json(body).send().await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send().await
    }

    /// An operator's request to the internal side.
    pub(crate) async fn operator(&self, path: &str, token: &str) -> Answer {
        let request = Request::get(path).header("authorization", token).body(Body::empty());
        answer(self.process().internal.clone(), request.unwrap()).await
    }

    /// Anybody's request to the internal side.
    pub(crate) async fn as_caller(&self, method: &str, path: &str, token: &str, body: Option<Value>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", token)
            .header("content-type", "application/json");
        let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
        answer(self.process().internal.clone(), request.body(body).unwrap()).await
    }

    /// A user 2 with a wallet and 600 USD.
    pub(crate) async fn with_600(&self) {
        assert_eq!(self.request("POST", "/wallet/2").send().await.status, 201);
        let deposit = serde_json::json!({"fiat_amount": 600});
        let answer = self.request("PATCH", "/wallet/2").json(deposit).send().await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }

    /// Places an order that is accepted.
    pub(crate) async fn accepted(&self, path: &str, body: Value) -> OrderId {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.order_id()
    }

    pub(crate) async fn order(&self, id: OrderId) -> Order {
        let (order, _) = self.process().store.order(user(2), id).await.unwrap().unwrap();
        order
    }

    /// Waits until the order is in this state, and nothing for it is left to do here.
    pub(crate) async fn until(&self, id: OrderId, state: OrderState) -> Order {
        match self.until_it(id, |order| order.saga.state == state).await {
            Some(order) => order,
            None => panic!("order {id} is {} and not {state}", self.order(id).await.saga.state),
        }
    }

    /// Waits until the sweep has come around more than once, by an order that waits for an answer.
    pub(crate) async fn swept(&self, waits: OrderId) {
        let before = self.order(waits).await.tries;
        let swept = self.until_it(waits, |order| order.tries >= before + 3).await;
        assert!(swept.is_some(), "the sweep comes around");
    }

    async fn until_it(&self, id: OrderId, is_so: impl Fn(&Order) -> bool) -> Option<Order> {
        let seen = async {
            loop {
                let order = self.order(id).await;
                if is_so(&order) {
                    return order;
                }
                // sleep: the store tells nobody; where time is virtual, this is what lets it pass
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.ok()
    }

    /// Does to the database what no service of this version does.
    pub(crate) fn execute(&self, sql: &str) {
        let connection = rusqlite::Connection::open(self.path()).unwrap();
        connection.execute_batch(sql).unwrap();
    }

    /// The texts of the dead letters' errors.
    pub(crate) fn dead_letters(&self) -> Vec<String> {
        let connection = reader(&self.path()).unwrap();
        let mut statement = connection.prepare("SELECT error FROM wallet_dead_letters").unwrap();
        let errors = statement.query_map((), |row| row.get(0)).unwrap();
        errors.collect::<Result<_, _>>().unwrap()
    }

    /// Waits until there are this many.
    pub(crate) async fn until_buried(&self, letters: usize) {
        seen(|| (self.dead_letters().len() >= letters).then_some(())).await;
    }

    pub(crate) async fn publish(&self, message: contracts::messages::Message) {
        use transport::queue::Transport as _;
        let queue = contracts::messages::Queue::SagaSteps;
        self.transport.publish(queue, vec![message]).await.unwrap();
    }

    /// User 2's balances as text: USD and BTC.
    pub(crate) fn wallet(&self) -> (String, String) {
        let of = |asset| self.ledger.balance(&Owner::User(user(2)), asset).to_string();
        (of(Asset::USD), of(Asset::BTC))
    }

    /// What must be true once all orders have ended: the books balance, the hot wallet has what it had, and every order
    /// is explained by its log and by what was booked for it.
    pub(crate) fn everything_is_explained(&self) {
        self.ledger.is_sound();
        for asset in [Asset::USD, Asset::BTC] {
            let funds = FUNDS * 10_i128.pow(u32::from(asset.scale()));
            assert_eq!(
                self.ledger.balance(&Owner::HotWallet, asset).units(),
                funds,
                "hot wallet, {asset}"
            );
        }
        let connection = reader(&self.path()).unwrap();
        for facts in audit::orders(&connection, None, 1_000).unwrap() {
            let (id, saga) = (facts.order.id, &facts.order.saga);
            assert_eq!(replay(&facts.log).as_ref(), Ok(saga));
            assert!(saga.state.is_end(), "order {id} is {}", saga.state);
            assert_eq!(self.ledger.posted(id, Leg::Hold).is_some(), saga.held, "order {id}");
            let released = saga.held && saga.state == OrderState::Failed;
            let amount = self.ledger.posted(id, Leg::Release);
            assert_eq!(amount, saga.release_amount().filter(|_| released), "order {id}");
        }
    }

    /// Waits until no order is under way.
    pub(crate) async fn until_idle(&self) {
        seen(|| (self.in_flight() == 0).then_some(())).await;
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("wallet.db")
    }
}
