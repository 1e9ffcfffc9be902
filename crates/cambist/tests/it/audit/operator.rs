//! What an operator does and what an operator is needed for: neither is a finding.

use contracts::ledger::Owner;
use contracts::{Asset, UserId};
use reqwest::Method;
use test_kit::api::placed;
use test_kit::system::TestSystem;
use test_kit::waiting::{PATIENCE, eventually};

use super::*;

#[tokio::test]
async fn a_completed_buy_that_an_operator_takes_back_is_no_finding() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let id = placed(&user.buy("30", None).await);
    user.order_at_its_end(id).await;
    let back = r#"{"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 3, "compensate": true}"#;
    let answer = system
        .operator(Method::POST, "/bc_gateway/withdraw/1", Some(back))
        .await;
    assert_eq!(answer.status, 202, "{answer:?}");
    // Sound before, in between and after: whichever of the two is booked and recorded.
    let give_up = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    while system.coins(2, Asset::BTC).await != "0" || user.balances().await.1 != "0" {
        system.assert_clean();
        assert!(tokio::time::Instant::now() < give_up, "nothing came back");
        tokio::task::yield_now().await;
    }
    system.assert_clean();
    assert_eq!(user.balances().await, ("570".into(), "0".into()));
    assert_eq!(system.balance(&Owner::HotWallet, Asset::BTC), "1003");
    assert_eq!(system.coins(UserId::HOT_WALLET.get(), Asset::BTC).await, "1000000");
}

#[tokio::test]
async fn a_way_back_that_is_given_up_because_the_user_has_sold_is_no_finding() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    user.order_at_its_end(placed(&user.buy("30", None).await)).await;
    user.order_at_its_end(placed(&user.sell("1.5", None).await)).await;
    let stopped = system.stop().await;
    // As a process leaves it that died after it had found the balance sufficient, and before the ledger answered.
    let begun = r#"INSERT INTO bc_gateway_commands
        (order_id, step, content, progress, state, epoch, next_attempt_at, created_at, updated_at)
        SELECT order_id, 'withdraw_back', replace(content, '"compensate":false', '"compensate":true'),
        '{"phase":"paying"}', 'open', 1, 0, 0, 0 FROM bc_gateway_commands WHERE order_id = 1"#;
    let reserved = "INSERT INTO bc_gateway_reservations (order_id, step, from_user, asset, amount, reserved_at)
        SELECT order_id, 'withdraw_back', to_user, asset, amount, 0 FROM bc_gateway_transfers WHERE order_id = 1";
    let database = Connection::open(stopped.database()).unwrap();
    for statement in [begun, reserved] {
        assert_eq!(database.execute(statement, ()).unwrap(), 1);
    }
    drop(database);
    let system = stopped.start().await;
    let user = user.at(&system.api);
    eventually(PATIENCE, "it is given up", async || {
        system.assert_clean();
        let database = storage::sqlite::reader(&system.database()).unwrap();
        let ended = "SELECT state FROM bc_gateway_commands WHERE step = 'withdraw_back'";
        let state: String = database.query_row(ended, (), |row| row.get(0)).unwrap();
        if state == "failed" { Ok(()) } else { Err(state) }
    })
    .await;
    system.assert_at_rest();
    assert_eq!(user.balances().await, ("585".into(), "1.5".into()));
}

#[tokio::test]
async fn what_needs_an_operator_is_shown_and_is_no_finding() {
    let folder = tempfile::tempdir().unwrap();
    let sound = sound_database(&folder).await;
    let report = audit(&sound, |_| {}).unwrap();
    assert!(!report.to_string().contains("needs an operator"), "{report}");
    let report = audit(&damaged(&folder, &sound, &trouble()), |_| {}).unwrap();
    assert_is_shown(&report);
}

/// What waits for a person after [`a_day`](super::a_day), and damages nothing.
pub(super) fn trouble() -> Damage {
    Damage {
        what: "letters, commands and notifications died",
        sql:
            "INSERT INTO wallet_dead_letters (source, payload, error, died_at) VALUES ('saga_steps', '{', 'no JSON', 1);
            DELETE FROM exchanger_commands WHERE order_id = 5;
            INSERT INTO exchanger_commands (order_id, step, content, progress, state, epoch, next_attempt_at,
            created_at, updated_at) VALUES (5, 'exchange', '{}', '{}', 'dead', 1, 0, 0, 0);
            DELETE FROM notification_commands WHERE order_id IN (1, 2, 3);
            INSERT INTO notification_commands (order_id, step, content, progress, state, epoch,
            next_attempt_at, created_at, updated_at) VALUES (1, 'notify', '{}', '{}', 'failed', 1, 0, 0, 0),
            (2, 'notify', '{}', '{}', 'dead', 1, 0, 0, 0), (3, 'notify', '{}', '{}', 'open', 1, 0, 0, 0);"
                .to_owned(),
        expected: Vec::new(),
    }
}

pub(super) fn assert_is_shown(report: &Report) {
    assert!(report.is_clean(), "{report}");
    let json = report.to_json();
    assert_eq!(
        json["needs_operator"],
        serde_json::json!({
            "dead_letters": {"wallet": 1},
            "dead_commands": {"exchanger": 1, "notification": 1},
            "notifications_not_delivered": 2,
        })
    );
    assert_eq!(json["notifications_on_their_way"], 1);
    for line in [
        "1 dead letters of wallet",
        "1 dead commands of exchanger",
        "1 dead commands of notification",
        "2 notifications not delivered",
    ] {
        assert!(
            report.to_string().contains(&format!("needs an operator: {line}")),
            "{report}"
        );
    }
}
