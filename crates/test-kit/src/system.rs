//! The whole system inside the test's own process: real HTTP, real database, and a venue and a chain that do as told.
//!
//! It is what `cambist up` assembles, with three differences: the venue's and the chain's manners are scripted, what is
//! due is looked for often, so that a test of a lost answer takes milliseconds, and nothing of it is logged.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use balance::store::sqlite::audit::balances_of;
use bc_gateway::Custody;
use bc_gateway::chain::simulated::{ScriptedManners as ChainManners, SimulatedChain};
use bc_gateway::ports::Chain as _;
use cambist::audit::{Report, audit};
use cambist::system::{Address, Listening, Outside, Parts, Queues, System, establish_hot_wallet, migrate};
use contracts::ledger::Owner;
use contracts::{Amount, Asset, Entropy, SeededEntropy, ServiceName, SystemEntropy, UserId};
use exchanger::ports::VenueName;
use exchanger::venue::simulated::{Conduct, Execution, ScriptedManners as VenueManners, SimulatedVenue};
use http::Method;
use notification::mailer::EmlMailer;
use service_kit::internal::{Caller, InternalTokens};
use service_kit::settings::{Secret, Settings};
use service_kit::shutdown::Shutdown;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use transport::adversary::Adversary;

use crate::api::{Answer, Api};
pub use crate::scene::Scene;

/// The token with which tests call the internal listener.
pub const OPERATOR_TOKEN: &str = "a-token-that-only-tests-know";

/// The token with which a test calls the internal listener as this service.
#[must_use]
pub fn service_token(service: ServiceName) -> String {
    format!("a-token-of-{service}-that-only-tests-know")
}

const SEED: &[u8] = b"a seed that only tests know, of 32 bytes or more";

/// The queues, with the scene's adversary before them if there is one.
fn queues(scene: &Scene, settings: &Settings) -> Queues {
    let queues = Queues::local(settings);
    match scene.adversary.clone() {
        Some((seed, malice)) => queues.through(|transport| {
            let entropy = Arc::new(SeededEntropy::new(seed));
            Arc::new(Adversary::new(transport, entropy, malice))
        }),
        None => queues,
    }
}

/// A running system.
pub struct TestSystem {
    /// The public API.
    pub api: Api,
    /// The internal address.
    pub internal: String,
    /// How the venue behaves.
    pub venue_manners: Arc<VenueManners>,
    /// The venue itself.
    pub venue: Arc<SimulatedVenue>,
    /// How the chain behaves.
    pub chain_manners: Arc<ChainManners>,
    /// The chain itself.
    pub chain: Arc<SimulatedChain>,
    /// The reference of the metrics it shows.
    pub metrics_reference: String,
    scene: Scene,
    running: EndWithTest,
    folder: TempDir,
}

impl TestSystem {
    /// A system with the default scene.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start() -> Self {
        Scene::default().start().await
    }

    pub(crate) async fn start_in(scene: Scene, folder: TempDir) -> Self {
        let settings = scene.settings(folder.path());
        let clock = scene.clock();
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let custody = custody();
        let venue_manners = Arc::new(VenueManners::new(Conduct::Fill));
        let chain_manners = Arc::new(ChainManners::new());
        let data = folder.path();
        let name = VenueName::try_new("sim").expect("a venue's name");
        let venue = SimulatedVenue::try_open(
            &data.join("venue.db"),
            name,
            scene.market,
            venue_manners.clone(),
            Arc::clone(&clock),
        );
        let venue = Arc::new(venue.expect("a venue"));
        let keys = custody.keys(SimulatedChain::NAME, UserId::HOT_WALLET);
        let genesis = vec![coins("1000000", Asset::BTC), coins("1000000", Asset::ETH)];
        let chain = SimulatedChain::try_open(
            &data.join("chain.db"),
            &keys,
            genesis,
            Arc::clone(&clock),
            chain_manners.clone(),
        );
        let chain = Arc::new(chain.expect("a chain"));
        let sender = "Cambist <cambist@example.com>".parse().expect("a sender");
        let mailer = EmlMailer::try_new(&data.join("mail"), sender, entropy.as_ref()).expect("a folder for mail");
        let outside = Outside {
            venue: venue.clone(),
            chain: chain.clone(),
            mailer: Arc::new(mailer),
            books: vec![venue.database().clone(), chain.database().clone()],
        };

        let address = Address::of(&settings).expect("a kind of database that there is");
        let migrated = migrate(&address, &settings, clock.as_ref(), &entropy).await;
        let (databases, _) = migrated.expect("a database");
        establish_hot_wallet(&databases, &settings, Arc::clone(&clock))
            .await
            .expect("a hot wallet");
        let parts = Parts {
            queues: queues(&scene, &settings),
            settings,
            databases,
            outside,
            custody,
            internal_tokens: internal_tokens(),
            clock,
            entropy,
        };
        let shutdown = Shutdown::new();
        let system = System::assemble(parts).expect("a system");
        let metrics_reference = system.metrics_reference();
        let Listening { public, internal } = system.start(&shutdown).await.expect("a running system");
        Self {
            api: Api::new(format!("http://{}", public.expect("a public listener"))),
            internal: format!("http://{internal}"),
            venue_manners,
            venue,
            chain_manners,
            chain,
            metrics_reference,
            scene,
            running: EndWithTest(shutdown),
            folder,
        }
    }

    /// Stops cleanly and starts again on the same data. The manners and the market are those of a new start.
    ///
    /// # Panics
    /// When it does not stop or start.
    pub async fn restart(self) -> Self {
        self.stop().await.start().await
    }

    /// Stops cleanly.
    ///
    /// # Panics
    /// When it does not stop.
    pub async fn stop(self) -> Stopped {
        let Self {
            scene,
            running,
            folder,
            venue,
            chain,
            ..
        } = self;
        running.0.request();
        let ended = running.0.wait(Duration::from_secs(10)).await;
        ended.expect("a clean end");
        drop((venue, chain));
        Stopped { scene, folder }
    }

    /// Where everything it keeps lies.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The books, orders and commands, unless the scene says that they are on a server.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.data().join("cambist.db")
    }

    /// Asks the internal side, as an operator. `path` begins with the service's name.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn operator(&self, method: Method, path: &str, body: Option<&str>) -> Answer {
        self.ask(OPERATOR_TOKEN, method, path, body).await
    }

    /// Asks the internal side, as another service would.
    ///
    /// # Panics
    /// When there is no answer.
    pub async fn service(&self, caller: ServiceName, path: &str, body: &str) -> Answer {
        self.ask(&service_token(caller), Method::POST, path, Some(body)).await
    }

    async fn ask(&self, token: &str, method: Method, path: &str, body: Option<&str>) -> Answer {
        let internal = Api::new(self.internal.clone());
        let mut request = internal.request(method, path).bearer_auth(token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_owned());
        }
        internal.send(request).await.expect("the internal side answers")
    }

    /// What the audit says right now.
    ///
    /// # Panics
    /// When the database cannot be audited.
    #[must_use]
    pub fn audit(&self) -> Report {
        audit(&self.database(), |_| {}).expect("a database that can be read")
    }

    /// Proves that the books balance and every order is explained, those in flight included.
    ///
    /// # Panics
    /// When not.
    #[track_caller]
    pub fn assert_clean(&self) {
        let report = self.audit();
        assert!(report.is_clean(), "{report}");
    }

    /// Proves that besides, no order is in flight and the hot wallet holds what it was funded with and nothing else.
    ///
    /// # Panics
    /// When not.
    #[track_caller]
    pub fn assert_at_rest(&self) {
        let report = self.audit();
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.orders.in_flight(), report.orders.stuck()), (0, 0), "{report}");
        let hot_wallet = [Asset::USD, Asset::BTC].map(|asset| self.balance(&Owner::HotWallet, asset));
        assert_eq!(hot_wallet, ["1000", "1000"], "{report}");
    }

    /// An account's balance in the books, as decimal text: for those that no user can read.
    ///
    /// # Panics
    /// When the database cannot be read.
    #[must_use]
    pub fn balance(&self, owner: &Owner, asset: Asset) -> String {
        let connection = storage::sqlite::reader(&self.database()).expect("a database");
        let balances = balances_of(&connection, owner).expect("books that can be read");
        let found = balances.into_iter().find(|amount| amount.asset() == asset);
        found.unwrap_or(Amount::zero(asset)).to_string()
    }

    /// The confirmed coins at a user's address on the chain, as decimal text.
    ///
    /// # Panics
    /// When the chain's books cannot be read.
    pub async fn coins(&self, user: i64, asset: Asset) -> String {
        let user = UserId::try_new(user).expect("a user's id");
        let keys = custody().keys(SimulatedChain::NAME, user);
        let coins = self.chain.coins(&self.chain.address(&keys), asset).await;
        coins.expect("a chain that can be read").to_string()
    }

    /// What the venue has executed, by its own books.
    ///
    /// # Panics
    /// When they cannot be read.
    pub async fn executions(&self) -> Vec<Execution> {
        let executions = self.venue.executions(0, 1_000).await;
        executions.expect("a venue that can be read")
    }

    /// The orders that the venue has executed, as `order-step-attempt`, sorted: `7-exchange-1`.
    ///
    /// # Panics
    /// When its books cannot be read.
    pub async fn executed(&self) -> Vec<String> {
        let executions = self.executions().await;
        let ids = executions.iter().map(|execution| execution.client_order_id);
        let mut names: Vec<_> = ids
            .map(|id| format!("{}-{}-{}", id.order_id, id.step, id.attempt))
            .collect();
        names.sort();
        names
    }

    /// The mail about an order, if there is one.
    ///
    /// # Panics
    /// When there is a mail that cannot be read.
    #[must_use]
    pub fn mail(&self, order_id: i64) -> Option<String> {
        let path = self.data().join("mail").join(format!("order-{order_id}.eml"));
        path.exists().then(|| std::fs::read_to_string(&path).expect("a mail"))
    }

    /// Waits for the mail about an order, a minute at most.
    ///
    /// # Panics
    /// When none comes.
    pub async fn mail_about(&self, order_id: i64) -> String {
        let give_up = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(mail) = self.mail(order_id) {
                return mail;
            }
            assert!(Instant::now() < give_up, "no mail about order {order_id}");
            // sleep: a mail box is polled, as by whoever reads mail
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many mails there are.
    ///
    /// # Panics
    /// When the folder cannot be read.
    #[must_use]
    pub fn mails(&self) -> usize {
        let entries = std::fs::read_dir(self.data().join("mail")).expect("a folder for mail");
        let finished = entries.filter(|entry| {
            let name = entry.as_ref().expect("an entry").file_name();
            name.to_string_lossy().starts_with("order-")
        });
        finished.count()
    }
}

/// A system that has stopped, and its data.
pub struct Stopped {
    scene: Scene,
    folder: TempDir,
}

impl Stopped {
    /// The books, orders and commands, for whoever wants to change them while nobody looks.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("cambist.db")
    }

    /// Starts again on the same data.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self) -> TestSystem {
        Box::pin(TestSystem::start_in(self.scene, self.folder)).await
    }
}

/// Ends the system's tasks when the test does.
struct EndWithTest(Shutdown);

impl Drop for EndWithTest {
    fn drop(&mut self) {
        self.0.request();
    }
}

fn internal_tokens() -> InternalTokens {
    let operator = (Caller::Operator("tests".to_owned()), Secret::new(OPERATOR_TOKEN));
    let services = ServiceName::ALL.map(|service| (Caller::Service(service), Secret::new(&service_token(service))));
    InternalTokens::try_new(services.into_iter().chain([operator])).expect("each has its own token")
}

fn custody() -> Custody {
    Custody::try_new(SEED).expect("a long enough seed")
}

fn coins(text: &str, asset: Asset) -> Amount {
    Amount::parse(text, asset).expect("an amount")
}
