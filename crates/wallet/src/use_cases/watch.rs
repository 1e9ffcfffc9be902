//! Who watches which order in this process, to be woken by the commit that moves it.
//!
//! A wake-up carries nothing and may be one for many: whoever is woken reads the store. None is lost, because one that
//! comes while nobody waits is kept for the next wait. The number of watchers is bounded, for each user and for all.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contracts::{OrderId, UserId};
use tokio::sync::Notify;

/// Why there is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The user has as many as a user may have.
    ForThisUser,
    /// All places of this process are taken.
    ForAnybody,
}

/// The watchers of this process.
pub(crate) struct Watchers {
    most: NonZeroUsize,
    most_per_user: NonZeroUsize,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    open: usize,
    next: u64,
    of_users: HashMap<UserId, usize>,
    of_orders: HashMap<OrderId, Vec<(u64, Arc<Notify>)>>,
}

/// A watcher's place; given back when dropped.
pub(crate) struct Watch {
    watchers: Arc<Watchers>,
    user: UserId,
    order: OrderId,
    number: u64,
    woken: Arc<Notify>,
}

impl Watchers {
    pub(crate) fn new(most: NonZeroUsize, most_per_user: NonZeroUsize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_per_user,
            table: Mutex::default(),
        })
    }

    /// Watches an order from now on. Whoever reads the store afterwards, and again whenever woken, misses nothing.
    pub(crate) fn watch(self: &Arc<Self>, user: UserId, order: OrderId) -> Result<Watch, NoRoom> {
        let mut table = self.table();
        if table.open >= self.most.get() {
            return Err(NoRoom::ForAnybody);
        }
        let of_user = table.of_users.entry(user).or_default();
        if *of_user >= self.most_per_user.get() {
            return Err(NoRoom::ForThisUser);
        }
        *of_user += 1;
        table.open += 1;
        let number = table.next;
        table.next += 1;
        let woken = Arc::new(Notify::new());
        table
            .of_orders
            .entry(order)
            .or_default()
            .push((number, Arc::clone(&woken)));
        Ok(Watch {
            watchers: Arc::clone(self),
            user,
            order,
            number,
            woken,
        })
    }

    /// Wakes whoever watches this order.
    pub(crate) fn wake(&self, order: OrderId) {
        for (_, woken) in self.table().of_orders.get(&order).into_iter().flatten() {
            woken.notify_one();
        }
    }

    /// How many places are taken.
    pub(crate) fn open(&self) -> usize {
        self.table().open
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Returns when the order has moved since the last time.
    pub(crate) async fn woken(&self) {
        self.woken.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut table = self.watchers.table();
        table.open = table.open.saturating_sub(1);
        if let Entry::Occupied(mut of_user) = table.of_users.entry(self.user) {
            *of_user.get_mut() = of_user.get().saturating_sub(1);
            if *of_user.get() == 0 {
                of_user.remove();
            }
        }
        if let Entry::Occupied(mut of_order) = table.of_orders.entry(self.order) {
            of_order.get_mut().retain(|(number, _)| *number != self.number);
            if of_order.get().is_empty() {
                of_order.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: i64) -> UserId {
        UserId::try_new(id).unwrap()
    }

    fn order(id: i64) -> OrderId {
        OrderId::try_new(id).unwrap()
    }

    fn at_most(most: usize, most_per_user: usize) -> Arc<Watchers> {
        Watchers::new(
            NonZeroUsize::new(most).unwrap(),
            NonZeroUsize::new(most_per_user).unwrap(),
        )
    }

    #[tokio::test]
    async fn a_wake_up_reaches_all_who_watch_the_order_even_before_they_wait() {
        let watchers = at_most(8, 8);
        let (ann, bob) = (watchers.watch(user(2), order(1)), watchers.watch(user(2), order(1)));
        let eve = watchers.watch(user(3), order(2)).unwrap();
        watchers.wake(order(1));
        watchers.wake(order(1));
        ann.unwrap().woken().await;
        bob.unwrap().woken().await;
        let hears = tokio::time::timeout(std::time::Duration::from_millis(1), eve.woken());
        assert!(hears.await.is_err(), "of another order nothing is heard");
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let watchers = at_most(3, 2);
        let first = watchers.watch(user(2), order(1)).unwrap();
        let second = watchers.watch(user(2), order(1)).unwrap();
        assert_eq!(watchers.watch(user(2), order(2)).err(), Some(NoRoom::ForThisUser));
        let third = watchers.watch(user(3), order(3)).unwrap();
        assert_eq!(watchers.watch(user(4), order(4)).err(), Some(NoRoom::ForAnybody));
        assert_eq!(watchers.open(), 3);
        drop(first);
        let fourth = watchers.watch(user(4), order(4)).unwrap();
        drop((second, third, fourth));
        assert_eq!(watchers.open(), 0);
        let table = watchers.table();
        assert!(
            table.of_users.is_empty() && table.of_orders.is_empty(),
            "nothing is left behind"
        );
    }
}
