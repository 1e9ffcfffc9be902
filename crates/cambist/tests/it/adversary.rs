//! Somebody repeats every message between the ten processes: each comes three times, the copies shuffled among those of
//! others, some of them late. The ledger is the same as undisturbed.
//!
//! In one process the first deliveries are shuffled as well.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use async_nats::header::{HeaderMap, NATS_MESSAGE_ID};
use balance::store::sqlite::audit::{balances_of, transfers_of_orders};
use contracts::messages::Queue;
use contracts::{Entropy as _, SeededEntropy};
use futures::StreamExt as _;
use serde_json::{Value, json};
use test_kit::api::{Api, User, placed};
use test_kit::system::{Scene, TestSystem};
use test_kit::waiting::{PATIENCE, eventually};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep};
use transport::adversary::Malice;

use crate::black_box::company::short_lived;
use crate::black_box::world::{World, ten_processes};
use crate::faults::trial::is_full;

/// How many copies are added to each message.
const COPIES: usize = 2;
/// Among how many copies the next one is chosen.
const WINDOW: usize = 16;
/// One copy in so many comes late.
const ONE_LATE_IN: u64 = 8;
/// The mark of a copy, which is not copied.
const COPY: &str = "Copy";

/// A venue and a chain that decide each order's fate by its number alone.
fn world() -> World {
    let setup = short_lived(ten_processes())
        .with("venue_timeout", "5s")
        .with("venue_expiry", "6s")
        .with("command_lease", "15s")
        .with("venue_refuse_bp", "1000")
        .with("venue_partial_bp", "2000")
        .with("chain_refuse_bp", "1000")
        .with("venue_fee_bp", "25");
    World::begin(setup)
}

/// A copy that waits for its time.
struct Copied {
    not_before: Instant,
    subject: String,
    payload: Vec<u8>,
}

/// Publishes copies of whatever is published, until it is aborted; how many so far is what `seen` says.
async fn repeat_everything(url: String, seed: u64, late: Duration) -> JoinHandle<()> {
    let client = async_nats::connect(url).await.unwrap();
    let mut arrivals = Vec::new();
    for queue in Queue::ALL {
        arrivals.push(client.subscribe(queue.as_str()).await.unwrap());
    }
    // Whoever is told of it from now on is told of all.
    client.flush().await.unwrap();
    tokio::spawn(async move {
        let dice = SeededEntropy::new(seed);
        let mut arrivals = futures::stream::select_all(arrivals);
        let mut copies: Vec<Copied> = Vec::new();
        loop {
            // sleep: copies that wait for company get none for ever
            let lull = sleep(Duration::from_millis(20));
            let arrived = tokio::select! {
                arrived = arrivals.next() => arrived,
                () = lull => None,
            };
            if let Some(message) = &arrived
                && message
                    .headers
                    .as_ref()
                    .is_none_or(|headers| headers.get(COPY).is_none())
            {
                for _ in 0..COPIES {
                    let wait = if dice.next_u64().is_multiple_of(ONE_LATE_IN) {
                        late
                    } else {
                        Duration::ZERO
                    };
                    copies.push(Copied {
                        not_before: Instant::now() + wait,
                        subject: message.subject.to_string(),
                        payload: message.payload.to_vec(),
                    });
                }
            }
            let due = |copies: &[Copied]| -> Vec<usize> {
                let now = Instant::now();
                (0..copies.len())
                    .filter(|place| copies[*place].not_before <= now)
                    .collect()
            };
            let keep = if arrived.is_some() { WINDOW } else { 0 };
            loop {
                let ready = due(&copies);
                if ready.len() <= keep {
                    break;
                }
                let place = usize::try_from(dice.next_u64() % ready.len() as u64).unwrap();
                let copy = copies.swap_remove(ready[place]);
                let mut headers = HeaderMap::new();
                headers.insert(COPY, "1");
                // Under another id, or the server would know it again.
                headers.insert(NATS_MESSAGE_ID, dice.next_u64().to_string().as_str());
                client
                    .publish_with_headers(copy.subject, headers, copy.payload.into())
                    .await
                    .unwrap();
            }
        }
    })
}

/// Every line of every statement without its time, every balance, and how each order ended.
async fn ledger_of(users: &[User]) -> BTreeSet<String> {
    let mut ledger = BTreeSet::new();
    for user in users {
        for mut line in user.statement().await {
            let line = line.as_object_mut().unwrap();
            // When, and after what else, is chance.
            for chance in ["occurred_at", "created_at", "time", "balance_after", "entry_id", "id"] {
                line.remove(chance);
            }
            assert!(ledger.insert(format!("{} {}", user.id, json!(line))), "twice: {line:?}");
        }
        ledger.insert(format!("{} has {:?}", user.id, user.balances().await));
        for order in user.orders().await {
            let facts =
                ["order_id", "status", "filled", "price", "fee", "failure_code"].map(|fact| order[fact].clone());
            ledger.insert(format!("{} {}", user.id, Value::from(facts.to_vec())));
        }
    }
    ledger
}

/// The same orders, one after the other, so that each has the same number every time; all in flight together.
async fn orders_of_a_day(api: &Api) -> Vec<User> {
    let mut users = Vec::new();
    for number in 0..4 {
        users.push(api.given_a_user_with(&format!("user{number}"), "100000").await);
    }
    let rounds = if is_full() { 50 } else { 6 };
    for selling in [false, true] {
        let mut orders = JoinSet::new();
        for round in 0..rounds {
            for user in users.clone() {
                let buy = placed(&user.buy(&format!("{}.37", 20 + round), None).await);
                let sell = match selling {
                    true => Some(placed(&user.sell(&format!("0.0{}1", 1 + round % 9), None).await)),
                    false => None,
                };
                orders.spawn(async move {
                    user.order_at_its_end(buy).await;
                    if let Some(sell) = sell {
                        user.order_at_its_end(sell).await;
                    }
                });
            }
        }
        orders.join_all().await;
    }
    users
}

/// A day's ledger; with somebody who repeats everything, if there is a seed.
async fn day(disturbed: Option<u64>) -> BTreeSet<String> {
    let mut world = world();
    let late = Duration::from_secs(if is_full() { 120 } else { 1 });
    let repeating = match disturbed {
        Some(seed) => Some(repeat_everything(world.cluster.nats().url(), seed, late).await),
        None => None,
    };
    let users = orders_of_a_day(&world.api()).await;
    if let Some(repeating) = repeating {
        // sleep: what is to come late is still to come
        sleep(late + Duration::from_millis(500)).await;
        repeating.abort();
        nothing_waits(&world.cluster.nats().url()).await;
    }
    let report = world.audited().await;
    assert_eq!(report["orders_in_flight"], 0, "{report:#}");
    world.assert_no_panic();
    ledger_of(&users).await
}

/// Every message, copies too, is worked off.
async fn nothing_waits(url: &str) {
    let client = async_nats::connect(url).await.unwrap();
    let streams = async_nats::jetstream::new(client);
    eventually(PATIENCE, "empty queues", async || {
        let mut left = 0;
        for queue in Queue::ALL {
            let stream = streams.get_stream(queue.as_str()).await.unwrap();
            left += stream.cached_info().state.messages;
        }
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_come_three_times_shuffled_and_late_leave_the_same_ledger() {
    let _turn = crate::faults::trial::turn();
    let undisturbed = day(None).await;
    let disturbed = day(Some(crate::crash::seed())).await;
    assert!(undisturbed.len() > 100, "{undisturbed:#?}");
    let differences: Vec<_> = undisturbed.symmetric_difference(&disturbed).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

/// Every transfer of every order, with all that it says, and what everybody has.
fn books_of(system: &TestSystem) -> BTreeSet<String> {
    let books = storage::sqlite::reader(&system.database()).unwrap();
    let transfers = transfers_of_orders(&books, 1, i64::MAX).unwrap();
    let mut digest: BTreeSet<_> = transfers
        .iter()
        .map(|posted| format!("{:?}", posted.transfer))
        .collect();
    assert_eq!(digest.len(), transfers.len(), "no transfer is there twice");
    let owners = transfers
        .into_iter()
        .flat_map(|posted| [posted.transfer.debit, posted.transfer.credit]);
    for owner in owners.collect::<HashSet<_>>() {
        digest.insert(format!("{owner} has {:?}", balances_of(&books, &owner).unwrap()));
    }
    digest
}

/// A day's books in one process; with an adversary before the workers, if there is a seed.
async fn day_in_one_process(disturbed: Option<u64>) -> BTreeSet<String> {
    let late = Duration::from_secs(if is_full() { 120 } else { 1 });
    let scene = match disturbed {
        Some(seed) => Scene::default().with_adversary(
            seed,
            Malice {
                late,
                ..Malice::default()
            },
        ),
        None => Scene::default(),
    };
    let system = scene.start().await;
    orders_of_a_day(&system.api).await;
    if disturbed.is_some() {
        // sleep: what is to come late is still to come
        sleep(late + Duration::from_millis(500)).await;
    }
    system.assert_clean();
    books_of(&system)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_one_process_the_first_copies_are_shuffled_too_and_leave_the_same_books() {
    let undisturbed = day_in_one_process(None).await;
    let disturbed = day_in_one_process(Some(crate::crash::seed())).await;
    assert!(undisturbed.len() > 100, "{undisturbed:#?}");
    let differences: Vec<_> = undisturbed.symmetric_difference(&disturbed).collect();
    assert!(differences.is_empty(), "{differences:#?}");
}
