//! What can be asked of the wallet and what it does by itself: one verb per file.
//!
//! [`Wallet`] is what they share: the ports, and what this process remembers. The latter is never the truth: whoever
//! waits here has a row in the store, and is served as well if this process forgets it.

pub(crate) mod admit;
pub(crate) mod apply;
pub(crate) mod apply_results;
pub(crate) mod carry;
pub(crate) mod deposit;
pub(crate) mod follow_order;
pub(crate) mod freeze;
pub(crate) mod list_orders;
pub(crate) mod list_sagas;
pub(crate) mod open_wallet;
pub(crate) mod place_order;
pub(crate) mod purge_keys;
pub(crate) mod re_issue;
pub(crate) mod read_order;
pub(crate) mod read_saga;
pub(crate) mod read_transactions;
pub(crate) mod read_wallet;
pub(crate) mod resolve_saga;
pub(crate) mod retry_saga;
pub(crate) mod wait;
pub(crate) mod watch;

use std::sync::Arc;
use std::time::Duration;

use contracts::clients::ClientError;
use contracts::messages::Queue;
use contracts::random::backoff;
use contracts::time::later;
use contracts::{DepositId, OrderId, ServiceName, UserId};
use jiff::Timestamp;
use moka::sync::Cache;
use storage::outbox::Destination;
use transport::metrics::DispatcherMetrics;

use self::admit::Admission;
use self::wait::Waiters;
use self::watch::Watchers;
use crate::Dependencies;
use crate::metrics::Metrics;

/// The most wallets that are remembered to exist; a wallet never ceases to.
const KNOWN_WALLETS: u64 = 100_000;
/// The most e-mail addresses that are remembered.
const KNOWN_ADDRESSES: u64 = 10_000;
/// How long an address is remembered: as long as a user may wonder why the old one was used.
const ADDRESS_LIFETIME: Duration = Duration::from_secs(60);
/// The most requests that wait for a decision at once; more are answered at once with what is known.
const MAX_WAITING: usize = 65_536;

/// Whom the outbox's rows go to.
pub(crate) const CALLED: [ServiceName; 4] = [
    ServiceName::Balance,
    ServiceName::Exchanger,
    ServiceName::BcGateway,
    ServiceName::Notification,
];

/// How the hold of an order was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HoldDecision {
    /// It is booked.
    Held,
    /// The balance does not cover it.
    Refused,
    /// The same, but the user was told before that the order is accepted.
    RefusedLate,
}

/// The ports, and what this process remembers.
pub(crate) struct Wallet {
    pub(crate) ports: Dependencies,
    /// Requests that wait for their order's hold.
    pub(crate) holds: Waiters<OrderId, HoldDecision>,
    /// Requests that wait for their deposit's booking.
    pub(crate) bookings: Waiters<DepositId, ()>,
    pub(crate) admission: Arc<Admission>,
    /// Streams that follow an order.
    pub(crate) watchers: Arc<Watchers>,
    pub(crate) metrics: Metrics,
    pub(crate) dispatcher: DispatcherMetrics,
    pub(crate) addresses: Cache<UserId, String>,
    wallets: Cache<UserId, ()>,
}

impl Wallet {
    pub(crate) fn new(ports: Dependencies) -> Self {
        let steps = Destination::Queue(Queue::SagaSteps);
        let destinations = CALLED.map(Destination::Service).into_iter().chain([steps]);
        Self {
            holds: Waiters::new(MAX_WAITING),
            bookings: Waiters::new(MAX_WAITING),
            admission: Admission::new(ports.settings.max_in_flight.get(), ports.settings.single_process),
            watchers: Watchers::new(ports.settings.streams.most, ports.settings.streams.most_per_user),
            metrics: Metrics::default(),
            dispatcher: DispatcherMetrics::new(destinations),
            addresses: Cache::builder()
                .max_capacity(KNOWN_ADDRESSES)
                .time_to_live(ADDRESS_LIFETIME)
                .build(),
            wallets: Cache::new(KNOWN_WALLETS),
            ports,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }

    /// When a step that begins now is issued again if nothing is heard of it.
    pub(crate) fn first_due(&self) -> Timestamp {
        later(self.now(), self.ports.entropy.jitter(self.ports.settings.pacing.first))
    }

    /// The pauses between issuing a step again, drawn anew each time.
    pub(crate) fn pauses(&self) -> Vec<Duration> {
        let pacing = self.ports.settings.pacing;
        (1..=8)
            .map(|tries| self.ports.entropy.jitter(backoff(pacing.first, tries, pacing.longest)))
            .collect()
    }

    /// Whether the user has a wallet.
    pub(crate) async fn has_wallet(&self, user: UserId) -> Result<bool, ClientError> {
        if self.wallets.contains_key(&user) {
            return Ok(true);
        }
        let exists = self.ports.balance.wallet(user).await?.is_some();
        if exists {
            self.wallets.insert(user, ());
        }
        Ok(exists)
    }
}
