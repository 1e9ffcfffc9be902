//! What a test says about the system before it starts: its settings and the venue's market.
//!
//! The defaults keep tests apart from each other and from the machine's speed; the named scenes say why a test waits for
//! less than a real system would.

use std::path::Path;
use std::sync::Arc;

use contracts::{Clock, ManualClock, SystemClock};
use exchanger::venue::simulated::Market;
use service_kit::settings::{Gathered, Settings};
use transport::adversary::Malice;

use crate::system::TestSystem;

/// What a test may set before it starts the system.
#[derive(Debug, Clone)]
pub struct Scene {
    settings: Vec<(String, String)>,
    pub(crate) market: Market,
    clock: Option<Arc<ManualClock>>,
    pub(crate) adversary: Option<(u64, Malice)>,
}

impl Default for Scene {
    fn default() -> Self {
        let settings = [
            ("listen", "127.0.0.1:0"),
            ("internal_listen", "127.0.0.1:0"),
            ("deposits", "self"),
            ("requests_per_minute", "0"),
            ("sweep_interval", "50ms"),
            // A busy machine must not change what happens: whoever waits for a decision waits until it is taken.
            ("hold_wait", "9s"),
        ];
        Self {
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            market: Market::default(),
            clock: None,
            adversary: None,
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

    /// An order at the venue lives for less than a second, so that proof of its absence comes soon.
    #[must_use]
    pub fn with_short_orders(self) -> Self {
        self.with("venue_expiry", "800ms")
            .with("venue_timeout", "300ms")
            .with("venue_engine_timeout", "50ms")
            .with("venue_skew", "50ms")
            .with("chain_timeout", "500ms")
            .with("command_lease", "3s")
    }

    /// Half a second of silence outside is enough for an order to be stuck.
    #[must_use]
    pub fn with_little_patience(self) -> Self {
        self.with("stuck_after", "500ms")
    }

    /// Another price, spread or fee at the venue.
    #[must_use]
    pub fn with_market(mut self, market: Market) -> Self {
        self.market = market;
        self
    }

    /// What time it is, says the test. Orders need a clock that goes by itself; this is for what only waits.
    #[must_use]
    pub fn with_clock(mut self, clock: &Arc<ManualClock>) -> Self {
        self.clock = Some(Arc::clone(clock));
        self
    }

    /// Somebody between the queues and the workers, who is as bad as that; what is chance is drawn from the seed.
    #[must_use]
    pub fn with_adversary(mut self, seed: u64, malice: Malice) -> Self {
        self.adversary = Some((seed, malice));
        self
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        match &self.clock {
            Some(clock) => Arc::clone(clock) as Arc<dyn Clock>,
            None => Arc::new(SystemClock),
        }
    }

    /// Starts the system in a folder of its own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start(self) -> TestSystem {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        // A system being wired is large, and no test needs it on its stack.
        Box::pin(TestSystem::start_in(self, folder)).await
    }

    pub(crate) fn settings(&self, data: &Path) -> Settings {
        let path = data.to_str().expect("a folder with a plain name");
        let flags = [("data_dir".to_owned(), path.to_owned())]
            .into_iter()
            .chain(self.settings.iter().cloned());
        let loaded = Gathered::new().with_flags(flags).and_then(Gathered::load);
        loaded.unwrap_or_else(|error| panic!("{error}")).settings
    }
}
