//! Holds that were used twice, came back from the dead, or did not count.

use std::sync::Arc;
use std::time::Duration;

use contracts::ServiceName;
use contracts::ledger::{Leg, Origin, Owner, Posting, Transfer, TransferId};
use contracts::{Amount, Asset};
use exchanger::venue::simulated::Conduct;
use serde_json::Value;
use test_kit::api::{Answer, placed};
use test_kit::system::{Scene, TestSystem};
use tokio::task::JoinSet;

use crate::ending::ending;
use crate::states::{BOUGHT, SOLD, order};

/// A booking of an order, as the wallet sends it to the ledger.
fn transfer(id: i64, leg: Leg, (debit, credit): (Owner, Owner), amount: Amount, reason: &str) -> Transfer {
    Transfer {
        id: TransferId {
            origin: Origin::Order(order(id)),
            leg,
        },
        debit,
        credit,
        amount,
        reason: reason.to_owned(),
        actor: "wallet".to_owned(),
    }
}

/// A batch of one.
fn to_body(transfer: Transfer) -> String {
    serde_json::to_string(&[Posting::single(transfer)]).unwrap()
}

fn usd(text: &str) -> Amount {
    Amount::parse(text, Asset::USD).unwrap()
}

fn ada() -> Owner {
    "user:2".parse().unwrap()
}

/// The outcome of a batch of one.
fn outcome(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body[0].clone()
}

/// Two simultaneous commits of one hold both succeeded (midaz 1519, 1609).
///
/// Fails if `decide` in `balance` did not look for a transfer of the same id, or did so in another transaction than the
/// one that books; or if the command store took a second (order, step) for a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn complaint_06_a_hold_is_committed_once_however_many_do_it_at_once() {
    let system = Arc::new(TestSystem::start().await);
    let user = system.api.given_a_user_with("ada", "600").await;
    system
        .venue_manners
        .set_default(Conduct::Slow(Duration::from_millis(500)));
    system.chain_manners.silence(true);
    let buy = placed(&user.buy("30", None).await);

    // Twenty at once have the hold traded.
    let mut commits = JoinSet::new();
    for _ in 0..20 {
        let system = Arc::clone(&system);
        commits.spawn(async move {
            let body = r#"{"acquirer_user_id": 2, "order_id": 1, "fiat_amount": 30}"#;
            system.service(ServiceName::Wallet, "/exchanger/buy/1", body).await
        });
    }
    let taken = commits.join_all().await;
    assert!(taken.iter().all(|answer| answer.status == 202), "{taken:?}");
    user.order_when(buy, |order| order["state"] == "withdrawing").await;

    // And twenty at once book what was bought to the user, all with the same words.
    let withdrawal = |amount| {
        let amount = Amount::parse(amount, Asset::BTC).unwrap();
        let transfer = Transfer {
            actor: "bc_gateway".to_owned(),
            ..transfer(buy, Leg::Withdraw, (Owner::HotWallet, ada()), amount, "withdrawal")
        };
        to_body(transfer)
    };
    for (amount, times) in [("3", 20), ("2", 5)] {
        let mut commits = JoinSet::new();
        for _ in 0..times {
            let (system, body) = (Arc::clone(&system), withdrawal(amount));
            commits.spawn(async move {
                system
                    .service(ServiceName::BcGateway, "/balance/transfers", &body)
                    .await
            });
        }
        let outcomes: Vec<Value> = commits.join_all().await.iter().map(outcome).collect();
        let count = |field: &str, value: Value| outcomes.iter().filter(|outcome| outcome[field] == value).count();
        if amount == "3" {
            assert_eq!(count("replayed", false.into()), 1, "{outcomes:#?}");
            assert_eq!(count("replayed", true.into()), 19, "{outcomes:#?}");
        } else {
            assert_eq!(count("outcome", "refused".into()), 5, "{outcomes:#?}");
        }
    }
    system.chain_manners.silence(false);
    ending(&system, &user, buy)
        .await
        .completed_by(BOUGHT)
        .leaving("570", "3");
    assert_eq!(system.executed().await, ["1-exchange-1"]);
    system.assert_at_rest();
}

/// A rejected hold could still be committed later, overdrawing the account (blnk 182).
///
/// Fails if the ledger did not record a hold's refusal: a late copy of it would find the money that came meanwhile.
#[tokio::test]
async fn complaint_07_a_rejected_hold_stays_rejected() {
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "10").await;
    user.buy("30", Some("too-much"))
        .await
        .assert_problem(423, "insufficient_funds");
    assert_eq!(user.deposit("600", None).await.status, 200);

    let late_copy = transfer(1, Leg::Hold, (ada(), Owner::HotWallet), usd("30"), "hold for order 1");
    for _ in 0..2 {
        let answer = system
            .service(ServiceName::Wallet, "/balance/transfers", &to_body(late_copy.clone()))
            .await;
        let outcome = outcome(&answer);
        assert_eq!(outcome["outcome"], "refused", "{outcome}");
        assert_eq!(
            outcome["refusal"]["reason"], "insufficient_funds",
            "as the first time: {outcome}"
        );
    }
    let again = user.buy("30", Some("too-much")).await;
    again.assert_problem(423, "insufficient_funds");
    assert!(again.replayed());
    let order = user.order(1).await;
    assert_eq!(order["status"], "failed", "{order}");
    assert_eq!(user.balances().await, ("610".into(), "0".into()));
    assert_eq!(system.executed().await, <[&str; 0]>::default());
    system.assert_at_rest();
}

/// The available balance ignored what was already on its way out (blnk 90).
///
/// Fails if an order were accepted by a balance that is only debited when its trade is booked: `created` in `wallet`'s
/// saga would go on without the hold's booking.
#[tokio::test]
async fn complaint_08_what_is_on_its_way_out_is_not_available() {
    let system = Scene::default().with_short_orders().start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let stock = placed(&user.buy("30", None).await);
    user.order_at_its_end(stock).await;
    system.venue_manners.set_silent(true);
    let sell = placed(&user.sell("2", None).await);
    let buy = placed(&user.buy("500", None).await);
    // Both are under way for as long as the venue says nothing; neither is available twice.
    assert_eq!(user.balances().await, ("70".into(), "1".into()));
    user.sell("1.00000001", None)
        .await
        .assert_problem(423, "insufficient_funds");
    user.buy("70.01", None).await.assert_problem(423, "insufficient_funds");
    let rest = placed(&user.sell("1", None).await);
    assert_eq!(user.balances().await, ("70".into(), "0".into()));
    system.assert_clean();

    system.venue_manners.set_silent(false);
    for (id, path) in [(sell, SOLD), (buy, BOUGHT), (rest, SOLD)] {
        ending(&system, &user, id).await.completed_by(path);
    }
    assert_eq!(user.balances().await, ("100".into(), "50".into()));
    system.assert_at_rest();
}
