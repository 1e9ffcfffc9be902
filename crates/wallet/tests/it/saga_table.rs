//! Every row of DESIGN 3, and that there are no others.

use contracts::clients::Side;
use contracts::messages::{FailureCode, Step};
use contracts::{Amount, Asset};
use wallet::domain::{Advance, Effect, Fact, OrderState, OrderStatus, Saga, Stage, Why, advance};

use crate::samples::*;

/// What `fact` does in `state`: the next state and the effects, or `None` for nothing.
fn row(side: Side, state: OrderState, fact: &Fact) -> Option<(OrderState, Vec<Effect>)> {
    use OrderState as S;
    let stuck = |from| Some((S::Stuck { from }, vec![Effect::AlertOperator]));
    let to = |state, effect| Some((state, vec![effect]));
    match (state, fact) {
        (S::Created, Fact::Held) => to(S::Exchanging, Effect::Exchange),
        (S::Created, Fact::HoldRefused) => Some((S::Failed, vec![])),
        (S::Created, Fact::Promised) => Some((S::Created, vec![])),

        (
            S::Exchanging
            | S::Stuck {
                from: Stage::Exchanging,
            },
            Fact::Exchanged { .. },
        ) => match side {
            Side::Buy => to(S::Withdrawing, Effect::Withdraw),
            Side::Sell => to(S::Completed, Effect::Notify),
        },
        (
            S::Exchanging
            | S::Stuck {
                from: Stage::Exchanging,
            },
            Fact::ExchangeFailed { .. },
        ) => to(S::Releasing, Effect::Release),
        (S::Exchanging, Fact::Unresolved { step: Step::Exchange }) => stuck(Stage::Exchanging),

        (
            S::Withdrawing
            | S::Stuck {
                from: Stage::Withdrawing,
            },
            Fact::Withdrawn { .. },
        ) => to(S::Completed, Effect::Notify),
        (
            S::Withdrawing
            | S::Stuck {
                from: Stage::Withdrawing,
            },
            Fact::WithdrawFailed { .. },
        ) => to(S::Reversing, Effect::Reverse),
        (S::Withdrawing, Fact::Unresolved { step: Step::Withdraw }) => stuck(Stage::Withdrawing),

        (S::Reversing | S::Stuck { from: Stage::Reversing }, Fact::Reversed) => to(S::Releasing, Effect::Release),
        (S::Reversing, Fact::ReverseRefused { .. } | Fact::Unresolved { step: Step::Reverse }) => {
            stuck(Stage::Reversing)
        }

        (S::Releasing | S::Stuck { from: Stage::Releasing }, Fact::Released) => to(S::Failed, Effect::Notify),
        (S::Releasing, Fact::ReleaseRefused) => to(S::Releasing, Effect::AlertOperator),
        _ => None,
    }
}

#[test]
fn the_table_has_these_rows_and_no_others() {
    let mut rows = 0;
    for side in [Side::Buy, Side::Sell] {
        for state in OrderState::ALL {
            let Some(saga) = saga_in(side, state) else { continue };
            for fact in every_fact(side) {
                match (advance(&saga, &event(fact.clone())), row(side, state, &fact)) {
                    (Advance::Moved(moved), Some((next, effects))) => {
                        assert_eq!(
                            (moved.saga.state, moved.effects),
                            (next, effects),
                            "{side} {state} {fact:?}"
                        );
                        rows += 1;
                    }
                    (Advance::Ignored { .. }, None) => {}
                    (actual, expected) => panic!("{side} {state} {fact:?}: {actual:?} instead of {expected:?}"),
                }
            }
        }
    }
    assert_eq!(rows, 20 + 11, "the rows of buy and of sell");
}

#[test]
fn states_have_one_name_each_and_a_public_status() {
    for state in OrderState::ALL {
        assert_eq!(state.as_str().parse(), Ok(state));
        let pending = state.status() == OrderStatus::Pending;
        assert_eq!(pending, !state.is_end());
    }
    assert!("limbo".parse::<OrderState>().is_err());
}

#[test]
fn a_hold_that_is_refused_fails_the_order_without_a_word_to_the_user() {
    let moved = moved(&Saga::new(terms(Side::Buy)), Fact::HoldRefused);
    assert_eq!(moved.saga.failure, Some(FailureCode::InsufficientFunds));
    assert!(moved.saga.refused_at_hold());
    assert_eq!(moved.effects, []);
}

#[test]
fn a_hold_that_is_refused_after_a_promise_is_told_once() {
    let promised = moved(&Saga::new(terms(Side::Buy)), Fact::Promised);
    assert_eq!((promised.saga.state, promised.effects), (OrderState::Created, vec![]));
    let why = Why::AlreadyPromised;
    assert_eq!(
        advance(&promised.saga, &event(Fact::Promised)),
        Advance::Ignored { why }
    );
    let refused = moved(&promised.saga, Fact::HoldRefused);
    assert_eq!(refused.effects, [Effect::Notify]);
    assert!(refused.saga.refused_at_hold() && !refused.saga.refused_at_once());
    // One whose hold is booked after all goes its way.
    assert_eq!(moved(&promised.saga, Fact::Held).saga.state, OrderState::Exchanging);
}

#[test]
fn an_order_that_fails_later_was_not_refused_at_the_hold() {
    let saga = saga_in(Side::Buy, OrderState::Failed).unwrap();
    assert!(!saga.refused_at_hold());
    assert_eq!(saga.failure, Some(FailureCode::VenueRejected));
}

#[test]
fn the_first_reason_is_the_one_the_user_is_told() {
    let way = [
        Fact::Held,
        exchanged(Side::Buy),
        withdraw_failed(),
        reverse_refused(),
        Fact::Reversed,
        Fact::Released,
    ];
    let saga = walk(Side::Buy, way);
    assert_eq!(
        (saga.state, saga.failure),
        (OrderState::Failed, Some(FailureCode::WithdrawalRefused))
    );
}

#[test]
fn a_release_gives_back_the_hold_less_what_the_trade_returned() {
    let untouched = saga_in(Side::Buy, OrderState::Releasing).unwrap();
    assert_eq!(untouched.release_amount(), Some(usd("30")));
    let partly = Fact::Exchanged {
        trade: partial_trade(Side::Buy),
    };
    let reversed = walk(Side::Buy, [Fact::Held, partly, withdraw_failed(), Fact::Reversed]);
    assert_eq!(reversed.release_amount(), Some(usd("14.70")));
    let unsold = walk(Side::Sell, [Fact::Held, exchange_failed()]);
    assert_eq!(unsold.release_amount(), Some(btc("1.5")));
}

#[test]
fn a_release_is_tried_again_with_an_alert_each_time_and_stuck_in_the_end_but_never_given_up() {
    let mut saga = saga_in(Side::Buy, OrderState::Releasing).unwrap();
    for refusal in 1..wallet::domain::MAX_RELEASE_REFUSALS {
        let moved = moved(&saga, Fact::ReleaseRefused);
        assert_eq!(moved.effects, [Effect::AlertOperator]);
        assert_eq!(
            (moved.saga.state, moved.saga.refusals),
            (OrderState::Releasing, refusal)
        );
        saga = moved.saga;
    }
    saga = moved(&saga, Fact::ReleaseRefused).saga;
    assert_eq!(saga.state, OrderState::Stuck { from: Stage::Releasing });
    assert_eq!(saga.current_effect(), Some(Effect::Release));
    let again = advance(&saga, &event(Fact::ReleaseRefused));
    assert_eq!(again, Advance::Ignored { why: Why::AlreadyStuck });
    assert_eq!(moved(&saga, Fact::Released).saga.state, OrderState::Failed);
}

#[test]
fn a_trade_that_cannot_be_the_orders_is_not_believed() {
    let good = partial_trade(Side::Buy);
    let saga = saga_in(Side::Buy, OrderState::Exchanging).unwrap();
    let eth = Amount::parse("1", Asset::ETH).unwrap();
    let bad = [
        ("more than the hold", usd("30.01"), good.fee, good.filled, usd("0")),
        (
            "with the fee more than the hold",
            usd("30"),
            usd("0.01"),
            good.filled,
            usd("0"),
        ),
        (
            "more returned than left",
            good.value,
            good.fee,
            good.filled,
            usd("15.31"),
        ),
        ("nothing filled", good.value, good.fee, btc("0"), good.returned),
        ("nothing paid", usd("0"), usd("0"), good.filled, usd("30")),
        ("a negative fee", good.value, usd("-1"), good.filled, good.returned),
        ("a negative return", good.value, good.fee, good.filled, usd("-1")),
        ("another coin", good.value, good.fee, eth, good.returned),
        ("a return in coins", good.value, good.fee, good.filled, btc("0")),
    ];
    for (what, value, fee, filled, returned) in bad {
        let trade = contracts::messages::Trade {
            value,
            fee,
            filled,
            returned,
            price: good.price,
        };
        let advanced = advance(&saga, &event(Fact::Exchanged { trade }));
        assert_eq!(
            advanced,
            Advance::Ignored {
                why: Why::Contradiction
            },
            "{what}"
        );
    }
    let selling = saga_in(Side::Sell, OrderState::Exchanging).unwrap();
    let oversold = contracts::messages::Trade {
        returned: btc("0.81"),
        ..partial_trade(Side::Sell)
    };
    let advanced = advance(&selling, &event(Fact::Exchanged { trade: oversold }));
    assert_eq!(
        advanced,
        Advance::Ignored {
            why: Why::Contradiction
        }
    );
}

#[test]
fn an_order_of_an_unknown_definition_is_left_alone() {
    let saga = Saga {
        definition: 2,
        ..Saga::new(terms(Side::Buy))
    };
    for fact in every_fact(Side::Buy) {
        let why = Why::UnknownDefinition;
        assert_eq!(advance(&saga, &event(fact)), Advance::Ignored { why });
    }
}
