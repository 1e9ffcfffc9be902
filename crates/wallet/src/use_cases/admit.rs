//! Admission: how many orders may be under way before new ones are turned away, unseen.
//!
//! A place is reserved when a request arrives and passes to the order when that is stored; the order gives it back at
//! its end. So the bound holds for requests and orders together, and whatever is accepted can be finished.
//!
//! Where other processes share the store, orders end there and nothing is heard of it here: the number of orders is taken
//! from the store, several times a second and when a request would be turned away. It protects, and need not be true: one
//! that the store has not confirmed for [`BELIEVED`] is forgotten, and what is admitted from then on is counted. So a store
//! that cannot count turns nobody away for long, and lets no more in during that time than there are places.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::metrics::Counter;
use storage::StoreError;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::Wallet;

/// How long a number of orders is believed that the store has not confirmed since.
const BELIEVED: Duration = Duration::from_secs(2);
/// How long nobody asks for another count after one: whoever comes to a full process meanwhile is turned away at once.
const APART: Duration = Duration::from_millis(20);
/// The longest that a request waits for a count.
const PATIENCE: Duration = Duration::from_millis(250);

/// The gauge of this process.
pub(crate) struct Admission {
    most: usize,
    /// Whether this is the only process on its store, which hears of the end of every order.
    alone: bool,
    places: Mutex<Places>,
    /// Asks for a count.
    pub(crate) wanted: Notify,
    /// Tells of the end of a count, whatever came of it.
    counted: watch::Sender<()>,
    pub(crate) turned_away: Counter,
}

struct Places {
    orders: usize,
    requests: usize,
    /// Orders since the last count began, which may have missed them; alone, those that have ended since as well.
    since: usize,
    /// When the last count began that succeeded, or the number before was forgotten.
    as_of: Instant,
    /// Whether a count is under way, and when the last one ended.
    counting: bool,
    looked: Option<Instant>,
}

impl Admission {
    pub(crate) fn new(most: usize, alone: bool) -> Arc<Self> {
        Arc::new(Self {
            most,
            alone,
            places: Mutex::new(Places {
                orders: 0,
                requests: 0,
                since: 0,
                as_of: Instant::now(),
                counting: false,
                looked: None,
            }),
            wanted: Notify::new(),
            counted: watch::Sender::new(()),
            turned_away: Counter::new(),
        })
    }

    /// A place, unless all are taken, by the store's count if there are others.
    pub(crate) async fn admit(self: &Arc<Self>) -> Option<Place> {
        let mut place = self.reserve();
        if place.is_none()
            && let Some(mut counted) = self.ask()
        {
            // Without an answer in time it is as it was.
            let _ = tokio::time::timeout(PATIENCE, counted.changed()).await;
            place = self.reserve();
        }
        if place.is_none() {
            self.turned_away.one();
        }
        place
    }

    /// Hears of the end of a count that is under way, or that is asked for here; `None` where none can help.
    fn ask(&self) -> Option<watch::Receiver<()>> {
        let places = self.places();
        let just_now = places.looked.is_some_and(|looked| looked.elapsed() < APART);
        if self.alone || (just_now && !places.counting) {
            return None;
        }
        if !places.counting {
            self.wanted.notify_one();
        }
        Some(self.counted.subscribe())
    }

    fn reserve(self: &Arc<Self>) -> Option<Place> {
        let mut places = self.places();
        if places.orders.saturating_add(places.requests) >= self.most {
            return None;
        }
        places.requests += 1;
        drop(places);
        Some(Place {
            admission: Arc::clone(self),
            passed_on: AtomicBool::new(false),
        })
    }

    /// Orders have ended. Those that another process had admitted may end here too.
    pub(crate) fn ended(&self, orders: usize) {
        let mut places = self.places();
        places.orders = places.orders.saturating_sub(orders);
        if self.alone {
            places.since = places.since.saturating_add(orders);
        }
    }

    /// How many orders are under way, as far as this process knows.
    pub(crate) fn orders(&self) -> usize {
        self.places().orders
    }

    /// A count begins.
    fn count_begins(&self) -> Instant {
        let mut places = self.places();
        (places.since, places.counting) = (0, true);
        Instant::now()
    }

    /// A count that began then has ended, with what the store says, if it says anything. Orders that it may have missed are
    /// counted twice rather than not at all, until the next one.
    fn count_ends(&self, began: Instant, orders: Option<usize>) {
        let mut places = self.places();
        // Alone, the number is right by itself, but for the place that a caller who was cut off may have left taken: a quiet
        // moment is soon enough for that.
        let quiet = places.since == 0 || !self.alone;
        if let Some(orders) = orders.filter(|_| quiet) {
            (places.orders, places.as_of) = (orders.saturating_add(places.since), began);
        }
        (places.counting, places.looked) = (false, Some(Instant::now()));
        self.counted.send_replace(());
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.alone && places.as_of.elapsed() >= BELIEVED {
            (places.orders, places.as_of) = (0, Instant::now());
        }
        places
    }
}

/// A request's place; given back when dropped, unless it has passed to an order.
pub(crate) struct Place {
    admission: Arc<Admission>,
    passed_on: AtomicBool,
}

impl Place {
    /// The request has become an order.
    pub(crate) fn pass_on(&self) {
        if !self.passed_on.swap(true, Ordering::AcqRel) {
            let mut places = self.admission.places();
            places.requests = places.requests.saturating_sub(1);
            places.orders = places.orders.saturating_add(1);
            places.since = places.since.saturating_add(1);
        }
    }

    /// The transaction in which the request became an order was not committed.
    pub(crate) fn undo(&self) {
        if self.passed_on.load(Ordering::Acquire) {
            self.admission.ended(1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.passed_on.load(Ordering::Acquire) {
            let mut places = self.admission.places();
            places.requests = places.requests.saturating_sub(1);
        }
    }
}

/// Sets the gauge to what the store says. One call at a time, each to its end.
pub(crate) async fn recount(wallet: &Wallet) -> Result<(), StoreError> {
    let admission = &wallet.admission;
    let began = admission.count_begins();
    let found = wallet.ports.orders.count_open(admission.most).await;
    let orders = found.as_ref().ok();
    let orders = orders.map(|orders| usize::try_from(*orders).unwrap_or(usize::MAX));
    admission.count_ends(began, orders);
    found.map(drop)
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// A gauge among others, by the store's count.
    fn counted(most: usize, orders: usize) -> Arc<Admission> {
        let admission = Admission::new(most, false);
        count(&admission, Some(orders));
        admission
    }

    fn count(admission: &Admission, orders: Option<usize>) {
        let began = admission.count_begins();
        admission.count_ends(began, orders);
    }

    /// Requests that become orders.
    async fn orders(admission: &Arc<Admission>, wanted: usize) -> usize {
        let mut admitted = 0;
        for _ in 0..wanted {
            if let Some(place) = admission.admit().await {
                place.pass_on();
                admitted += 1;
            }
        }
        admitted
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_would_be_turned_away_waits_for_one_count_and_all_take_its_answer() {
        let admission = counted(2, 2);
        advance(APART).await;
        let requests = futures::future::join_all((0..3).map(|_| admission.admit()));
        let store = async {
            admission.wanted.notified().await;
            let began = admission.count_begins();
            // sleep: what a count takes
            tokio::time::sleep(PATIENCE / 2).await;
            admission.count_ends(began, Some(0));
        };
        let (places, ()) = tokio::join!(requests, store);
        assert_eq!(places.iter().flatten().count(), 2);
        assert_eq!(admission.turned_away.get(), 1);
        let more = tokio::time::timeout(APART, admission.wanted.notified()).await;
        assert!(more.is_err(), "one count was asked for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_process_that_was_just_counted_or_knows_all_there_is_turns_away_at_once() {
        let alone = Admission::new(1, true);
        alone.admit().await.unwrap().pass_on();
        let started = Instant::now();
        assert!(counted(1, 1).admit().await.is_none());
        assert!(alone.admit().await.is_none());
        assert_eq!(started.elapsed(), Duration::ZERO);
        advance(BELIEVED).await;
        assert!(alone.admit().await.is_none());
        assert_eq!((alone.orders(), alone.turned_away.get()), (1, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_long_for_a_count_that_does_not_come() {
        let admission = counted(1, 1);
        advance(APART).await;
        let started = Instant::now();
        assert!(admission.admit().await.is_none());
        assert_eq!(started.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_cannot_count_turns_nobody_away_for_long_and_lets_in_no_more_than_there_is_room_for() {
        let admission = counted(5, 0);
        for _ in 0..10 {
            assert_eq!(orders(&admission, 6).await, 5, "what this process admits counts");
            let full = Instant::now();
            while admission.orders() == 5 {
                count(&admission, None);
                advance(Duration::from_millis(100)).await;
            }
            assert!(full.elapsed() <= BELIEVED);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_admitted_while_the_store_counts_is_not_forgotten() {
        let admission = counted(5, 0);
        let began = admission.count_begins();
        assert_eq!(orders(&admission, 2).await, 2);
        admission.count_ends(began, Some(1));
        assert_eq!(admission.orders(), 3);
        count(&admission, Some(3));
        assert_eq!(admission.orders(), 3);
    }
}
