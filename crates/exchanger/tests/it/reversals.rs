//! Undoing a trade: the crypto goes back to the venue, and the hot wallet ends with exactly what will be released.

use std::time::Duration;

use contracts::Asset;
use contracts::clients::Submission;
use contracts::ledger::Owner;
use contracts::messages::{FailureCode, Message, Status, Step, StepResult};
use contracts::operators::{ReportedFill, Retried, RulingOutcome, VenueVerdict};
use exchanger::venue::simulated::{Conduct, Market};
use storage::commands::Settlement;
use storage::outbox::OutboxRow;

use crate::rulings::{instruction, rule};
use crate::scene::{Scene, basis_points, btc, buy, exchange, order, price, reverse, sell, trade, undo, usd};

/// A user has bought 3 BTC for 30 USD, and the withdrawal was refused.
async fn after_a_buy() -> Scene {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    scene.finish(exchange(1)).await;
    assert_eq!(scene.balances(), ["0", "0", "0", "3"]);
    scene
}

async fn accepted(scene: &Scene) {
    assert_eq!(
        scene.submit(undo(1, "3")).await,
        Submission::Accepted { replayed: false }
    );
}

/// The hot wallet holds the whole hold again and none of the crypto, whatever the market did.
async fn assert_undone(scene: &Scene, treasury: &str) {
    assert_eq!(scene.finish(reverse(1)).await, StepResult::Reversed);
    assert_eq!(scene.balances(), ["0", "0", "30", "0"]);
    assert_eq!(scene.books.balance(&Owner::Treasury, Asset::USD), usd(treasury));
    let sold = scene
        .executions()
        .await
        .into_iter()
        .filter(|execution| execution.client_order_id.step == Step::Reverse);
    let sold: i128 = sold
        .flat_map(|execution| execution.fills)
        .map(|fill| fill.quantity.units())
        .sum();
    assert_eq!(sold, btc("3").units());
}

#[tokio::test]
async fn at_the_same_price_nobody_gains_or_loses() {
    let scene = after_a_buy().await;
    accepted(&scene).await;
    assert_undone(&scene, "0").await;
}

#[tokio::test]
async fn at_a_worse_price_the_treasury_bears_the_loss_and_the_fee() {
    let scene = after_a_buy().await;
    scene.venue.set_market(Market {
        price: price("8"),
        spread: basis_points(100),
        fee: basis_points(50),
    });
    accepted(&scene).await;
    // 3 × 7.92 = 23.76, less a fee of 0.12.
    assert_undone(&scene, "-6.36").await;
    assert_eq!(scene.books.balance(&Owner::Fees, Asset::USD), usd("0.12"));
}

#[tokio::test]
async fn at_a_better_price_the_gain_is_the_treasurys() {
    let scene = after_a_buy().await;
    scene.venue.set_market(Market {
        price: price("11.111"),
        ..Market::default()
    });
    accepted(&scene).await;
    assert_undone(&scene, "3.33").await;
    assert_eq!(scene.books.balance(&Owner::Rounding, Asset::USD), usd("0.01"));
}

#[tokio::test]
async fn only_what_the_trade_took_comes_back_when_it_was_partial() {
    let scene = Scene::new();
    scene
        .manners
        .set(order(1), Step::Exchange, 1, Conduct::Partial(basis_points(3_333)));
    scene.order(buy(1, "30")).await;
    let trade = trade(scene.finish(exchange(1)).await);
    assert_eq!((trade.filled, trade.returned), (btc("0.9999"), usd("20")));
    scene.submit(undo(1, "0.9999")).await;
    assert_eq!(scene.finish(reverse(1)).await, StepResult::Reversed);
    // 20 went back with the trade; the hold less that, 10, is what `release` gives back.
    assert_eq!(scene.balances(), ["20", "0", "10", "0"]);
}

#[tokio::test]
async fn a_reversal_goes_on_until_all_is_sold() {
    let scene = after_a_buy().await;
    let half = Conduct::Partial(basis_points(5_000));
    for (attempt, conduct) in [
        (1, Conduct::Refuse),
        (2, half),
        (3, Conduct::TimeOutWithoutExecuting),
        (4, Conduct::NotYetVisible(Duration::from_secs(3))),
    ] {
        scene.manners.set(order(1), Step::Reverse, attempt, conduct);
    }
    accepted(&scene).await;
    assert_undone(&scene, "0").await;
    let attempts: Vec<_> = scene
        .executions()
        .await
        .iter()
        .map(|execution| execution.client_order_id.attempt)
        .collect();
    assert_eq!(attempts, [1, 2, 4], "the buy, the half, the rest");
}

#[tokio::test]
async fn what_one_attempt_sold_is_stored_before_the_next_is_sent() {
    let scene = after_a_buy().await;
    scene
        .manners
        .set(order(1), Step::Reverse, 1, Conduct::Partial(basis_points(5_000)));
    accepted(&scene).await;
    let settlement = scene.work(reverse(1)).await;
    let Settlement::Postponed {
        progress: Some(progress),
        answer_missing: false,
        ..
    } = settlement
    else {
        panic!("{settlement:?}");
    };
    assert!(
        progress.contains("\"fills\":[{\"quantity\":{\"amount\":\"1.5\""),
        "{progress}"
    );
    assert_undone(&scene, "0").await;
}

#[tokio::test]
async fn a_reversal_that_is_refused_every_time_fails_and_leaves_the_crypto_where_it_is() {
    let scene = after_a_buy().await;
    for attempt in 1..=5 {
        let conduct = if attempt % 2 == 0 {
            Conduct::FillNothing
        } else {
            Conduct::Refuse
        };
        scene.manners.set(order(1), Step::Reverse, attempt, conduct);
    }
    accepted(&scene).await;
    let result = scene.finish(reverse(1)).await;
    assert!(
        matches!(
            result,
            StepResult::Failure {
                code: FailureCode::VenueRejected,
                ..
            }
        ),
        "{result:?}"
    );
    assert_eq!(scene.balances(), ["0", "0", "0", "3"]);
}

/// How often the saga was told that the reversal is refused.
fn refusals_told(scene: &mut Scene) -> usize {
    let told = scene.published();
    let refused = |row: &OutboxRow| {
        let message: Message = serde_json::from_str(&row.payload).unwrap();
        (message.step, message.status) == (Step::Reverse, Status::Failed)
    };
    told.iter().filter(|row| refused(row)).count()
}

/// All but a rest too small for the venue was sold when the venue began to refuse.
async fn refused_after_a_part(rest: &str) -> Scene {
    let mut scene = after_a_buy().await;
    scene.manners.set_default(Conduct::Refuse);
    let most = Conduct::Partial(basis_points(9_999));
    scene.manners.set(order(1), Step::Reverse, 1, most);
    accepted(&scene).await;
    let refused = scene.finish(reverse(1)).await;
    let StepResult::Failure { code, detail } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(code, FailureCode::VenueRejected);
    assert!(detail.contains(&format!("{rest} BTC unsold")), "{detail}");
    assert_eq!(refusals_told(&mut scene), 1, "the saga is stuck, and people look");
    scene
}

#[tokio::test]
async fn a_reversal_that_sold_a_part_and_is_then_refused_asks_people_and_keeps_what_it_sold() {
    let mut scene = refused_after_a_part("0.0003").await;
    assert_eq!(scene.balances(), ["0", "0", "0", "3"], "nothing is booked by halves");
    let sent = scene.record(reverse(1)).await.progress;
    scene.clock.advance(Duration::from_secs(3_600));
    assert!(!scene.try_work(reverse(1)).await, "no order follows by itself");
    assert_eq!(scene.record(reverse(1)).await.progress, sent);
    // As often again, and then the market recovers: all of it is booked at once, with the part that was sold first.
    for refused in [true, false] {
        scene
            .manners
            .set_default(if refused { Conduct::Refuse } else { Conduct::Fill });
        let retried = scene.client().retry(order(1), Step::Reverse, instruction()).await;
        assert_eq!(retried, Ok(Retried::Reopened));
        if refused {
            scene.finish(reverse(1)).await;
            assert_eq!(refusals_told(&mut scene), 1);
        }
    }
    assert_undone(&scene, "0").await;
}

#[tokio::test]
async fn a_reversal_that_sells_a_part_each_time_is_not_refused() {
    let scene = after_a_buy().await;
    let half = Conduct::Partial(basis_points(5_000));
    for attempt in 1..=20 {
        let conduct = if attempt % 5 == 0 { half } else { Conduct::Refuse };
        scene.manners.set(order(1), Step::Reverse, attempt, conduct);
    }
    accepted(&scene).await;
    assert_undone(&scene, "0").await;
}

#[tokio::test]
async fn a_market_that_buys_crumbs_is_not_sold_to_for_ever() {
    let scene = after_a_buy().await;
    scene.manners.set_default(Conduct::Partial(basis_points(1)));
    accepted(&scene).await;
    let end = scene.finish(reverse(1)).await;
    assert!(matches!(end, StepResult::Failure { .. }), "{end:?}");
    let view = scene.client().view(order(1), Step::Reverse).await.unwrap().unwrap();
    assert_eq!(
        view.attempt.as_deref(),
        Some("cambist-5eed0001-1-reverse-106"),
        "after 105 orders"
    );
}

fn sold_for(each: &str, quantity: &str) -> VenueVerdict {
    VenueVerdict::Executed {
        fills: vec![ReportedFill {
            quantity: btc(quantity),
            price: price(each),
            fee: usd("0"),
        }],
        venue_reference: "another venue, 4711".to_owned(),
    }
}

#[tokio::test]
async fn what_is_left_of_a_refused_reversal_and_was_sold_elsewhere_is_booked_on_an_operators_word() {
    let mut scene = refused_after_a_part("0.0003").await;
    let before = scene.record(reverse(1)).await;
    let view = scene.client().view(order(1), Step::Reverse).await.unwrap().unwrap();
    let name = "cambist-5eed0001-1-reverse-7";
    assert_eq!(view.attempt.as_deref(), Some(name), "the one that people make");
    let impossible = [
        (name, VenueVerdict::NotExecuted {}, "have it tried again"),
        (name, sold_for("8", "0.0002"), "0.0001 BTC is missing"),
        (name, sold_for("8", "0.0004"), "cannot be this order's"),
        ("cambist-5eed0001-1-reverse-6", sold_for("8", "0.0003"), name),
        ("cambist-5eed0001-1-reverse-8", sold_for("8", "0.0003"), name),
    ];
    for (attempt, verdict, why) in impossible {
        let RulingOutcome::Contradicted { detail } = rule(&scene, attempt, verdict).await else {
            panic!("it is recorded: {why}");
        };
        assert!(detail.contains(why), "{detail}");
        assert_eq!(scene.record(reverse(1)).await, before);
    }
    // 100 for what the venue paid 10 for, so that it shows.
    for replayed in [false, true] {
        let ruled = rule(&scene, name, sold_for("100", "0.0003")).await;
        assert_eq!(ruled, RulingOutcome::Recorded { replayed });
    }
    assert_eq!(scene.finish(reverse(1)).await, StepResult::Reversed);
    assert_eq!(scene.balances(), ["0", "0", "30", "0"]);
    let gain = scene.books.balance(&Owner::Treasury, Asset::USD);
    // 2.9997 × 10 + 0.0003 × 100 = 30.027.
    assert_eq!(gain, usd("0.02"));
    assert_eq!(
        scene.executions().await.len(),
        2,
        "the buy and the part: the venue got no other order"
    );
    assert_eq!(refusals_told(&mut scene), 0);
    let again = rule(&scene, name, sold_for("100", "0.0003")).await;
    assert_eq!(again, RulingOutcome::Recorded { replayed: true });
    let other = rule(&scene, name, sold_for("99", "0.0003")).await;
    assert!(matches!(other, RulingOutcome::Contradicted { .. }), "{other:?}");
}

#[tokio::test]
async fn only_the_trade_that_was_made_is_undone() {
    let scene = after_a_buy().await;
    let detail = |submission: Submission| match submission {
        Submission::Invalid { detail } => detail,
        other @ (Submission::Accepted { .. } | Submission::Conflict) => panic!("{other:?}"),
    };
    let too_much = detail(scene.submit(undo(1, "3.00000001")).await);
    assert_eq!(too_much, "the order's trade filled 3 BTC; exactly that is undone");
    let stranger = detail(scene.submit(undo(2, "3")).await);
    assert_eq!(stranger, "the order has no trade that could be undone");
    let mut of_another = undo(1, "3");
    of_another.acquirer_user_id = contracts::UserId::try_new(3).unwrap();
    assert_eq!(
        detail(scene.submit(of_another).await),
        "the order's trade was of another user, asset or currency"
    );
    scene.manners.set(order(3), Step::Exchange, 1, Conduct::Refuse);
    scene.order(buy(3, "30")).await;
    scene.finish(exchange(3)).await;
    let failed = detail(scene.submit(undo(3, "3")).await);
    assert_eq!(failed, "the order has no trade that could be undone");
    scene.order(sell(4, "1")).await;
    scene.finish(exchange(4)).await;
    let mut sold = sell(4, "1");
    sold.compensate = true;
    assert!(detail(scene.submit(sold).await).starts_with("only a buy is undone"));
}
