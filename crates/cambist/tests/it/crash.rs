//! The promise, as a stranger's programs see it: whatever dies, and whenever, every accepted order ends by itself, and no
//! cent is lost, doubled or left unexplained.
//!
//! The real program is killed under load, again and again, with a venue and a chain that misbehave; the customers only
//! repeat their requests. A failing run is repeated, as far as chance allows, by its seed: `CAMBIST_TEST_SEED=…`;
//! `CAMBIST_TEST_FULL=1` kills five times as often.

#![allow(clippy::print_stdout, reason = "a seed and figures are for whoever runs the test")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use contracts::{Asset, Entropy as _, SeededEntropy, SystemEntropy};
use serde_json::{Value, json};
use tempfile::TempDir;
use test_kit::api::{Api, User, placed};
use test_kit::customers::{Crowd, Tally};
use test_kit::process::{Program, Running};
use test_kit::reckoning::{Reckoning, Terms, all_ended, reckon};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long an accepted order may take to its end once nothing is killed any more.
const LIVENESS: Duration = Duration::from_secs(60);
const USERS: u64 = 12;
/// How many programs of one user work at the same time.
const SESSIONS: u64 = 2;

/// Orders at the venue live for less than a second, so that proof of their absence comes soon.
fn program(folder: &TempDir) -> Program {
    Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path())
        .with("CAMBIST_SWEEP_INTERVAL", "200ms")
        .with("CAMBIST_VENUE_EXPIRY", "800ms")
        .with("CAMBIST_VENUE_TIMEOUT", "300ms")
        .with("CAMBIST_VENUE_ENGINE_TIMEOUT", "50ms")
        .with("CAMBIST_VENUE_SKEW", "50ms")
        .with("CAMBIST_CHAIN_TIMEOUT", "500ms")
        .with("CAMBIST_COMMAND_LEASE", "3s")
}

/// A venue and a chain of which one hears such stories.
fn in_bad_company(program: Program, seed: u64) -> Program {
    program
        .with("CAMBIST_VENUE_SEED", &seed.to_string())
        .with("CAMBIST_VENUE_SPREAD_BP", "50")
        .with("CAMBIST_VENUE_FEE_BP", "25")
        .with("CAMBIST_VENUE_REFUSE_BP", "300")
        .with("CAMBIST_VENUE_PARTIAL_BP", "1000")
        .with("CAMBIST_VENUE_EXECUTED_BUT_TIMED_OUT_BP", "400")
        .with("CAMBIST_VENUE_TIMED_OUT_NOT_EXECUTED_BP", "400")
        .with("CAMBIST_CHAIN_LOST_BROADCAST_BP", "500")
        .with("CAMBIST_CHAIN_REFUSE_BP", "400")
}

/// 10 fiat, with the spread and the fee of bad company.
pub(crate) fn its_terms() -> Terms {
    Terms {
        ask: "10.05".parse().unwrap(),
        bid: "9.95".parse().unwrap(),
        fee_bp: 25,
    }
}

/// What chance is drawn from: given to repeat a run, or new.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("CAMBIST_TEST_SEED").ok();
    let seed = given.map(|text| text.parse().expect("CAMBIST_TEST_SEED is a whole number"));
    let seed = seed.unwrap_or_else(|| SystemEntropy.next_u64() >> 32);
    println!("CAMBIST_TEST_SEED={seed}");
    seed
}

/// Users by the names they log in with.
pub(crate) async fn given_users(api: &Api, count: u64) -> BTreeMap<String, User> {
    let mut registering = JoinSet::new();
    for number in 0..count {
        let api = api.clone();
        registering.spawn(async move {
            let name = format!("user{number}");
            (name.clone(), api.given_a_user(&name).await)
        });
    }
    registering.join_all().await.into_iter().collect()
}

/// The same users after everything: they log in with what they registered.
async fn log_in_again(api: &Api, users: &BTreeMap<String, User>) -> BTreeMap<String, User> {
    let mut again = BTreeMap::new();
    for (name, user) in users {
        let token = api.log_in(name).await;
        let api = api.clone();
        again.insert(
            name.clone(),
            User {
                api,
                id: user.id,
                token,
            },
        );
    }
    again
}

/// `cambist audit` finds nothing.
async fn audited(program: &Program) -> Value {
    let (code, report, errors) = program.run(&["audit", "--json"]).await;
    assert_eq!(code, Some(0), "{report}{errors}");
    serde_json::from_str(&report).unwrap()
}

/// Nothing is in flight, the house has what it began with, and the users have what they think they have.
async fn audited_at_rest(program: &Program, found: &Reckoning) {
    assert_at_rest(&audited(program).await, found);
}

/// The same of a report.
pub(crate) fn assert_at_rest(report: &Value, found: &Reckoning) {
    assert_eq!(
        (&report["orders_in_flight"], &report["orders_stuck"]),
        (&json!(0), &json!(0)),
        "{report:#}"
    );
    for totals in report["totals"].as_array().unwrap() {
        let asset: Asset = serde_json::from_value(totals["asset"].clone()).unwrap();
        let funding = if [Asset::USD, Asset::BTC].contains(&asset) {
            "1000"
        } else {
            "0"
        };
        assert_eq!(totals["hot_wallet"], funding, "{report:#}");
        let owned = contracts::Amount::new(found.owned.get(&asset).copied().unwrap_or_default(), asset);
        assert_eq!(totals["customers"], owned.to_string(), "{report:#}");
    }
}

fn assert_no_panic(program: &Program) {
    let log = program.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// The end of every test here: everybody has left, everything ends, and everything is as it was told.
async fn settle(
    program: &Program,
    running: Running,
    crowd: Crowd,
    users: &BTreeMap<String, User>,
) -> (Reckoning, Tally) {
    let began = Instant::now();
    let (deeds, tally) = crowd.deeds().await;
    let answered = began.elapsed();
    let users = log_in_again(&running.api, users).await;
    let end = all_ended(&users, &deeds, LIVENESS.saturating_sub(answered)).await;
    let found = reckon(&users, &deeds, &its_terms(), &running.data().join("mail")).await;
    println!("{} orders: {found:?}; {tally:?}", found.orders());
    println!(
        "last answer after {answered:?}, last end {:?} later: {}",
        end.after,
        story(end.order.as_ref())
    );
    audited_at_rest(program, &found).await;
    assert_eq!(running.terminate().await, Some(0), "{}", program.log());
    audited_at_rest(program, &found).await;
    assert_no_panic(program);
    (found, tally)
}

/// When an order came into which state.
fn story(order: Option<&Value>) -> String {
    let events = order.and_then(|order| order["events"].as_array()).into_iter().flatten();
    let told = events.map(|event| format!("{} {} ({})", event["time"], event["to"], event["event"]["fact"]));
    told.collect::<Vec<_>>().join(", ")
}

/// Chance, to be repeated by its seed.
struct Dice(SeededEntropy);

impl Dice {
    /// Evenly drawn.
    fn up_to(&self, most: Duration) -> Duration {
        Duration::from_micros(self.0.next_u64() % u64::try_from(most.as_micros()).unwrap())
    }

    fn one_in(&self, number: u64) -> bool {
        self.0.next_u64().is_multiple_of(number)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_under_load_it_ends_every_order_and_keeps_every_cent() {
    let began = Instant::now();
    let rounds = if std::env::var_os("CAMBIST_TEST_FULL").is_some() {
        60
    } else {
        12
    };
    let seed = seed();
    let dice = Dice(SeededEntropy::new(seed));
    let folder = tempfile::tempdir().unwrap();
    let program = in_bad_company(program(&folder), seed);
    let mut kills = 0;
    // Nothing is there yet: neither database, schema, secrets nor the hot wallet's money.
    for _ in 0..4 {
        kill_at_start(&program, dice.up_to(Duration::from_millis(150))).await;
        kills += 1;
    }
    let mut running = program.up().await;
    let users = given_users(&running.api, USERS).await;
    let crowd = Crowd::new(users.values(), SESSIONS, seed);
    for round in 0..rounds {
        crowd.find_it_at(Some(&running.api));
        // sleep: the moment of death is chance.
        sleep(dice.up_to(Duration::from_millis(600))).await;
        if dice.one_in(6) {
            // Killed while it ends cleanly.
            running.ask_to_stop().await;
            // sleep: the moment of death is chance.
            sleep(dice.up_to(Duration::from_millis(30))).await;
        }
        running.kill().await;
        kills += 1;
        crowd.find_it_at(None);
        if round % 5 == 0 {
            audited(&program).await;
        }
        while dice.one_in(4) {
            kill_at_start(&program, dice.up_to(Duration::from_millis(60))).await;
            kills += 1;
        }
        running = program.up().await;
    }
    crowd.let_leave();
    crowd.find_it_at(Some(&running.api));
    println!("{kills} kills in {:?}", began.elapsed());
    let (found, tally) = settle(&program, running, crowd, &users).await;
    println!("all of it took {:?}", began.elapsed());
    // A test that finds nothing to do proves nothing.
    assert!(
        found.orders() > 100 && found.completed > 0 && found.refused > 0 && !found.failed.is_empty(),
        "{found:?}"
    );
    assert!(tally.unanswered > 0, "{tally:?}");
}

async fn kill_at_start(program: &Program, after: Duration) {
    let starting = program.start();
    // sleep: the moment of death is chance.
    sleep(after).await;
    starting.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_stop_under_load_it_answers_what_it_took_and_goes_on_at_its_next_start() {
    let seed = seed();
    let dice = Dice(SeededEntropy::new(seed));
    let folder = tempfile::tempdir().unwrap();
    // Whoever waits for a hold is told as soon as that is decided, and does not hold up the end.
    let hold_wait = Duration::from_secs(9);
    let program = in_bad_company(program(&folder), seed).with("CAMBIST_HOLD_WAIT", "9s");
    let mut running = program.up().await;
    let users = given_users(&running.api, 4).await;
    let crowd = Crowd::new(users.values(), 4, seed);
    for _ in 0..4 {
        crowd.find_it_at(Some(&running.api));
        // sleep: the moment of the signal is chance.
        sleep(dice.up_to(Duration::from_millis(600))).await;
        let asked = Instant::now();
        assert_eq!(running.terminate().await, Some(0), "{}", program.log());
        println!("stopped in {:?}", asked.elapsed());
        assert!(asked.elapsed() < hold_wait, "{}", program.log());
        crowd.find_it_at(None);
        audited(&program).await;
        running = program.up().await;
    }
    crowd.let_leave();
    crowd.find_it_at(Some(&running.api));
    let (found, tally) = settle(&program, running, crowd, &users).await;
    assert!(found.orders() > 50, "{found:?}");
    assert_eq!((tally.cut_off, tally.lost_answers), (0, 0), "{tally:?}");
}

/// How an order ended, and what its user has then.
struct Ended {
    order: Value,
    balances: (String, String),
}

impl Ended {
    #[track_caller]
    fn ended_as(&self, status: &str, fiat: &str, crypto: &str) {
        let balances = (&*self.balances.0, &*self.balances.1);
        assert_eq!(
            (self.order["status"].as_str(), balances),
            (Some(status), (fiat, crypto)),
            "{}",
            self.order
        );
    }
}

/// Of a user with 570 fiat and 3 crypto: kills it as soon as the order is in this state; then the venue and the chain
/// answer again.
async fn killed_in(state: &str, bad: &[(&str, &str)], order: impl AsyncFn(&User) -> i64) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    let program = program(&folder);
    let bad = bad
        .iter()
        .fold(program.clone(), |program, (name, value)| program.with(name, value));
    let running = program.up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    let bought = placed(&user.buy("30", None).await);
    user.order_at_its_end(bought).await;
    assert_eq!(running.terminate().await, Some(0));

    let running = bad.up().await;
    let user = user.at(&running.api);
    let order_id = order(&user).await;
    user.order_when(order_id, |order| order["state"] == state).await;
    running.kill().await;
    audited(&program).await;

    let running = program.up().await;
    let user = user.at(&running.api);
    let order = user.order_at_its_end(order_id).await;
    let balances = user.balances().await;
    let report = audited(&program).await;
    assert_eq!(report["orders_in_flight"], 0, "{report:#}");
    assert_eq!(running.terminate().await, Some(0));
    assert_no_panic(&program);
    Ended { order, balances }
}

async fn buy_30(user: &User) -> i64 {
    placed(&user.buy("30", None).await)
}

async fn sell_1_and_a_half(user: &User) -> i64 {
    placed(&user.sell("1.5", None).await)
}

const ALL: &str = "10000";
/// Almost all: a chain that loses every broadcast for ever is no chain.
const NEARLY_ALL: &str = "9999";

#[tokio::test]
async fn killed_before_it_hears_that_the_venue_has_executed_it_books_that_once() {
    let bad = [("CAMBIST_VENUE_EXECUTED_BUT_TIMED_OUT_BP", ALL)];
    killed_in("exchanging", &bad, buy_30)
        .await
        .ended_as("completed", "540", "6");
    killed_in("exchanging", &bad, sell_1_and_a_half)
        .await
        .ended_as("completed", "585", "1.5");
}

#[tokio::test]
async fn killed_before_it_knows_that_the_venue_never_executed_it_orders_again() {
    let bad = [("CAMBIST_VENUE_TIMED_OUT_NOT_EXECUTED_BP", ALL)];
    killed_in("exchanging", &bad, buy_30)
        .await
        .ended_as("completed", "540", "6");
    killed_in("exchanging", &bad, sell_1_and_a_half)
        .await
        .ended_as("completed", "585", "1.5");
}

#[tokio::test]
async fn killed_while_the_chain_loses_its_broadcast_it_sends_the_same_transfer_again() {
    let bad = [("CAMBIST_CHAIN_LOST_BROADCAST_BP", NEARLY_ALL)];
    killed_in("withdrawing", &bad, buy_30)
        .await
        .ended_as("completed", "540", "6");
}

#[tokio::test]
async fn killed_while_it_sells_back_what_could_not_be_sent_it_leaves_the_user_where_they_were() {
    let bad = [
        ("CAMBIST_CHAIN_REFUSE_BP", ALL),
        ("CAMBIST_VENUE_EXECUTED_BUT_TIMED_OUT_BP", ALL),
    ];
    killed_in("reversing", &bad, buy_30)
        .await
        .ended_as("failed", "570", "3");
}
