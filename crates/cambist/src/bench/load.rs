//! The load: so many orders in flight, a new one whenever one has ended.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::Method;
use jiff::Timestamp;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

use super::client::{Address, Connection};
use super::customers::Customers;

/// A buy of 3 crypto and a sell of half of that, at the simulated venue's price.
const BUY: &[u8] = br#"{"fiat_amount": 30}"#;
const SELL: &[u8] = br#"{"crypto_amount": 1.5}"#;
/// The pause after a request that was turned away.
const PAUSE: Duration = Duration::from_millis(100);

/// An accepted order, in microseconds since the clock began to run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    pub(super) id: i64,
    pub(super) asked_at: u64,
    pub(super) answered_at: u64,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub(super) struct Placed {
    pub(super) orders: Vec<Order>,
    /// Answers other than 202, by status; 0 stands for a broken connection.
    pub(super) failures: BTreeMap<u16, u64>,
    /// When the clock began to run.
    pub(super) began_at: Timestamp,
    /// How long orders were placed, up to the last answer.
    pub(super) took: Duration,
    /// How many of them are completed, by the books.
    pub(super) completed: u64,
}

impl Placed {
    pub(super) fn accepted(&self) -> u64 {
        u64::try_from(self.orders.len()).unwrap_or(u64::MAX)
    }

    /// What went wrong, in words.
    pub(super) fn failures(&self) -> String {
        let told = self.failures.iter().map(|(status, count)| match status {
            0 => format!("{count} broken connections"),
            status => format!("{count} answers {status}"),
        });
        told.collect::<Vec<_>>().join(", ")
    }
}

/// A load that can begin.
pub(super) struct Load {
    address: Address,
    customers: Customers,
    pub(super) in_flight: usize,
    placing: Duration,
}

/// What those who place orders share.
struct Shared {
    address: Address,
    customers: Customers,
    began: Instant,
    /// How many more orders may be placed now.
    room: Semaphore,
    /// Whether an answer makes room for the next request.
    by_answers: bool,
    over: Cell<bool>,
    placed: RefCell<Placed>,
    failed: Cell<u64>,
}

/// A load that runs; it is watched and fed from outside.
pub(super) struct Running {
    shared: Rc<Shared>,
    clients: JoinSet<anyhow::Result<()>>,
    in_flight: usize,
    placing: Duration,
    /// How many permits were ever given.
    given: u64,
}

impl Load {
    pub(super) fn new(address: &Address, customers: &Customers, in_flight: usize, placing: Duration) -> Self {
        Self {
            address: address.clone(),
            customers: Arc::clone(customers),
            in_flight,
            placing,
        }
    }

    /// Connects everybody, then starts the clock. To be called inside a [`LocalSet`].
    pub(super) async fn start(self, by_answers: bool) -> anyhow::Result<Running> {
        let mut connections = Vec::with_capacity(self.in_flight);
        for _ in 0..self.in_flight {
            connections.push(Connection::open(&self.address).await.context("too many connections?")?);
        }
        let shared = Rc::new(Shared {
            address: self.address,
            customers: self.customers,
            began: Instant::now(),
            room: Semaphore::new(self.in_flight),
            by_answers,
            over: Cell::new(false),
            placed: RefCell::new(Placed {
                began_at: Timestamp::now(),
                ..Placed::default()
            }),
            failed: Cell::new(0),
        });
        let mut clients = JoinSet::new();
        for (number, connection) in connections.into_iter().enumerate() {
            clients.spawn_local(place_orders(Rc::clone(&shared), number, connection));
        }
        Ok(Running {
            shared,
            clients,
            in_flight: self.in_flight,
            placing: self.placing,
            given: u64::try_from(self.in_flight).unwrap_or(u64::MAX),
        })
    }

    /// Runs by answers alone: a request is in flight until it is answered.
    pub(super) async fn run_by_answers(self, tell: &dyn Fn(&str)) -> anyhow::Result<Placed> {
        LocalSet::new()
            .run_until(async {
                let running = self.start(true).await?;
                let mut seconds = 0;
                while !running.is_over() {
                    // sleep: the pace of the progress
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    seconds += 1;
                    tell(&format!("{seconds:>4} s  {:>9} orders accepted", running.accepted()));
                }
                running.finish().await
            })
            .await
    }
}

impl Running {
    pub(super) fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// Whether no more orders are to be placed.
    pub(super) fn is_over(&self) -> bool {
        self.elapsed() >= self.placing
    }

    pub(super) fn accepted(&self) -> usize {
        self.shared.placed.borrow().orders.len()
    }

    /// So many orders have ended by now: as many may be placed anew, and as many as failed to be placed.
    pub(super) fn make_room(&mut self, ended: u64) {
        let in_flight = u64::try_from(self.in_flight).unwrap_or(u64::MAX);
        let may = in_flight.saturating_add(ended).saturating_add(self.shared.failed.get());
        let more = may.saturating_sub(self.given);
        if let Ok(permits) = usize::try_from(more).map(|more| more.min(self.in_flight)) {
            self.shared.room.add_permits(permits);
            self.given = self.given.saturating_add(u64::try_from(permits).unwrap_or(0));
        }
    }

    /// Places no more orders, and waits for the answers that are missing.
    pub(super) async fn finish(mut self) -> anyhow::Result<Placed> {
        self.shared.over.set(true);
        self.shared.room.close();
        while let Some(client) = self.clients.join_next().await {
            client??;
        }
        let took = self.shared.began.elapsed();
        let mut placed = self.shared.placed.take();
        placed.took = took;
        Ok(placed)
    }
}

/// One client: an order after the other, as long as there is room.
async fn place_orders(shared: Rc<Shared>, number: usize, mut connection: Connection) -> anyhow::Result<()> {
    let customer = &shared.customers[number % shared.customers.len()];
    for turn in number.. {
        let Ok(permit) = shared.room.acquire().await else { break };
        if !shared.by_answers {
            permit.forget();
        } else if shared.over.get() {
            break;
        }
        let (path, body) = if turn % 2 == 0 {
            (&customer.buy, BUY)
        } else {
            (&customer.sell, SELL)
        };
        let asked_at = micros(shared.began);
        let answer = connection
            .send(
                Method::POST,
                path.clone(),
                Some(&customer.token),
                Bytes::from_static(body),
            )
            .await;
        let status = match &answer {
            Ok(answer) if answer.status == 202 => {
                let id = order_id(&answer.body).context("an order was accepted without an id")?;
                let answered_at = micros(shared.began);
                shared.placed.borrow_mut().orders.push(Order {
                    id,
                    asked_at,
                    answered_at,
                });
                continue;
            }
            Ok(answer) => answer.status,
            Err(_) => 0,
        };
        *shared.placed.borrow_mut().failures.entry(status).or_default() += 1;
        // What is refused for lack of funds is an order that has ended, and is counted there.
        if status != 423 {
            shared.failed.set(shared.failed.get() + 1);
        }
        if status == 0 {
            connection = Connection::open(&shared.address).await?;
        }
        // sleep: whoever was turned away comes back later
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The number in `{"order_id":17,"status":"pending"}`.
fn order_id(body: &[u8]) -> Option<i64> {
    let digits = body.strip_prefix(br#"{"order_id":"#)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_orders_number_is_read_from_its_answer() {
        assert_eq!(order_id(br#"{"order_id":17,"status":"pending"}"#), Some(17));
        assert_eq!(order_id(br#"{"type":"urn:cambist:problem:overloaded"}"#), None);
        assert_eq!(order_id(b""), None);
    }
}
