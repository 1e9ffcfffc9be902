//! A withdrawal that is taken back is no order's to wait for: an operator finds it, and ends it, where it is carried out.

use std::time::Duration;

use bc_gateway::ports::Purpose;
use contracts::OrderId;
use contracts::ledger::Owner;

use super::*;

#[tokio::test]
async fn a_way_back_that_hangs_is_listed_and_ends_by_an_operators_word_with_the_books_sound_all_along() {
    let system = impatient().start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    user.order_at_its_end(placed(&user.buy("30", None).await)).await;
    let back = Purpose::Order {
        order_id: OrderId::FIRST,
        step: Step::WithdrawBack,
    };
    let late = Manner::LateConfirmation(Duration::from_secs(3));
    system.chain_manners.next_broadcasts(back, [late]);
    let command = json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 3, "compensate": true});
    assert_eq!(ask(&system, "/bc_gateway/withdraw/1", Some(command)).await.status, 202);
    let path = "/bc_gateway/transfers/1?step=withdraw_back";
    let hash = eventually(PATIENCE, "it is signed", async || {
        let shown = ask(&system, path, None).await.body;
        shown["attempt"].as_str().map(str::to_owned).ok_or(shown)
    })
    .await;
    system.chain_manners.silence(true);
    // Paid, and in transit until the coins have arrived: the user has them no more, and the hot wallet not yet.
    system.assert_clean();
    assert_eq!(user.balances().await, ("570".into(), "0".into()));
    assert_eq!(system.balance(&Owner::ExternalChain, Asset::BTC), "3");
    assert_eq!(system.balance(&Owner::HotWallet, Asset::BTC), "1000");
    let listed = ask(&system, "/bc_gateway/transfers", None).await.body;
    assert_eq!(listed["items"][0]["step"], "withdraw_back", "{listed}");
    let confirmed = json!({"step": "withdraw_back", "outcome": "confirmed", "transaction": hash, "evidence": "seen"});
    eventually(PATIENCE, "it is in doubt and the word counts", async || {
        let answer = ask(&system, "/bc_gateway/transfers/1/resolve", Some(confirmed.clone())).await;
        if answer.status == 202 { Ok(()) } else { Err(answer) }
    })
    .await;
    eventually(PATIENCE, "it has arrived in the books", async || {
        system.assert_clean();
        let shown = ask(&system, path, None).await.body;
        if shown["state"] == "done" { Ok(()) } else { Err(shown) }
    })
    .await;
    assert_eq!(system.balance(&Owner::ExternalChain, Asset::BTC), "0");
    assert_eq!(system.balance(&Owner::HotWallet, Asset::BTC), "1003");
    system.assert_clean();
}
