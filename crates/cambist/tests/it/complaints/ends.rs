//! Orders that did not end although they had, and orders that were ended although they had not.

use std::time::Duration;

use contracts::Asset;
use contracts::ledger::Owner;
use rusqlite::Connection;
use test_kit::api::{path, placed};
use test_kit::process::Program;
use test_kit::system::{Scene, TestSystem};
use tokio::time::sleep;

use crate::ending::ending;
use crate::states::SOLD;

/// The order stayed pending although the inner order had settled (paycrest 607, 710): the message that said so got lost.
///
/// Fails if `wallet`'s sweep did not re-issue the commands of unfinished orders, or if the command store's `accept` did
/// not publish the result of a finished one again.
#[tokio::test]
async fn complaint_13_an_order_ends_when_its_inner_order_has_settled_even_if_nobody_said_so() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let stock = placed(&user.buy("30", None).await);
    user.order_at_its_end(stock).await;
    let sell = placed(&user.sell("1.5", None).await);
    ending(&system, &user, sell).await.completed_by(SOLD);

    // The sell has settled at the venue and in the books. Its order forgets that it was ever told.
    let stopped = system.stop().await;
    let database = Connection::open(stopped.database()).unwrap();
    let forget = "DELETE FROM wallet_order_events WHERE order_id = 2 AND to_state = 'completed';
         UPDATE wallet_orders SET state = 'exchanging', revision = revision - 1, filled = NULL, value = NULL,
             fee = NULL, returned = NULL, price = NULL, next_attempt_at = 0 WHERE order_id = 2;";
    database.execute_batch(forget).unwrap();
    drop(database);
    let system = stopped.start().await;
    let user = user.at(&system.api);
    let end = ending(&system, &user, sell).await;
    end.completed_by(SOLD).leaving("585", "1.5");
    assert_eq!(system.executed().await, ["1-exchange-1", "2-exchange-1"]);
    assert_eq!(system.mails(), 2, "told once");
    system.assert_at_rest();
}

/// The same, with the real program, which dies between the venue's execution and its answer.
///
/// Fails if a command whose worker died were left to its lease for ever: `release_leases` and the worker's sweep.
#[tokio::test]
async fn complaint_13_an_order_ends_when_the_process_died_before_it_heard_the_venue() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path());
    let deaf = program.clone().with("CAMBIST_VENUE_LATENCY", "2s");
    let running = deaf.up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    let buy = placed(&user.buy("30", None).await);
    let executed = || {
        let venue = Connection::open(folder.path().join("data/venue.db")).unwrap();
        let count = "SELECT count(*) FROM simulated_venue_orders";
        venue.query_row(count, (), |row| row.get::<_, i64>(0)).unwrap()
    };
    while executed() == 0 {
        // sleep: another process's database is polled
        sleep(Duration::from_millis(5)).await;
    }
    running.kill().await;

    let running = program.up().await;
    let user = user.at(&running.api);
    let order = user.order_at_its_end(buy).await;
    assert_eq!(path(&order), ["created", "exchanging", "withdrawing", "completed"]);
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
    assert_eq!(running.terminate().await, Some(0));
    assert_eq!(executed(), 1);
    let (code, out, _) = program.run(&["audit"]).await;
    assert_eq!(code, Some(0), "{out}");
}

/// Pending for long was treated as failed (hyperswitch 2380).
///
/// Fails if `stuck_after` or a number of tries led from `exchanging` or `withdrawing` to `releasing` or `reversing` in
/// `wallet`'s saga: the user would have their money back and, when the answer comes, the coins as well.
#[tokio::test]
async fn complaint_15_an_order_that_is_pending_for_long_has_not_failed() {
    let scene = Scene::default().with_short_orders().with_little_patience();
    let system = scene.start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system.venue_manners.set_silent(true);
    let at_venue = placed(&user.buy("30", None).await);
    user.order_when(at_venue, |order| order["state"] == "stuck_exchanging")
        .await;
    let held = |fiat: &str| assert_eq!(system.balance(&Owner::HotWallet, Asset::USD), fiat);
    // Several times as long as anybody's patience.
    for _ in 0..20 {
        let order = user.order(at_venue).await;
        assert_eq!(
            (&order["status"], &order["failure_code"]),
            (&"pending".into(), &serde_json::Value::Null)
        );
        assert_eq!(
            user.balances().await,
            ("570".into(), "0".into()),
            "nothing is given back"
        );
        held("1030");
        // sleep: that nothing happens can only be waited for
        sleep(Duration::from_millis(100)).await;
    }
    system.assert_clean();
    system.venue_manners.set_silent(false);

    system.chain_manners.silence(true);
    let order = user
        .order_when(at_venue, |order| order["state"] == "stuck_withdrawing")
        .await;
    assert_eq!(order["status"], "pending");
    // sleep: that nothing happens can only be waited for
    sleep(Duration::from_millis(1_000)).await;
    assert_eq!(user.order(at_venue).await["status"], "pending");
    assert_eq!(
        user.balances().await,
        ("570".into(), "0".into()),
        "and nothing is sold again"
    );
    system.assert_clean();
    system.chain_manners.silence(false);
    let waits = [
        "created",
        "exchanging",
        "stuck_exchanging",
        "withdrawing",
        "stuck_withdrawing",
        "completed",
    ];
    ending(&system, &user, at_venue)
        .await
        .completed_by(&waits)
        .leaving("570", "3");
    assert_eq!(system.executed().await.len(), 1);
    system.assert_at_rest();
}
