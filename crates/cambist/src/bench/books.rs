//! What the books of the fresh instance show while it runs: which orders are in flight, and when each came to its end.
//!
//! Read beside the running process, as the audit does, from one snapshot each time: what is seen here is committed. An
//! order is at its end when a snapshot shows it so for the first time, so its time is too long by one look at most.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use contracts::ServiceName;
use rusqlite::Connection;
use storage::outbox::Destination;
use storage::sqlite::{effects_under_way, open_commands, reader};
use tokio::task::LocalSet;
use tokio::time::Instant;
use wallet::store::sqlite::audit::{completed_orders, last_order, open_orders};

use super::load::{Load, Placed, Running};

/// How often the books are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often is told how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A reader of the instance's books.
pub(super) struct Books {
    connection: Connection,
}

/// What one look showed.
struct Snapshot {
    /// The newest order.
    last: i64,
    /// The orders that are not at their end, ascending.
    open: Vec<i64>,
    /// Notifications that are not delivered yet.
    notices: u64,
}

impl Snapshot {
    fn in_flight(&self) -> u64 {
        self.notices
            .saturating_add(u64::try_from(self.open.len()).unwrap_or(u64::MAX))
    }
}

/// When the orders of a load came to their ends.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// The number of the load's first order.
    pub(super) first_order: i64,
    /// Order and end, in microseconds since the clock began to run.
    pub(super) orders: Vec<(i64, u64)>,
    /// How long it took until nothing was in flight any more.
    pub(super) took: Duration,
    /// What was still in flight then, undelivered notifications included: more than none if that took too long.
    pub(super) in_flight: u64,
}

impl Books {
    pub(super) fn open(database: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            connection: reader(database)?,
        })
    }

    fn look(&self) -> rusqlite::Result<Snapshot> {
        let snapshot = self.connection.unchecked_transaction()?;
        let mut open = open_orders(&snapshot)?;
        open.sort_unstable();
        let on_their_way = effects_under_way(
            &snapshot,
            ServiceName::Wallet,
            Destination::Service(ServiceName::Notification),
        )?;
        Ok(Snapshot {
            last: last_order(&snapshot)?,
            open,
            notices: on_their_way.saturating_add(open_commands(&snapshot, ServiceName::Notification)?),
        })
    }

    /// How many orders are completed, from this one on.
    pub(super) fn completed_since(&self, first: i64) -> rusqlite::Result<u64> {
        completed_orders(&self.connection, first)
    }

    /// Waits until nothing is in flight.
    pub(super) async fn wait_until_quiet(&self, longest: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + longest;
        while self.look()?.in_flight() > 0 {
            ensure!(
                Instant::now() < deadline,
                "the preparation's orders do not come to their end"
            );
            // sleep: the books of another process tell nobody that they change
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Runs a load, feeding it as its orders end, until nothing is in flight, at most `longest` after the last request.
    pub(super) async fn follow(
        &self,
        load: Load,
        longest: Duration,
        tell: &dyn Fn(&str),
    ) -> anyhow::Result<(Placed, Ended)> {
        LocalSet::new()
            .run_until(async {
                let mut watch = Watch::new(self.look()?.last);
                let mut running = load.start(false).await?;
                while !running.is_over() {
                    self.pace(&mut watch, &running, tell).await?;
                    running.make_room(watch.ended);
                }
                let began = Instant::now() - running.elapsed();
                let placed = running.finish().await?;
                let deadline = Instant::now() + longest;
                let mut snapshot = self.look()?;
                watch.take_in(&snapshot, began.elapsed());
                while snapshot.in_flight() > 0 && Instant::now() < deadline {
                    // sleep: the books of another process tell nobody that they change
                    tokio::time::sleep(LOOK_EVERY).await;
                    snapshot = self.look()?;
                    watch.take_in(&snapshot, began.elapsed());
                }
                watch.found.took = began.elapsed();
                watch.found.in_flight = snapshot.in_flight();
                Ok((placed, watch.found))
            })
            .await
    }

    async fn pace(&self, watch: &mut Watch, running: &Running, tell: &dyn Fn(&str)) -> anyhow::Result<()> {
        // sleep: the books of another process tell nobody that they change
        tokio::time::sleep(LOOK_EVERY).await;
        let snapshot = self.look().context("the instance's books cannot be read")?;
        let now = running.elapsed();
        watch.take_in(&snapshot, now);
        if now >= watch.tell_at {
            let seconds = watch.tell_at.as_secs();
            watch.tell_at += TELL_EVERY;
            let ended = watch.found.orders.len();
            tell(&format!(
                "{seconds:>4} s  {:>7} orders/s  {:>6} in flight",
                ended - watch.told,
                snapshot.in_flight()
            ));
            watch.told = ended;
        }
        Ok(())
    }
}

/// What has been seen so far.
struct Watch {
    before: i64,
    last: i64,
    open: Vec<i64>,
    /// Orders whose users have been told.
    ended: u64,
    told: usize,
    tell_at: Duration,
    found: Ended,
}

impl Watch {
    fn new(last: i64) -> Self {
        Self {
            before: last,
            last,
            open: Vec::new(),
            ended: 0,
            told: 0,
            tell_at: TELL_EVERY,
            found: Ended {
                first_order: last + 1,
                ..Ended::default()
            },
        }
    }

    fn take_in(&mut self, snapshot: &Snapshot, now: Duration) {
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let new = self.last + 1..=snapshot.last;
        let gone = self.open.iter().copied().chain(new);
        let gone = gone.filter(|order| snapshot.open.binary_search(order).is_err());
        self.found.orders.extend(gone.map(|order| (order, now)));
        self.last = snapshot.last;
        self.open.clone_from(&snapshot.open);
        let all = u64::try_from(snapshot.last - self.before).unwrap_or(0);
        self.ended = all.saturating_sub(snapshot.in_flight());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(last: i64, open: &[i64], notices: u64) -> Snapshot {
        Snapshot {
            last,
            open: open.to_vec(),
            notices,
        }
    }

    #[test]
    fn an_order_ends_once_when_it_is_first_seen_at_its_end_and_makes_room_when_its_user_is_told() {
        let mut watch = Watch::new(7);
        let at = Duration::from_micros;
        watch.take_in(&snapshot(10, &[8, 10], 1), at(1));
        assert_eq!((watch.found.orders.as_slice(), watch.ended), (&[(9, 1)][..], 0));
        watch.take_in(&snapshot(11, &[10], 1), at(2));
        assert_eq!(watch.found.orders, [(9, 1), (8, 2), (11, 2)]);
        assert_eq!(watch.ended, 2);
        watch.take_in(&snapshot(11, &[], 0), at(3));
        assert_eq!(watch.found.orders.last(), Some(&(10, 3)));
        assert_eq!((watch.found.orders.len(), watch.ended), (4, 4));
    }
}
