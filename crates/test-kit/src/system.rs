//! The whole system inside the test's own process: real HTTP, real database, and a venue and a chain that do as told.
//!
//! It is what `cambist up` assembles, with three differences: the venue's and the chain's manners are scripted, patience
//! is short, so that a test of a time-out takes milliseconds, and nothing of it is logged.

use std::path::PathBuf;
use std::sync::Arc;

use bc_gateway::Custody;
use bc_gateway::chain::simulated::{ScriptedManners as ChainManners, SimulatedChain};
use cambist::audit::{Report, audit};
use cambist::system::{Listening, Outside, Parts, System, establish_hot_wallet, open_database};
use contracts::{Amount, Asset, Clock, Entropy, SystemClock, SystemEntropy, UserId};
use exchanger::ports::VenueName;
use exchanger::venue::simulated::{Conduct, Market, ScriptedManners as VenueManners, SimulatedVenue};
use notification::mailer::EmlMailer;
use service_kit::internal::{Caller, InternalTokens};
use service_kit::settings::{Gathered, Secret, Settings};
use service_kit::shutdown::Shutdown;
use tempfile::TempDir;

use crate::api::Api;

/// The token with which tests call the internal listener.
pub const OPERATOR_TOKEN: &str = "a token that only tests know";

const SEED: &[u8] = b"a seed that only tests know, of 32 bytes or more";

/// What a test may set before it starts the system.
#[derive(Debug, Clone)]
pub struct Scene {
    settings: Vec<(String, String)>,
    market: Market,
}

impl Default for Scene {
    fn default() -> Self {
        let settings = [
            ("listen", "127.0.0.1:0"),
            ("internal_listen", "127.0.0.1:0"),
            ("deposits", "self"),
            ("requests_per_minute", "0"),
            ("sweep_interval", "50ms"),
            ("venue_expiry", "300ms"),
            ("venue_timeout", "200ms"),
            ("venue_skew", "50ms"),
            ("venue_engine_timeout", "150ms"),
            ("command_lease", "2s"),
            ("stuck_after", "1500ms"),
        ];
        Self {
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            market: Market::default(),
        }
    }
}

impl Scene {
    /// One setting otherwise, by its name in `cambist.toml`.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Another price, spread or fee at the venue.
    #[must_use]
    pub fn with_market(mut self, market: Market) -> Self {
        self.market = market;
        self
    }

    /// Starts the system in a folder of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self) -> TestSystem {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        TestSystem::start_in(self, folder).await
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

    async fn start_in(scene: Scene, folder: TempDir) -> Self {
        let settings = settings(&scene, &folder);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy);
        let custody = Custody::try_new(SEED).expect("a long enough seed");
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
        };

        let (database, _) = open_database(&data.join("cambist.db"), clock.as_ref()).expect("a database");
        establish_hot_wallet(&database, &settings, Arc::clone(&clock))
            .await
            .expect("a hot wallet");
        let operator = (Caller::Operator("tests".to_owned()), Secret::new(OPERATOR_TOKEN));
        let internal_tokens = InternalTokens::try_new([operator]).expect("one caller");
        let parts = Parts {
            settings,
            database,
            outside,
            custody,
            internal_tokens,
            clock,
            entropy,
        };
        let shutdown = Shutdown::new();
        let system = System::assemble(parts).expect("a system");
        let Listening { public, internal } = system.start(&shutdown).await.expect("a running system");
        Self {
            api: Api::new(format!("http://{public}")),
            internal: format!("http://{internal}"),
            venue_manners,
            venue,
            chain_manners,
            chain,
            scene,
            running: EndWithTest(shutdown),
            folder,
        }
    }

    /// Stops cleanly and starts again on the same data. The manners are those of a new start.
    ///
    /// # Panics
    /// When it does not stop or start.
    pub async fn restart(self) -> Self {
        let Self {
            scene,
            running,
            folder,
            venue,
            chain,
            ..
        } = self;
        running.0.request();
        running
            .0
            .wait(std::time::Duration::from_secs(10))
            .await
            .expect("a clean end");
        drop((venue, chain));
        Self::start_in(scene, folder).await
    }

    /// Where everything it keeps lies.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// What the audit says right now.
    ///
    /// # Panics
    /// When the database cannot be audited.
    #[must_use]
    pub fn audit(&self) -> Report {
        audit(&self.data().join("cambist.db"), |_| {}).expect("a database that can be read")
    }

    /// Proves that the books balance and every order is explained.
    ///
    /// # Panics
    /// When not.
    pub fn assert_clean(&self) {
        let report = self.audit();
        assert!(report.is_clean(), "{report}");
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
}

/// Ends the system's tasks when the test does.
struct EndWithTest(Shutdown);

impl Drop for EndWithTest {
    fn drop(&mut self) {
        self.0.request();
    }
}

fn settings(scene: &Scene, folder: &TempDir) -> Settings {
    let path = folder.path().to_str().expect("a folder with a plain name");
    let flags = [("data_dir".to_owned(), path.to_owned())]
        .into_iter()
        .chain(scene.settings.iter().cloned());
    let loaded = Gathered::new().with_flags(flags).and_then(Gathered::load);
    loaded.unwrap_or_else(|error| panic!("{error}")).settings
}

fn coins(text: &str, asset: Asset) -> Amount {
    Amount::parse(text, asset).expect("an amount")
}
