//! A simulated chain in a folder of its own, asked as it is or over a wire.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bc_gateway::chain::remote::RemoteChain;
use bc_gateway::chain::server;
use bc_gateway::chain::simulated::{ScriptedManners, SimulatedChain};
use bc_gateway::ports::{Chain, Purpose, SignedTransfer, TransferDraft};
use bc_gateway::{Address, Custody};
use contracts::messages::Step;
use contracts::{Asset, ManualClock, SeededEntropy, UserId};
use jiff::Timestamp;
use service_kit::http::{ServeLimits, serve};
use service_kit::internal::InternalTokens;
use service_kit::problem::with_fallbacks;
use service_kit::settings::Secret;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use transport::http::{Options, Peer, circuit};

use crate::world::{btc, purpose};

pub(crate) const GATEWAY_TOKEN: &str = "token-of-bc_gateway";

/// Which chain is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Adapter {
    Itself,
    Remote,
}

pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) manners: Arc<ScriptedManners>,
    pub(crate) custody: Custody,
    pub(crate) simulated: SimulatedChain,
    /// The same one, as the adapter shows it.
    pub(crate) chain: Arc<dyn Chain>,
    listener: Option<Listener>,
}

impl Scene {
    pub(crate) async fn new(adapter: Adapter) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        Self::opened(adapter, folder, clock, Arc::new(ScriptedManners::new())).await
    }

    async fn opened(adapter: Adapter, folder: TempDir, clock: Arc<ManualClock>, manners: Arc<ScriptedManners>) -> Self {
        let custody = Custody::try_new(&[9; 32]).unwrap();
        let simulated = SimulatedChain::try_open(
            &folder.path().join("chain.db"),
            &custody.keys("simulated", UserId::HOT_WALLET),
            vec![btc(1_000)],
            Arc::clone(&clock) as _,
            Arc::clone(&manners) as _,
        )
        .unwrap();
        let itself: Arc<dyn Chain> = Arc::new(simulated.clone());
        let (chain, listener) = match adapter {
            Adapter::Itself => (itself, None),
            Adapter::Remote => {
                let listener = Listener::of(itself).await;
                let chain: Arc<dyn Chain> = Arc::new(listener.chain(GATEWAY_TOKEN));
                (chain, Some(listener))
            }
        };
        Self {
            folder,
            clock,
            manners,
            custody,
            simulated,
            chain,
            listener,
        }
    }

    /// The same chain after its process came back.
    pub(crate) async fn reopened(self, adapter: Adapter) -> Self {
        let Self {
            folder,
            clock,
            manners,
            custody: _,
            simulated,
            chain,
            listener,
        } = self;
        if let Some(listener) = listener {
            listener.close().await;
        }
        drop((simulated, chain));
        Self::opened(adapter, folder, clock, manners).await
    }

    pub(crate) fn address(&self, user: UserId) -> Address {
        self.chain.address(&self.custody.keys("simulated", user))
    }

    pub(crate) fn draft(&self, from: UserId, to: UserId, units: i128, purpose: Purpose) -> TransferDraft {
        TransferDraft {
            from: self.address(from),
            to: self.address(to),
            amount: btc(units),
            purpose,
        }
    }

    pub(crate) fn signed(&self, from: UserId, to: UserId, units: i128, nonce: u64) -> SignedTransfer {
        let number = i64::try_from(nonce).unwrap() + 1;
        let draft = self.draft(from, to, units, purpose(number, Step::Withdraw));
        self.chain.sign(&self.custody.keys("simulated", from), &draft, nonce)
    }

    pub(crate) async fn coins(&self, user: UserId) -> i128 {
        let coins = self.simulated.coins(&self.address(user), Asset::BTC).await;
        coins.unwrap().units()
    }
}

/// A listener, until it is closed or the test ends.
pub(crate) struct Listener {
    pub(crate) address: String,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Listener {
    pub(crate) async fn of(chain: Arc<dyn Chain>) -> Self {
        Self::bounded(chain, Duration::from_secs(4)).await
    }

    /// One that waits for each answer of the chain as long as this.
    pub(crate) async fn bounded(chain: Arc<dyn Chain>, patience: Duration) -> Self {
        let callers = ["exchanger", "bc_gateway", "operator:ann"];
        let tokens = callers.map(|name| (name.parse().unwrap(), Secret::new(&format!("token-of-{name}"))));
        let tokens = Arc::new(InternalTokens::try_new(tokens).unwrap());
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", socket.local_addr().unwrap());
        let limits = ServeLimits {
            max_connections: NonZeroUsize::new(100).unwrap(),
            header_timeout: Duration::from_secs(15),
            drain_timeout: Duration::from_secs(5),
        };
        let router = with_fallbacks(server::routes(chain, patience, &tokens).into());
        let stop = CancellationToken::new();
        let serving = tokio::spawn(serve(socket, router, limits, stop.clone()));
        Self { address, stop, serving }
    }

    pub(crate) fn chain(&self, token: &str) -> RemoteChain {
        way_to(&self.address, token, Options::default().attempt_timeout)
    }

    /// Once everything that came is answered. Nothing of it keeps the chain after that.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

/// The way to `address`, on which an answer is waited for as long as this; the circuit stays out of it.
pub(crate) fn way_to(address: &str, token: &str, attempt_timeout: Duration) -> RemoteChain {
    let options = Options {
        attempt_timeout,
        circuit: circuit::Rules {
            failures: u32::MAX,
            ..circuit::Rules::default()
        },
        ..Options::default()
    };
    let entropy = Arc::new(SeededEntropy::new(7));
    RemoteChain::new(&Peer::try_new("chain", address, token, options, entropy).unwrap())
}
