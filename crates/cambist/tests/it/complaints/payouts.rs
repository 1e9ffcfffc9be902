//! Coins that left twice.

use bc_gateway::chain::simulated::Manner;
use contracts::{Asset, ServiceName};
use reqwest::Method;
use test_kit::api::placed;
use test_kit::system::TestSystem;
use tokio::task::JoinSet;

use crate::states::withdrawal_of;

/// A payout was sent up to ten times; manual and automatic processing both paid (btcpayserver 6540, 5913).
///
/// Fails if `accept` in `storage`'s command store took a second command of the same (order, step) for a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complaint_01_a_payout_is_sent_once_however_many_ask_for_it() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    system
        .chain_manners
        .next_broadcasts(withdrawal_of(1), [Manner::LostBroadcast, Manner::UnknownButTaken]);
    let buy = placed(&user.buy("30", None).await);

    // While the saga pays, operators and a second saga worker do, too.
    let system = std::sync::Arc::new(system);
    let mut hands = JoinSet::new();
    for hand in 0..10 {
        let system = std::sync::Arc::clone(&system);
        hands.spawn(async move {
            let body = r#"{"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 3}"#;
            let path = "/bc_gateway/withdraw/1";
            if hand % 2 == 0 {
                system.operator(Method::POST, path, Some(body)).await
            } else {
                system.service(ServiceName::Wallet, path, body).await
            }
        });
    }
    for answer in hands.join_all().await {
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let order = user.order_at_its_end(buy).await;
    assert_eq!(order["status"], "completed", "{order}");
    // And once more, when all is over; and another amount, which is no repetition.
    let late = r#"{"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 3}"#;
    let late = system
        .operator(Method::POST, "/bc_gateway/withdraw/1", Some(late))
        .await;
    assert!(late.replayed(), "{late:?}");
    let other = r#"{"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 2}"#;
    let other = system
        .operator(Method::POST, "/bc_gateway/withdraw/1", Some(other))
        .await;
    other.assert_problem(409, "conflict");

    assert_eq!(system.chain.confirmed(&withdrawal_of(1).to_string()).await.unwrap(), 1);
    assert_eq!(system.coins(user.id, Asset::BTC).await, "3");
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
    system.assert_at_rest();
}

/// A withdrawal that timed out was sent again (peatio 2280).
///
/// Fails if `next_move` in `bc-gateway`'s progress made a new transfer, or `carry_out` signed anew, when an answer is
/// unknown: another hash under another nonce, which the chain confirms as well.
#[tokio::test]
async fn complaint_02_a_withdrawal_that_timed_out_is_not_paid_again() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let timed_out_but_taken = [Manner::UnknownButTaken];
    let timed_out_then_taken = [Manner::UnknownNotTaken, Manner::UnknownButTaken];
    system
        .chain_manners
        .next_broadcasts(withdrawal_of(1), timed_out_but_taken);
    system
        .chain_manners
        .next_broadcasts(withdrawal_of(2), timed_out_then_taken);
    let first = placed(&user.buy("30", None).await);
    let second = placed(&user.buy("30", None).await);
    // A third one is signed and never heard of before the process ends.
    for order in [first, second] {
        let order = user.order_at_its_end(order).await;
        assert_eq!(order["status"], "completed", "{order}");
    }
    system.chain_manners.otherwise(Manner::UnknownNotTaken);
    let third = placed(&user.buy("30", None).await);
    user.order_when(third, |order| order["state"] == "withdrawing").await;
    let system = system.restart().await;
    let user = user.at(&system.api);
    let order = user.order_at_its_end(third).await;
    assert_eq!(order["status"], "completed", "{order}");

    for id in [first, second, third] {
        let confirmed = system.chain.confirmed(&withdrawal_of(id).to_string()).await;
        assert_eq!(confirmed.unwrap(), 1, "order {id}");
    }
    assert_eq!(system.coins(user.id, Asset::BTC).await, "9");
    assert_eq!(user.balances().await, ("510".into(), "9".into()));
    system.assert_at_rest();
}
