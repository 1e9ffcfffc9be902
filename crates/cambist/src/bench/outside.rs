//! What a running instance shows to its users: their orders, with the times of their ends by its own clock.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use http::Method;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::books::Ended;
use super::client::{Address, Connection};
use super::customers::{Customer, Customers};
use super::load::Placed;

const ASK_EVERY: Duration = Duration::from_millis(200);

/// Waits until every order of these users is at its end.
pub(super) async fn wait_until_quiet(
    address: &Address,
    customers: &Customers,
    longest: Duration,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + longest;
    let mut connection = Connection::open(address).await?;
    for customer in customers.iter() {
        while read(&mut connection, customer, customer.first_order - 1).await?.pending > 0 {
            ensure!(
                Instant::now() < deadline,
                "the preparation's orders do not come to their end"
            );
            // sleep: nobody tells outside that an order has ended
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
    Ok(())
}

/// Counts what became of the load's orders, once all of them have ended or `longest` is over. Notifications cannot be
/// seen from outside.
pub(super) async fn count(
    address: &Address,
    customers: &Customers,
    placed: &mut Placed,
    longest: Duration,
) -> anyhow::Result<Ended> {
    let deadline = Instant::now() + longest;
    let mut connection = Connection::open(address).await?;
    let mut ended = Ended::default();
    let mut last_end = None;
    for customer in customers.iter() {
        let mut seen = read(&mut connection, customer, customer.first_order).await?;
        while seen.pending > 0 && Instant::now() < deadline {
            // sleep: nobody tells outside that an order has ended
            tokio::time::sleep(ASK_EVERY).await;
            seen = read(&mut connection, customer, customer.first_order).await?;
        }
        placed.completed += seen.completed;
        ended.in_flight += seen.pending;
        ended.orders.extend(seen.took);
        last_end = last_end.max(seen.last_end);
    }
    // By the other side's clock, which is taken to agree with ours.
    let took = last_end.and_then(|end| Duration::try_from(end.duration_since(placed.began_at)).ok());
    ended.took = placed.took.max(took.unwrap_or_default());
    Ok(ended)
}

/// A user's orders.
#[derive(Default)]
struct Seen {
    pending: u64,
    completed: u64,
    /// Order and microseconds from its acceptance to its end.
    took: Vec<(i64, u64)>,
    last_end: Option<Timestamp>,
}

/// The user's orders that are newer than `after`.
async fn read(connection: &mut Connection, customer: &Customer, after: i64) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut path = format!("/orders/{}?limit=100", customer.id);
    loop {
        let page = connection
            .ask(Method::GET, &path, Some(&customer.token), Value::Null, 200)
            .await?;
        for order in page["items"].as_array().context("a list of orders has no items")? {
            let id = order["order_id"].as_i64().context("an order has no number")?;
            if id <= after {
                return Ok(seen);
            }
            match order["status"].as_str() {
                Some("pending") => {
                    seen.pending += 1;
                    continue;
                }
                Some("completed") => seen.completed += 1,
                _ => {}
            }
            let time = |name: &str| order[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let (created, updated) = time("created_at")
                .zip(time("updated_at"))
                .context("an order has no times")?;
            let micros = updated.as_microsecond().saturating_sub(created.as_microsecond());
            seen.took.push((id, u64::try_from(micros).unwrap_or(0)));
            seen.last_end = seen.last_end.max(Some(updated));
        }
        match page["next_cursor"].as_i64() {
            Some(cursor) => path = format!("/orders/{}?limit=100&cursor={cursor}", customer.id),
            None => return Ok(seen),
        }
    }
}
