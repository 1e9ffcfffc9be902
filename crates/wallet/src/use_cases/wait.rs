//! Waiting for a decision that is taken elsewhere in this process, without asking for it again and again.
//!
//! Nobody misses it: a seat is registered before the command of what is waited for leaves the store, so before anybody can
//! decide it. Nobody stays: a seat that is dropped is gone from the table, even if it is registered afterwards.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use tokio::sync::oneshot;
use tokio::time::Instant;

/// Who waits for what. Clones are the same table.
pub(crate) struct Waiters<K, V>(Arc<Mutex<Table<K, V>>>);

impl<K, V> Clone for Waiters<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Table<K, V> {
    capacity: usize,
    taken: usize,
    next: u64,
    seats: HashMap<K, Vec<(u64, oneshot::Sender<V>)>>,
}

/// Where a seat is registered, if it is.
type Registered<K> = OnceLock<(K, u64)>;

/// A place to wait in.
pub(crate) struct Seat<K: Copy + Eq + Hash, V> {
    waiters: Waiters<K, V>,
    registered: Option<Arc<Registered<K>>>,
    decision: oneshot::Receiver<V>,
}

/// The right to register a seat, to be carried into the store.
pub(crate) struct Registration<K, V> {
    waiters: Waiters<K, V>,
    registered: Weak<Registered<K>>,
    sender: Option<oneshot::Sender<V>>,
}

impl<K: Copy + Eq + Hash, V: Clone> Waiters<K, V> {
    /// A table with room for this many seats.
    pub(crate) fn new(capacity: usize) -> Self {
        Self(Arc::new(Mutex::new(Table {
            capacity,
            taken: 0,
            next: 0,
            seats: HashMap::new(),
        })))
    }

    /// A seat, and the right to register it.
    pub(crate) fn seat(&self) -> (Seat<K, V>, Registration<K, V>) {
        let (sender, decision) = oneshot::channel();
        let registered = Arc::new(OnceLock::new());
        let registration = Registration {
            waiters: self.clone(),
            registered: Arc::downgrade(&registered),
            sender: Some(sender),
        };
        let seat = Seat {
            waiters: self.clone(),
            registered: Some(registered),
            decision,
        };
        (seat, registration)
    }

    /// Tells everybody who waits for `key`.
    pub(crate) fn decide(&self, key: K, decision: V) {
        let mut table = self.table();
        let seats = table.seats.remove(&key).unwrap_or_default();
        table.taken = table.taken.saturating_sub(seats.len());
        drop(table);
        for (_, sender) in seats {
            // Whoever has just given up asks the store instead.
            let _ = sender.send(decision.clone());
        }
    }

    /// How many seats are taken.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> usize {
        self.table().taken
    }
}

impl<K, V> Waiters<K, V> {
    fn table(&self) -> MutexGuard<'_, Table<K, V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash, V> Registration<K, V> {
    /// From now on the seat hears of `key`, if its owner is still there and the table has room. Only the first call
    /// counts.
    pub(crate) fn register(&mut self, key: K) {
        let mut table = self.waiters.table();
        let (Some(registered), Some(sender)) = (self.registered.upgrade(), self.sender.take()) else {
            return;
        };
        if table.taken >= table.capacity {
            return;
        }
        let number = table.next;
        if registered.set((key, number)).is_ok() {
            table.next += 1;
            table.taken += 1;
            table.seats.entry(key).or_default().push((number, sender));
        }
    }
}

impl<K: Copy + Eq + Hash, V> Seat<K, V> {
    /// The decision; `None` when it is not taken until `deadline`, or cannot be heard here.
    pub(crate) async fn wait(&mut self, deadline: Instant) -> Option<V> {
        tokio::time::timeout_at(deadline, &mut self.decision).await.ok()?.ok()
    }
}

impl<K: Copy + Eq + Hash, V> Drop for Seat<K, V> {
    fn drop(&mut self) {
        let mut table = self.waiters.table();
        // Given up under the lock, so that a registration finds either a seat that will leave, or none.
        let Some((key, number)) = self.registered.take().and_then(|cell| cell.get().copied()) else {
            return;
        };
        let Some(seats) = table.seats.get_mut(&key) else { return };
        let before = seats.len();
        seats.retain(|(other, _)| *other != number);
        let (left, empty) = (before - seats.len(), seats.is_empty());
        table.taken = table.taken.saturating_sub(left);
        if empty {
            table.seats.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn in_seconds(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_who_waits_for_a_key_hears_of_it_and_nobody_else() {
        let waiters = Waiters::new(8);
        let (mut ann, mut of_ann) = waiters.seat();
        let (mut bob, mut of_bob) = waiters.seat();
        let (mut eve, mut of_eve) = waiters.seat();
        of_ann.register(1);
        of_bob.register(1);
        of_eve.register(2);
        waiters.decide(1, "held");
        assert_eq!(ann.wait(in_seconds(1)).await, Some("held"));
        assert_eq!(bob.wait(in_seconds(1)).await, Some("held"));
        assert_eq!(eve.wait(in_seconds(1)).await, None);
    }

    #[test]
    fn a_seat_that_is_given_up_leaves_nothing_behind_whenever_it_is_registered() {
        let waiters: Waiters<i64, ()> = Waiters::new(8);
        let (before, mut registration) = waiters.seat();
        registration.register(1);
        assert_eq!(waiters.taken(), 1);
        drop(before);
        let (after, mut registration) = waiters.seat();
        drop(after);
        registration.register(1);
        assert_eq!(waiters.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_table_takes_no_more_and_the_request_waits_no_longer_than_it_must() {
        let waiters = Waiters::new(1);
        let (_first, mut of_first) = waiters.seat();
        let (mut second, mut of_second) = waiters.seat();
        of_first.register(1);
        of_second.register(1);
        let started = Instant::now();
        assert_eq!(second.wait(in_seconds(2)).await, None::<()>);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
