//! A bad day, as `docs/REHEARSAL.md` tells people to make one: the very command of that page, on the real program.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use test_kit::api::{User, placed};
use test_kit::process::Program;
use tokio::time::Instant;

/// How long everything may take to its end.
const LIVENESS: std::time::Duration = std::time::Duration::from_secs(60);
/// How many orders the day has: as many as it takes to meet everything that may happen.
const ORDERS: i64 = 120;

/// The flags in the first command of the page.
fn flags_of_a_bad_day() -> Vec<&'static str> {
    let page = include_str!("../../../../docs/REHEARSAL.md");
    let (_, command) = page.split_once("```sh\ncambist up ").expect("a command that starts it");
    let (command, _) = command.split_once("```").expect("an end of the command");
    command.split_whitespace().filter(|word| *word != "\\").collect()
}

/// The program with an order's life short enough for a test; what may happen is what the page says.
fn program(folder: &tempfile::TempDir) -> Program {
    Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path())
        .with("CAMBIST_SWEEP_INTERVAL", "200ms")
        .with("CAMBIST_VENUE_EXPIRY", "3s")
        .with("CAMBIST_VENUE_TIMEOUT", "500ms")
        .with("CAMBIST_VENUE_ENGINE_TIMEOUT", "1200ms")
        .with("CAMBIST_VENUE_SKEW", "50ms")
        .with("CAMBIST_CHAIN_TIMEOUT", "1s")
        .with("CAMBIST_COMMAND_LEASE", "8s")
        .with("CAMBIST_LOG", "error")
        .with_flags(flags_of_a_bad_day())
}

/// How a day went.
struct Day {
    /// Its orders, at their ends.
    orders: Vec<Value>,
    /// Those that were under way when the plug was pulled: they may have needed another attempt.
    disturbed: BTreeSet<i64>,
    /// What the audit says.
    report: Value,
}

/// Places the day's orders one after the other, so that each number is the same order every day, and pulls the plug in
/// the middle if it is told to.
async fn live_through(interrupted: bool) -> Day {
    let folder = tempfile::tempdir().unwrap();
    let program = program(&folder);
    let mut running = program.up().await;
    let mut user = running.api.given_a_user_with("ada", "100000").await;
    let mut disturbed = BTreeSet::new();
    for number in 1..=ORDERS {
        if interrupted && number == ORDERS / 2 {
            let orders = user.orders().await;
            let pending = orders.iter().filter(|order| order["status"] == "pending");
            disturbed.extend(pending.filter_map(|order| order["order_id"].as_i64()));
            running.kill().await;
            running = program.up().await;
            user = user.at(&running.api);
        }
        let bought = placed(&user.buy("100", Some(&format!("order-{number}"))).await);
        assert_eq!(bought, number);
    }
    let orders = ends(&user).await;
    assert_eq!(running.terminate().await, Some(0), "{}", program.log());
    let (code, report, errors) = program.run(&["audit", "--json"]).await;
    assert_eq!(code, Some(0), "{report}{errors}");
    Day {
        orders,
        disturbed,
        report: serde_json::from_str(&report).unwrap(),
    }
}

/// Waits until every order has ended, or waits for what only a person can find out.
async fn ends(user: &User) -> Vec<Value> {
    let give_up = Instant::now() + LIVENESS;
    let mut ends = Vec::new();
    for number in 1..=ORDERS {
        let order = user
            .order_when(number, |order| {
                order["status"] != "pending" || order["state"] == "stuck_reversing" || Instant::now() > give_up
            })
            .await;
        assert!(
            order["status"] != "pending" || order["state"] == "stuck_reversing",
            "it neither ended nor waits for somebody outside: {order}"
        );
        ends.push(order);
    }
    ends
}

/// What orders come to, without what differs from day to day: times, and how often somebody had to ask.
fn outcomes(orders: &[Value], without: &BTreeSet<i64>) -> Vec<Value> {
    let compared = |order: &&Value| order["order_id"].as_i64().is_some_and(|id| !without.contains(&id));
    let outcome = |order: &Value| {
        let facts = ["order_id", "status", "filled", "price", "fee", "failure_code"];
        json!(facts.map(|fact| &order[fact]))
    };
    orders.iter().filter(compared).map(outcome).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_day_ends_well_and_is_the_same_day_again_after_a_power_cut() {
    let (day, again) = tokio::join!(live_through(false), live_through(true));
    assert_eq!(
        outcomes(&day.orders, &again.disturbed),
        outcomes(&again.orders, &again.disturbed)
    );

    let completed = day.orders.iter().filter(|order| order["status"] == "completed");
    let prices: BTreeSet<_> = completed.clone().map(|order| order["price"].to_string()).collect();
    assert!(prices.len() > 20, "the price hardly moved: {prices:?}");
    assert!(completed.count() > 60, "{:#?}", day.orders);
    let codes: BTreeSet<_> = day
        .orders
        .iter()
        .filter_map(|order| order["failure_code"].as_str())
        .collect();
    let met = ["nothing_filled", "venue_rejected", "withdrawal_refused"];
    assert!(met.iter().all(|code| codes.contains(code)), "{codes:?}");
    for Day { report, .. } in [day, again] {
        assert_eq!(report["orders_in_flight"], report["orders_stuck"], "{report:#}");
    }
}
