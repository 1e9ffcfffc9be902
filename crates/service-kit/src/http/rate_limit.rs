//! How often one address may ask: for the few routes where guessing pays, or every request costs a hash.
//!
//! Kept as the generic cell rate algorithm (ITU-T I.371): per address one instant, the one at which its bucket would
//! be full again. Memory is bounded: two generations of addresses, and the older one is dropped when the younger is
//! half of the bound. An address in a generation that aged out by time has a full bucket, so forgetting it changes
//! nothing; forgetting by size only ever forgives.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use contracts::Clock;
use contracts::metrics::Counter;

use crate::problem::Problem;

const MINUTE: i64 = 60_000_000;
const MAX_ADDRESSES: usize = 65_536;

/// A bucket per address: so many requests per minute, and as many at once.
pub struct RateLimit {
    clock: Arc<dyn Clock>,
    /// Microseconds between requests at the permitted rate; zero for no limit.
    interval: i64,
    buckets: Mutex<Buckets>,
    refused: Counter,
}

#[derive(Default)]
struct Buckets {
    young: HashMap<IpAddr, i64>,
    old: HashMap<IpAddr, i64>,
    since: i64,
}

impl std::fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RateLimit")
            .field("interval_us", &self.interval)
            .finish_non_exhaustive()
    }
}

impl RateLimit {
    /// So many requests per minute and address; 0 for no limit.
    #[must_use]
    pub fn per_minute(requests: u32, clock: Arc<dyn Clock>) -> Self {
        let interval = MINUTE.checked_div(i64::from(requests)).unwrap_or(0);
        Self {
            clock,
            interval,
            buckets: Mutex::default(),
            refused: Counter::new(),
        }
    }

    /// How many requests were refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Takes one request out of this address's bucket. IPv6 counts by its /64, which is what one customer has.
    ///
    /// # Errors
    /// How long to wait until there is one in the bucket again.
    pub fn take(&self, address: IpAddr) -> Result<(), Duration> {
        if self.interval == 0 {
            return Ok(());
        }
        let now = self.clock.now().as_microsecond();
        let mut buckets = self.buckets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let address = network(address);
        let full_at = buckets.remove(address, now);
        // A clock that was set back must not lock anybody out for longer than an empty bucket does.
        let full_at = full_at.clamp(now, now.saturating_add(MINUTE));
        let next = full_at.saturating_add(self.interval);
        let excess = next.saturating_sub(now).saturating_sub(MINUTE);
        let (kept, outcome) = match u64::try_from(excess) {
            Ok(wait) if wait > 0 => {
                self.refused.one();
                (full_at, Err(Duration::from_micros(wait)))
            }
            Ok(_) | Err(_) => (next, Ok(())),
        };
        buckets.young.insert(address, kept);
        outcome
    }
}

impl Buckets {
    fn remove(&mut self, address: IpAddr, now: i64) -> i64 {
        let aged = now.saturating_sub(self.since).unsigned_abs() > MINUTE.unsigned_abs();
        if aged || self.young.len() >= MAX_ADDRESSES / 2 {
            self.old = std::mem::take(&mut self.young);
            self.since = now;
        }
        self.young
            .remove(&address)
            .or_else(|| self.old.remove(&address))
            .unwrap_or(now)
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// Puts all routes of `router` behind `limit`: 429 with `Retry-After` when the peer's bucket is empty.
pub fn rate_limited<S>(router: Router<S>, limit: &Arc<RateLimit>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.route_layer(from_fn_with_state(Arc::clone(limit), check))
}

async fn check(State(limit): State<Arc<RateLimit>>, request: Request, next: Next) -> Response {
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map(|ConnectInfo(peer)| peer.ip());
    // Without a connection there is one bucket for all.
    match limit.take(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))) {
        Ok(()) => next.run(request).await,
        Err(wait) => Problem::too_many_requests(wait).into_response(),
    }
}
