//! Terms, trades and sagas that the tests start from.

use contracts::clients::Side;
use contracts::messages::{FailureCode, Step, Trade};
use contracts::money::DecimalText;
use contracts::{Amount, Asset, OrderId, Price, UserId};
use jiff::Timestamp;
use wallet::domain::{Advance, Event, Fact, Moved, Order, OrderState, Saga, Stage, Terms, advance};

pub(crate) fn usd(text: &str) -> Amount {
    Amount::parse(text, Asset::USD).unwrap()
}

pub(crate) fn btc(text: &str) -> Amount {
    Amount::parse(text, Asset::BTC).unwrap()
}

pub(crate) fn user(id: i64) -> UserId {
    UserId::try_new(id).unwrap()
}

pub(crate) fn order_id(id: i64) -> OrderId {
    OrderId::try_new(id).unwrap()
}

pub(crate) fn terms(side: Side) -> Terms {
    let amount = match side {
        Side::Buy => "30",
        Side::Sell => "1.5",
    };
    Terms::try_new(side, Asset::BTC, Asset::USD, &DecimalText::try_new(amount).unwrap()).unwrap()
}

/// All of [`terms`], at 10 USD.
pub(crate) fn full_trade(side: Side) -> Trade {
    let (filled, value, returned) = match side {
        Side::Buy => (btc("3"), usd("30"), usd("0")),
        Side::Sell => (btc("1.5"), usd("15"), btc("0")),
    };
    Trade {
        filled,
        value,
        fee: usd("0"),
        returned,
        price: Price::parse("10").unwrap(),
    }
}

/// Half of [`terms`], with a fee.
pub(crate) fn partial_trade(side: Side) -> Trade {
    let (filled, value, returned) = match side {
        Side::Buy => (btc("1.4"), usd("14"), usd("15.30")),
        Side::Sell => (btc("0.7"), usd("7"), btc("0.8")),
    };
    Trade {
        filled,
        value,
        fee: usd("0.70"),
        returned,
        price: Price::parse("10").unwrap(),
    }
}

pub(crate) fn event(fact: Fact) -> Event {
    Event {
        fact,
        cause: "test".to_owned(),
        actor: "test".to_owned(),
    }
}

pub(crate) fn moved(saga: &Saga, fact: Fact) -> Moved {
    let event = event(fact);
    match advance(saga, &event) {
        Advance::Moved(moved) => *moved,
        Advance::Ignored { why } => panic!("{} ignores {event:?}: {why:?}", saga.state),
    }
}

/// The saga that these facts lead to.
pub(crate) fn walk(side: Side, facts: impl IntoIterator<Item = Fact>) -> Saga {
    facts
        .into_iter()
        .fold(Saga::new(terms(side)), |saga, fact| moved(&saga, fact).saga)
}

pub(crate) fn exchanged(side: Side) -> Fact {
    Fact::Exchanged {
        trade: full_trade(side),
    }
}

pub(crate) fn withdrawn() -> Fact {
    Fact::Withdrawn {
        transaction: "0xabc".to_owned(),
    }
}

pub(crate) fn exchange_failed() -> Fact {
    Fact::ExchangeFailed {
        code: FailureCode::VenueRejected,
    }
}

pub(crate) fn withdraw_failed() -> Fact {
    Fact::WithdrawFailed {
        code: FailureCode::WithdrawalRefused,
    }
}

pub(crate) fn reverse_refused() -> Fact {
    Fact::ReverseRefused {
        code: FailureCode::NotExecuted,
    }
}

pub(crate) fn unresolved(step: Step) -> Fact {
    Fact::Unresolved { step }
}

/// A saga in this state, by the shortest way; `None` where a sell never comes.
pub(crate) fn saga_in(side: Side, state: OrderState) -> Option<Saga> {
    let mut facts = Vec::new();
    let buys = side == Side::Buy;
    let at_the_venue = [Fact::Held];
    let way = |stage: Stage| -> Option<Vec<Fact>> {
        let bought = [Fact::Held, exchanged(side)];
        Some(match stage {
            Stage::Exchanging => at_the_venue.to_vec(),
            Stage::Withdrawing => bought.to_vec(),
            Stage::Reversing => [bought.to_vec(), vec![withdraw_failed()]].concat(),
            Stage::Releasing => [at_the_venue.to_vec(), vec![exchange_failed()]].concat(),
        })
        .filter(|_| buys || matches!(stage, Stage::Exchanging | Stage::Releasing))
    };
    match state {
        OrderState::Created => {}
        OrderState::Exchanging => facts = way(Stage::Exchanging)?,
        OrderState::Withdrawing => facts = way(Stage::Withdrawing)?,
        OrderState::Reversing => facts = way(Stage::Reversing)?,
        OrderState::Releasing => facts = way(Stage::Releasing)?,
        OrderState::Stuck { from } => {
            facts = way(from)?;
            match from {
                Stage::Releasing => facts.extend(std::iter::repeat_n(
                    Fact::ReleaseRefused,
                    usize::try_from(wallet::domain::MAX_RELEASE_REFUSALS).unwrap(),
                )),
                Stage::Exchanging | Stage::Withdrawing | Stage::Reversing => facts.push(unresolved(from.step())),
            }
        }
        OrderState::Completed if buys => facts = vec![Fact::Held, exchanged(side), withdrawn()],
        OrderState::Completed => facts = vec![Fact::Held, exchanged(side)],
        OrderState::Failed => facts = vec![Fact::Held, exchange_failed(), Fact::Released],
    }
    let saga = walk(side, facts);
    assert_eq!(saga.state, state);
    Some(saga)
}

/// One fact of every kind, as they would be of this side.
pub(crate) fn every_fact(side: Side) -> Vec<Fact> {
    let mut facts = vec![
        Fact::Placed {
            definition: 1,
            terms: terms(side),
        },
        Fact::Promised,
        Fact::Held,
        Fact::HoldRefused,
        exchanged(side),
        exchange_failed(),
        withdrawn(),
        withdraw_failed(),
        Fact::Reversed,
        reverse_refused(),
        Fact::Released,
        Fact::ReleaseRefused,
    ];
    facts.extend(Step::ALL.map(unresolved));
    facts
}

/// An order of user 2 with this saga.
pub(crate) fn order_with(saga: Saga) -> Order {
    let time: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    Order {
        id: order_id(7),
        user_id: user(2),
        client_reference: None,
        saga,
        revision: 1,
        tries: 0,
        next_attempt_at: time,
        created_at: time,
        updated_at: time,
    }
}
