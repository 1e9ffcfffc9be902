//! Admission: how many orders may be under way before new ones are turned away, unseen.
//!
//! A place is reserved when a request arrives and passes to the order when that is stored; the order gives it back at
//! its end. So the bound holds for requests and orders together, and whatever is accepted can be finished.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contracts::metrics::Counter;
use storage::StoreError;

use super::Wallet;

/// The gauge of this process.
pub(crate) struct Admission {
    most: usize,
    places: Mutex<Places>,
    pub(crate) turned_away: Counter,
}

#[derive(Default)]
struct Places {
    orders: usize,
    requests: usize,
}

impl Admission {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            places: Mutex::default(),
            turned_away: Counter::new(),
        })
    }

    /// A place, unless all are taken.
    pub(crate) fn admit(self: &Arc<Self>) -> Option<Place> {
        let mut places = self.places();
        if places.orders.saturating_add(places.requests) >= self.most {
            self.turned_away.one();
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
    }

    /// How many orders are under way, as far as this process knows.
    pub(crate) fn orders(&self) -> usize {
        self.places().orders
    }

    fn set(&self, orders: usize) {
        self.places().orders = orders;
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Sets the gauge to what the store says: at start, and where orders end in other processes.
pub(crate) async fn recount(wallet: &Wallet) -> Result<(), StoreError> {
    let counts = wallet.ports.orders.open_counts().await?;
    let orders: u64 = counts.into_iter().map(|(_, count)| count).sum();
    wallet.admission.set(usize::try_from(orders).unwrap_or(usize::MAX));
    Ok(())
}
