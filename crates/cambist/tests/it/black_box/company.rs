//! A world outside that misbehaves: a venue that refuses, fills in part, or executes and says nothing; a chain that loses
//! what it was given.

use std::time::Duration;

use serde_json::Value;
use test_kit::api::{User, placed};
use test_kit::customers::Crowd;
use test_kit::reckoning::{all_ended, reckon};
use test_servers::cluster::Setup;
use tokio::time::sleep;

use super::world::{World, of_tests};
use crate::crash::{assert_at_rest, given_users, its_terms, seed};

/// How long an accepted order may take to its end.
pub(crate) const LIVENESS: Duration = Duration::from_secs(60);

/// All of 10,000.
const ALL: &str = "10000";
/// Almost all: a chain that loses every broadcast for ever is no chain.
const NEARLY_ALL: &str = "9999";

/// Orders at the venue live for a second, so that proof of their absence comes soon, and a dead worker's work is another's
/// after three.
pub(crate) fn short_lived(setup: Setup) -> Setup {
    of_tests(setup)
        .with("venue_expiry", "1s")
        .with("venue_timeout", "600ms")
        .with("venue_engine_timeout", "50ms")
        .with("venue_skew", "50ms")
        .with("chain_timeout", "500ms")
        .with("command_lease", "3s")
}

/// A venue and a chain of which one hears such stories.
pub(crate) fn in_bad_company(setup: Setup, seed: u64) -> Setup {
    short_lived(setup)
        .with("venue_seed", &seed.to_string())
        .with("venue_spread_bp", "50")
        .with("venue_fee_bp", "25")
        .with("venue_refuse_bp", "300")
        .with("venue_partial_bp", "1000")
        .with("venue_executed_but_timed_out_bp", "400")
        .with("venue_timed_out_not_executed_bp", "400")
        .with("chain_lost_broadcast_bp", "500")
        .with("chain_refuse_bp", "400")
        // Among ten thousand orders there is one that a venue refuses three times.
        .with("max_attempts", "10")
}

/// Customers order for a while; then each order must have ended by what was filled and charged, and by nothing else.
pub(crate) async fn keep(setup: fn() -> Setup) {
    let seed = seed();
    let world = World::begin(in_bad_company(setup(), seed));
    let users = given_users(&world.api(), 6).await;
    let crowd = Crowd::new(users.values(), 2, seed);
    crowd.find_it_at(Some(&world.api()));
    // sleep: this is how long they want something
    sleep(Duration::from_secs(2)).await;
    let (deeds, _) = crowd.deeds().await;
    all_ended(&users, &deeds, LIVENESS).await;
    let found = reckon(&users, &deeds, &its_terms(), &world.mail()).await;
    assert!(found.orders() > 20 && found.completed > 0, "{found:?}");
    assert_at_rest(&world.audited().await, &found);
    world.assert_no_panic();
}

/// One fault after the other, each for every order, and what becomes of a buy of 30 and a sell of 1.5 then.
pub(crate) async fn meet_each_fault(setup: fn() -> Setup) {
    let mut world = World::begin(short_lived(setup()));
    let mut user = world.api().given_a_user_with("ada", "1000").await;
    let stock = user.order_at_its_end(placed(&user.buy("100", None).await)).await;
    assert_eq!(stock["status"], "completed");
    assert_eq!(user.balances().await, ("900".into(), "10".into()));

    let mut fault = async |setting: &str, value: &str| {
        misbehave(&mut world, &mut user, (setting, value));
        let bought = at_its_end(&user, true).await;
        let sold = at_its_end(&user, false).await;
        misbehave(&mut world, &mut user, (setting, "0"));
        let said = |order: &Value| {
            let text = |field: &str| order[field].as_str().unwrap_or_default().to_owned();
            (text("status"), text("failure_code"))
        };
        (said(&bought), said(&sold), user.balances().await)
    };
    let ended = |status: &str, code: &str| (status.to_owned(), code.to_owned());
    let completed = || ended("completed", "");
    let has = |fiat: &str, crypto: &str| (fiat.to_owned(), crypto.to_owned());

    let refused = || ended("failed", "venue_rejected");
    let met = fault("venue_refuse_bp", ALL).await;
    assert_eq!(met, (refused(), refused(), has("900", "10")));
    let nothing = || ended("failed", "nothing_filled");
    let met = fault("venue_nothing_filled_bp", ALL).await;
    assert_eq!(met, (nothing(), nothing(), has("900", "10")));
    let met = fault("venue_executed_but_timed_out_bp", ALL).await;
    assert_eq!(met, (completed(), completed(), has("885", "11.5")));
    let met = fault("chain_refuse_bp", ALL).await;
    let unsent = ended("failed", "withdrawal_refused");
    assert_eq!(met, (unsent, completed(), has("900", "10")));
    let met = fault("chain_unknown_but_taken_bp", ALL).await;
    assert_eq!(met, (completed(), completed(), has("885", "11.5")));

    // What the chain takes and loses is sent again until it keeps it.
    misbehave(&mut world, &mut user, ("chain_lost_broadcast_bp", NEARLY_ALL));
    let buy = placed(&user.buy("30", None).await);
    user.order_when(buy, |order| order["state"] == "withdrawing").await;
    misbehave(&mut world, &mut user, ("chain_lost_broadcast_bp", "0"));
    assert_eq!(user.order_at_its_end(buy).await["status"], "completed");
    assert_eq!(user.balances().await, has("855", "14.5"));

    let report = world.audited().await;
    assert_eq!(report["orders_in_flight"], 0, "{report:#}");
    world.assert_no_panic();
}

/// The world outside changes its manners, and the same orders go on. In one process everybody has to connect anew.
fn misbehave(world: &mut World, user: &mut User, (setting, value): (&str, &str)) {
    let outside = world.outside();
    assert_eq!(
        world.cluster.terminate(outside),
        Some(0),
        "{}",
        world.cluster.log(outside)
    );
    world.cluster.set(setting, value);
    world.cluster.start_again(outside);
    *user = user.at(&world.api());
}

async fn at_its_end(user: &User, buy: bool) -> Value {
    let answer = if buy {
        user.buy("30", None).await
    } else {
        user.sell("1.5", None).await
    };
    user.order_at_its_end(placed(&answer)).await
}
