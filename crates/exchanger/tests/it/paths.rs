//! Every way a trade can go, row by row: what the venue does, what the saga hears, and where the money is afterwards.

use std::sync::Arc;
use std::time::Duration;

use contracts::clients::ExchangeCommand;
use contracts::ledger::Leg;
use contracts::messages::{FailureCode, Message, Status, Step, StepResult};
use contracts::{Asset, Clock, ManualClock};
use exchanger::venue::simulated::{Conduct, Market};
use storage::commands::{Settlement, State};

use crate::books::Mood;
use crate::scene::{Scene, basis_points, btc, buy, client_order_id, exchange, order, price, sell, trade, usd};

/// What comes of a trade: filled, value, fee, returned; or the failure.
type Outcome = Result<[&'static str; 4], FailureCode>;

/// What one row of the table tries.
struct Row {
    name: &'static str,
    command: ExchangeCommand,
    /// What the venue does with attempts 1, 2, 3; the rest is filled.
    conducts: Vec<Conduct>,
    outcome: Outcome,
    /// Fiat and crypto of the user, and what the hot wallet has beyond its capital.
    balances: [&'static str; 4],
}

const HIDDEN: Conduct = Conduct::NotYetVisible(Duration::from_secs(4));
const SLOW: Conduct = Conduct::Slow(Duration::from_millis(1));

fn half() -> Conduct {
    Conduct::Partial(basis_points(5_000))
}

fn buys() -> Vec<Row> {
    use Conduct::{ExecuteThenTimeOut as Executed, Fill, FillNothing, Refuse, TimeOutWithoutExecuting as Lost};
    let row = |name, conducts: &[Conduct], outcome, balances| Row {
        name,
        command: buy(1, "30"),
        conducts: conducts.to_vec(),
        outcome,
        balances,
    };
    // The crypto waits in the hot wallet for its withdrawal.
    let bought = |name, conducts| row(name, conducts, Ok(["3", "30", "0", "0"]), ["0", "0", "0", "3"]);
    // The hold stays in the hot wallet until it is released.
    let failed = |name, conducts, code| row(name, conducts, Err(code), ["0", "0", "30", "0"]);
    let partly = Ok(["1.5", "15", "0", "15"]);
    vec![
        bought("filled", &[Fill]),
        bought("filled slowly", &[SLOW]),
        row("filled in part", &[half()], partly, ["15", "0", "0", "1.5"]),
        failed("refused", &[Refuse], FailureCode::VenueRejected),
        failed("nobody sells", &[FillNothing], FailureCode::NothingFilled),
        bought("executed, but timed out", &[Executed]),
        bought("executed, and visible only later", &[HIDDEN]),
        bought("timed out, not executed", &[Lost]),
        bought(
            "timed out, not executed, then executed but timed out",
            &[Lost, Executed],
        ),
        bought("twice not executed, then visible only later", &[Lost, Lost, HIDDEN]),
        failed("never executed", &[Lost, Lost, Lost], FailureCode::NotExecuted),
        failed(
            "not executed, then refused",
            &[Lost, Refuse],
            FailureCode::VenueRejected,
        ),
    ]
}

fn sells() -> Vec<Row> {
    use Conduct::{ExecuteThenTimeOut as Executed, Fill, FillNothing, Refuse, TimeOutWithoutExecuting as Lost};
    let row = |name, crypto, conducts: &[Conduct], outcome, balances| Row {
        name,
        command: sell(1, crypto),
        conducts: conducts.to_vec(),
        outcome,
        balances,
    };
    let sold = |name, conducts| {
        row(
            name,
            "1.5",
            conducts,
            Ok(["1.5", "15", "0", "0"]),
            ["15", "0", "0", "0"],
        )
    };
    let failed = |name, conducts, code| row(name, "1.5", conducts, Err(code), ["0", "0", "0", "1.5"]);
    let partly = Ok(["0.75", "7.5", "0", "0.75"]);
    let dust = Ok(["0.00000001", "0", "0", "0"]);
    vec![
        sold("filled", &[Fill]),
        row("filled in part", "1.5", &[half()], partly, ["7.5", "0.75", "0", "0"]),
        failed("refused", &[Refuse], FailureCode::VenueRejected),
        failed("nobody buys", &[FillNothing], FailureCode::NothingFilled),
        sold("executed, but timed out", &[Executed]),
        sold("executed, and visible only later", &[HIDDEN]),
        sold("timed out, not executed", &[Lost]),
        failed("never executed", &[Lost, Lost, Lost], FailureCode::NotExecuted),
        row(
            "next to nothing brings nothing, explained",
            "0.00000001",
            &[Fill],
            dust,
            ["0"; 4],
        ),
    ]
}

#[tokio::test]
async fn every_path_of_a_trade_ends_as_the_table_says() {
    for row in buys().into_iter().chain(sells()) {
        let what = format!("{}: {}", row.command.side, row.name);
        let mut scene = Scene::new();
        for (attempt, conduct) in (1..).zip(row.conducts) {
            scene.manners.set(order(1), Step::Exchange, attempt, conduct);
        }
        scene.order(row.command).await;
        let result = scene.finish(exchange(1)).await;
        let outcome = match &result {
            StepResult::Traded(trade) => {
                assert_eq!(trade.price, price("10"), "{what}");
                Ok([trade.filled, trade.value, trade.fee, trade.returned].map(|amount| amount.to_string()))
            }
            StepResult::Failure { code, .. } => Err(*code),
            other @ (StepResult::Transferred { .. } | StepResult::Reversed | StepResult::Notified) => {
                panic!("{what}: {other:?}")
            }
        };
        assert_eq!(outcome, row.outcome.map(|amounts| amounts.map(str::to_owned)), "{what}");
        assert_eq!(scene.executions().await.len(), usize::from(outcome.is_ok()), "{what}");
        assert_eq!(scene.balances(), row.balances, "{what}");
        let told = scene.published().pop().unwrap();
        let message: Message = serde_json::from_str(&told.payload).unwrap();
        assert_eq!((message.step, message.result), (Step::Exchange, Some(result)), "{what}");
    }
}

#[tokio::test]
async fn thirty_dollars_are_booked_leg_by_leg() {
    let scene = Scene::new();
    scene.venue.set_market(Market {
        price: price("9.99"),
        fee: basis_points(25),
        ..Market::default()
    });
    scene.order(buy(1, "30")).await;
    let trade = trade(scene.finish(exchange(1)).await);
    let legs: Vec<_> = scene
        .books
        .transfers(order(1))
        .into_iter()
        .map(|transfer| {
            let (debit, credit) = (transfer.debit, transfer.credit);
            format!("{} {debit} -> {credit} {:?}", transfer.id.leg, transfer.amount)
        })
        .collect();
    assert_eq!(
        legs,
        [
            "hold user:2 -> hot_wallet 30 USD",
            "trade_pay hot_wallet -> venue:sim 29.91 USD",
            "trade_receive venue:sim -> hot_wallet 2.99451571 BTC",
            "trade_fee hot_wallet -> fees 0.08 USD",
            "trade_rounding hot_wallet -> rounding 0.01 USD",
        ]
    );
    assert_eq!(trade.value, usd("29.92"));
    assert_eq!(trade.fee, usd("0.08"));
    assert_eq!(trade.returned, usd("0"));
}

#[tokio::test]
async fn a_venue_that_does_not_answer_is_asked_again_and_never_ordered_from_again() {
    let scene = Scene::new();
    scene
        .manners
        .set(order(1), Step::Exchange, 1, Conduct::ExecuteThenTimeOut);
    scene.order(buy(1, "30")).await;
    let settlement = scene.work(exchange(1)).await;
    let Settlement::Postponed {
        answer_missing: true,
        until,
        ..
    } = settlement
    else {
        panic!("{settlement:?}");
    };
    assert!(until > scene.clock.now());
    // The venue goes away. It is asked for longer than any order of ours could live, and nothing is concluded from it.
    scene.manners.set_silent(true);
    for _ in 0..40 {
        scene.clock.advance(Duration::from_secs(5));
        let settlement = scene.work(exchange(1)).await;
        assert!(
            matches!(
                settlement,
                Settlement::Postponed {
                    answer_missing: true,
                    ..
                }
            ),
            "{settlement:?}"
        );
    }
    assert_eq!(scene.books.transfers(order(1)).len(), 1, "only the hold");
    scene.manners.set_silent(false);
    assert_eq!(trade(scene.finish(exchange(1)).await).filled, btc("3"));
    assert_eq!(scene.executions().await.len(), 1);
}

#[tokio::test]
async fn a_long_silence_is_told_to_the_saga_once() {
    let mut scene = Scene::new();
    scene.manners.set_silent(true);
    scene.order(buy(1, "30")).await;
    for _ in 0..20 {
        scene.clock.advance(Duration::from_secs(5));
        if let Some(claimed) = scene.try_claim(exchange(1)).await {
            let epoch = claimed.epoch;
            let settlement = scene.handle(claimed).await;
            scene.settle(exchange(1), epoch, settlement).await;
        }
    }
    let unresolved = |row: &storage::outbox::OutboxRow| {
        let message: Message = serde_json::from_str(&row.payload).unwrap();
        message.status == Status::Unresolved
    };
    assert_eq!(scene.published().iter().filter(|row| unresolved(row)).count(), 1);
    // Nothing of ours reached the venue, so there is nothing to be sorry for once it is back.
    scene.manners.set_silent(false);
    assert_eq!(trade(scene.finish(exchange(1)).await).filled, btc("3"));
}

#[tokio::test]
async fn absence_is_believed_only_after_expiry_engine_time_out_and_skew() {
    let scene = Scene::new();
    scene
        .manners
        .set(order(1), Step::Exchange, 1, Conduct::TimeOutWithoutExecuting);
    let accepted_at = scene.clock.now();
    scene.order(buy(1, "30")).await;
    scene.finish(exchange(1)).await;
    let executions = scene.executions().await;
    let second = client_order_id(1, Step::Exchange, 2);
    assert_eq!(executions[0].client_order_id, second);
    let rules = scene.rules;
    let patience = rules.order_life + rules.engine_timeout + rules.clock_skew;
    let waited = contracts::time::until(accepted_at, executions[0].executed_at);
    assert!(waited >= patience, "{waited:?} is no proof");
    assert!(
        waited < patience + Duration::from_secs(1),
        "{waited:?} is needlessly long"
    );
}

#[tokio::test]
async fn a_clock_of_ours_that_is_wrong_proves_nothing() {
    let noon: jiff::Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
    let (venue_clock, clock) = (Arc::new(ManualClock::new(noon)), Arc::new(ManualClock::new(noon)));
    let scene = Scene::beside_a_venue_with(venue_clock.clone(), clock);
    let hidden = Conduct::NotYetVisible(Duration::from_secs(4));
    scene.manners.set(order(1), Step::Exchange, 1, hidden);
    scene.order(buy(1, "30")).await;
    scene.work(exchange(1)).await;
    // Somebody sets our clock, and by it the order's time was over long ago.
    scene.clock.advance(Duration::from_secs(3_600));
    for _ in 0..3 {
        let Settlement::Postponed {
            until, answer_missing, ..
        } = scene.work(exchange(1)).await
        else {
            panic!("something was concluded from a clock that is wrong");
        };
        assert!(answer_missing);
        assert!(until > scene.clock.now(), "asked again at once, and again, and again");
        scene.clock.advance(Duration::from_secs(10));
    }
    venue_clock.advance(Duration::from_secs(5));
    assert_eq!(trade(scene.finish(exchange(1)).await).filled, btc("3"));
    assert_eq!(scene.executions().await.len(), 1, "executed once");
}

#[tokio::test]
async fn a_command_that_waited_too_long_gets_a_new_expiry_before_its_order_is_sent() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    scene.clock.advance(Duration::from_secs(600));
    let settlement = scene.work(exchange(1)).await;
    assert!(matches!(settlement, Settlement::Finished { .. }), "{settlement:?}");
    let progress: serde_json::Value = serde_json::from_str(&scene.record(exchange(1)).await.progress).unwrap();
    let expires_at: jiff::Timestamp = progress["attempts"][0]["expires_at"].as_str().unwrap().parse().unwrap();
    assert_eq!(
        expires_at,
        contracts::time::later(scene.clock.now(), scene.rules.order_life)
    );
    assert_eq!(scene.executions().await[0].client_order_id.attempt, 1);
}

#[tokio::test]
async fn a_ledger_that_is_out_of_order_only_costs_time() {
    for mood in [Mood::Overloaded, Mood::BooksWithoutAnswer, Mood::Refuses] {
        let scene = Scene::new();
        scene.order(sell(1, "1.5")).await;
        scene.books.set(mood);
        for _ in 0..3 {
            let settlement = scene.work(exchange(1)).await;
            let Settlement::Postponed { answer_missing, .. } = settlement else {
                panic!("{mood:?}: {settlement:?}");
            };
            assert!(
                !answer_missing,
                "the venue has answered; it is our own ledger that has not"
            );
            scene.clock.advance(Duration::from_secs(10));
        }
        // The fills are in the record by now: even a venue that forgets would do no harm.
        scene.manners.set_silent(true);
        scene.books.set(Mood::Fine);
        assert_eq!(trade(scene.finish(exchange(1)).await).filled, btc("1.5"), "{mood:?}");
        assert_eq!(scene.balances(), ["15", "0", "0", "0"], "{mood:?}");
        assert_eq!(scene.executions().await.len(), 1, "{mood:?}");
    }
}

#[tokio::test]
async fn a_row_that_makes_no_sense_dies_visibly_and_books_nothing() {
    let scene = Scene::new();
    let new = |key, content: &str, progress: &str| storage::commands::NewCommand {
        key,
        content: content.to_owned(),
        progress: progress.to_owned(),
    };
    let sound = serde_json::to_string(&buy(4, "30")).unwrap();
    let commands = vec![
        new(exchange(1), "{}", "{}"),
        new(exchange(2), &sound, "{}"),
        new(exchange(3), &sound, r#"{"attempts": []}"#),
        new(exchange(4), &sound, r#"{"attempts": []}"#),
    ];
    scene.store.accept(scene.clock.now(), commands, false).await.unwrap();
    for number in 1..=4 {
        let settlement = scene.work(exchange(number)).await;
        assert!(matches!(settlement, Settlement::Dead { .. }), "{settlement:?}");
        assert_eq!(scene.record(exchange(number)).await.state, State::Dead);
        assert_eq!(scene.books.transfers(order(number)), []);
    }
}

#[tokio::test]
async fn ether_is_traded_to_the_last_wei() {
    let scene = Scene::new();
    let command = ExchangeCommand {
        asset: Asset::ETH,
        ..sell(1, "1")
    };
    let wei = contracts::Amount::parse("123456789012345678901.000000000000000001", Asset::ETH).unwrap();
    scene.order(ExchangeCommand { amount: wei, ..command }).await;
    let trade = trade(scene.finish(exchange(1)).await);
    assert_eq!(trade.filled, wei);
    assert_eq!(trade.value, usd("1234567890123456789010"));
    let residue = scene
        .books
        .transfers(order(1))
        .into_iter()
        .find(|transfer| transfer.id.leg == Leg::TradeRounding);
    assert_eq!(residue.unwrap().amount, usd("0.01"));
}
