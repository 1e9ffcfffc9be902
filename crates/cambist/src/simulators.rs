//! The simulated outside world as a process of its own: one venue and one chain, which all processes of Cambist share.
//!
//! It is what `up` has inside, with the same settings and the same books in the data directory, behind HTTP: `exchanger` may
//! use `/venue`, `bc_gateway` may use `/chain`, operators may look at both, and nobody else comes in. Of Cambist it knows
//! their tokens, and the address at which the chain's first coins lie: the hot wallet's, made from `chain_seed`. A test
//! network would have a faucet instead; no real chain is ever told a seed.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use bc_gateway::Custody;
use bc_gateway::chain::simulated::SimulatedChain;
use contracts::Clock;
use exchanger::venue::simulated::SimulatedVenue;
use service_kit::http::{RequestLimits, ServeLimits, guard, serve};
use service_kit::internal::InternalTokens;
use service_kit::metrics::{HttpMetrics, Process, Registry, disk};
use service_kit::openapi::{About, Routes, publish};
use service_kit::probes::{Check, Probes};
use service_kit::problem::{with_fallbacks, with_method_fallback};
use service_kit::settings::Settings;
use service_kit::shutdown::Shutdown;
use storage::sqlite::Database;
use tokio::net::TcpListener;

use crate::system::outside::{simulated_chain, simulated_venue};

/// Under which name the venue stands on the listener; also that of its check.
pub const VENUE: &str = "venue";
/// The same of the chain.
pub const CHAIN: &str = "chain";

const ABOUT: About = About {
    title: "Cambist, simulated venue and chain",
    version: env!("CARGO_PKG_VERSION"),
    description: "The outside world to develop and test on, shared by all processes of Cambist. It takes nobody's money. \
                  Each route has its callers; probes, metrics and this document need no token.",
    tags: &[
        (VENUE, "Where orders are executed."),
        (CHAIN, "Where crypto is sent."),
        ("probes", "What supervisors ask."),
        ("documentation", "This."),
    ],
};

/// A venue and a chain, opened. Nobody reaches them before [`Simulators::start`].
pub struct Simulators {
    venue: SimulatedVenue,
    chain: SimulatedChain,
    tokens: Arc<InternalTokens>,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

impl Simulators {
    /// What the settings describe, with books under the data directory. One process at a time.
    ///
    /// # Errors
    /// Settings that are missing or make no sense together, or files that cannot be used.
    pub fn open(settings: Settings, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        for (name, leads) in [
            ("venue_url", settings.venue_url.is_some()),
            ("chain_url", settings.chain_url.is_some()),
        ] {
            ensure!(
                !leads,
                "{name} leads to a simulator; leave it empty for `simulate`, which is one"
            );
        }
        let callers = settings.internal_tokens.0.clone();
        ensure!(
            !callers.is_empty(),
            "internal_tokens is empty: write who may come in, like exchanger=TOKEN,bc_gateway=TOKEN"
        );
        let seed = settings.chain_seed.as_ref().context(
            "chain_seed is empty: write the one that bc_gateway has; the chain's first coins lie at the hot wallet's \
             address, which comes from it",
        )?;
        let custody = Custody::try_new(seed.expose().as_bytes()).context("chain_seed")?;
        Ok(Self {
            venue: simulated_venue(&settings, &clock)?,
            chain: simulated_chain(&settings, &custody, &clock)?,
            tokens: Arc::new(InternalTokens::try_new(callers)?),
            settings,
            clock,
        })
    }

    /// Listens on `internal_listen`, until `shutdown`. The process ends when the books fail.
    ///
    /// # Errors
    /// An address in use.
    pub async fn start(self, shutdown: &Shutdown) -> anyhow::Result<SocketAddr> {
        let address = self.settings.internal_listen;
        let socket = TcpListener::bind(address).await.with_context(|| {
            format!("cannot listen on {address}; choose another with --internal-listen, for example 127.0.0.1:0")
        })?;
        let address = socket.local_addr()?;
        let books = [
            (VENUE, self.venue.database().clone()),
            (CHAIN, self.chain.database().clone()),
        ];
        for (name, database) in books.clone() {
            let stop = shutdown.token();
            shutdown.spawn(format!("the {name}'s books"), async move {
                tokio::select! {
                    error = database.failure() => Err(error),
                    () = stop.cancelled() => Ok(()),
                }
            });
        }
        let http = HttpMetrics::default();
        let mut registry = Registry::new();
        registry.survey(Arc::new(Process));
        registry.survey(disk(self.settings.data_dir.clone()));
        http.register(&mut registry);
        let checks = books.map(|(name, database)| (name, Arc::new(Answers(database)) as Arc<dyn Check>));
        let probes = Probes::new(ABOUT.version, shutdown.token(), checks.into());
        // Probes and metrics stay outside the guard: a full process is busy, not dead, and must be seen to be full.
        let beside = probes
            .into_routes()
            .merge(registry.into_scrape(self.clock).into_routes());
        let (routes, beside) = publish(
            ABOUT,
            routes(self.venue, self.chain, &self.settings, &self.tokens),
            beside,
        );
        let limits = RequestLimits::from(&self.settings);
        let router = guard(with_fallbacks(routes), limits, &http.internal).merge(with_method_fallback(beside));
        let (limits, stop) = (ServeLimits::from(&self.settings), shutdown.token());
        shutdown.spawn("internal listener", async move {
            serve(socket, router, limits, stop).await;
            Ok::<(), Infallible>(())
        });
        Ok(address)
    }
}

fn routes(venue: SimulatedVenue, chain: SimulatedChain, settings: &Settings, tokens: &Arc<InternalTokens>) -> Routes {
    // Longer than an answer takes as a rule, and shorter than the services wait for it, whose time-outs are the same settings.
    let patience = |timeout: Duration, latency: Duration| timeout - timeout.saturating_sub(latency) / 4;
    let of_venue = patience(settings.venue_timeout, settings.venue_latency);
    let of_chain = patience(settings.chain_timeout, settings.chain_latency);
    Routes::new()
        .nest(
            VENUE,
            exchanger::venue::server::routes(Arc::new(venue), of_venue, tokens),
        )
        .nest(
            CHAIN,
            bc_gateway::chain::server::routes(Arc::new(chain), of_chain, tokens),
        )
}

/// Whether books can be written and read.
struct Answers(Database);

#[async_trait]
impl Check for Answers {
    /// An empty transaction goes all the way: the queue, the writer, a commit; then one for the readers.
    async fn check(&self) -> Result<(), String> {
        let written = self.0.writer().run(|_| Ok(())).await;
        written.map_err(|error| error.to_string())?;
        let read = self.0.readers().run(|_| Ok(())).await;
        read.map_err(|error| error.to_string())
    }
}
