//! The sagas under random events: only the table's edges, one end, and no money unaccounted for.

use contracts::clients::Side;
use contracts::messages::{FailureCode, Step, Trade};
use contracts::{Amount, Asset, Price};
use jiff::Timestamp;
use proptest::prelude::*;
use wallet::domain::{Advance, Effect, Event, Fact, LogEntry, OrderState, Saga, Stage, Terms, advance, replay};

use crate::samples::event;

/// Small by default; `CAMBIST_TEST_FULL=1` looks harder.
fn config() -> ProptestConfig {
    let full = std::env::var_os("CAMBIST_TEST_FULL").is_some();
    ProptestConfig::with_cases(if full { 20_000 } else { 400 })
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Buy), Just(Side::Sell)]
}

/// Terms in ETH at scale 18, so that sums lie beyond 2⁶⁴.
fn terms() -> impl Strategy<Value = Terms> {
    (side(), 1..10_i128.pow(24)).prop_map(|(side, units)| {
        let held = match side {
            Side::Buy => Asset::USD,
            Side::Sell => Asset::ETH,
        };
        Terms {
            side,
            asset: Asset::ETH,
            currency: Asset::USD,
            hold: Amount::new(units, held),
        }
    })
}

/// Trades around the edge of what is possible: shares of the hold, in thousandths, that sometimes exceed it.
fn trade(terms: Terms) -> impl Strategy<Value = Trade> {
    (0..1_050_i128, 0..20_i128, 0..1_050_i128, 0..10_i128.pow(20)).prop_map(move |(value, fee, returned, other)| {
        let share = |thousandths: i128| terms.hold.units() * thousandths / 1_000;
        let (filled, value) = match terms.side {
            Side::Buy => (other, share(value)),
            Side::Sell => (share(value), other),
        };
        Trade {
            filled: Amount::new(filled, Asset::ETH),
            value: Amount::new(value, Asset::USD),
            fee: Amount::new(fee, Asset::USD),
            returned: Amount::new(share(returned), terms.hold.asset()),
            price: Price::parse("10").unwrap(),
        }
    })
}

fn fact(terms: Terms) -> impl Strategy<Value = Fact> {
    let code = prop::sample::select(FailureCode::ALL.to_vec());
    let step = prop::sample::select(Step::ALL.to_vec());
    prop_oneof![
        2 => Just(Fact::Held),
        1 => Just(Fact::Promised),
        1 => Just(Fact::HoldRefused),
        3 => trade(terms).prop_map(|trade| Fact::Exchanged { trade }),
        1 => code.clone().prop_map(|code| Fact::ExchangeFailed { code }),
        1 => Just(Fact::Withdrawn { transaction: "0x1".to_owned() }),
        2 => code.clone().prop_map(|code| Fact::WithdrawFailed { code }),
        2 => Just(Fact::Reversed),
        1 => code.prop_map(|code| Fact::ReverseRefused { code }),
        2 => Just(Fact::Released),
        3 => Just(Fact::ReleaseRefused),
        3 => step.prop_map(|step| Fact::Unresolved { step }),
        1 => Just(Fact::Placed { definition: 1, terms }),
    ]
}

fn history() -> impl Strategy<Value = (Terms, Vec<Fact>)> {
    terms().prop_flat_map(|terms| (Just(terms), prop::collection::vec(fact(terms), 0..40)))
}

fn is_an_edge(side: Side, from: OrderState, to: OrderState) -> bool {
    use OrderState as S;
    let stage = match from {
        S::Created => return matches!(to, S::Created | S::Exchanging | S::Failed),
        S::Completed | S::Failed => return false,
        S::Exchanging | S::Withdrawing | S::Reversing | S::Releasing | S::Stuck { .. } => from.stage().unwrap(),
    };
    let onward = match stage {
        Stage::Exchanging => {
            let done = if side == Side::Buy {
                S::Withdrawing
            } else {
                S::Completed
            };
            to == done || to == S::Releasing
        }
        Stage::Withdrawing => side == Side::Buy && matches!(to, S::Completed | S::Reversing),
        Stage::Reversing => side == Side::Buy && to == S::Releasing,
        Stage::Releasing => to == S::Failed || (from == to && from == S::Releasing),
    };
    onward || (to == S::Stuck { from: stage } && from != to)
}

/// What the ledger makes of the effects: the user's balance of what was held.
struct Books {
    user: i128,
    held: i128,
}

impl Books {
    fn book(&mut self, before: &Saga, fact: &Fact, after: &Saga) {
        let hold = before.terms.hold.units();
        match fact {
            Fact::Held => {
                self.user -= hold;
                self.held += hold;
            }
            Fact::Exchanged { trade } => {
                self.user += trade.returned.units();
                self.held -= trade.returned.units();
            }
            Fact::Released => {
                let amount = before.release_amount().unwrap().units();
                self.user += amount;
                self.held -= amount;
            }
            Fact::Placed { .. }
            | Fact::Promised
            | Fact::HoldRefused
            | Fact::ExchangeFailed { .. }
            | Fact::Withdrawn { .. }
            | Fact::WithdrawFailed { .. }
            | Fact::Reversed
            | Fact::ReverseRefused { .. }
            | Fact::ReleaseRefused
            | Fact::Unresolved { .. } => {}
        }
        if after.state == OrderState::Failed {
            assert_eq!(
                (self.user, self.held),
                (0, 0),
                "a failed order leaves its user where they were"
            );
        }
        assert!(self.held >= 0, "never more is given back than was held");
    }
}

/// What happens when no fault is left: every step is done.
fn success(saga: &Saga) -> Fact {
    match saga.current_effect().expect("not at its end") {
        Effect::Hold => Fact::Held,
        Effect::Exchange => Fact::ExchangeFailed {
            code: FailureCode::NothingFilled,
        },
        Effect::Withdraw => Fact::Withdrawn {
            transaction: "0x2".to_owned(),
        },
        Effect::Reverse => Fact::Reversed,
        Effect::Release => Fact::Released,
        Effect::Notify | Effect::AlertOperator => unreachable!("not the effect of a state"),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_only_edges_are_walked_and_the_money_adds_up((terms, facts) in history()) {
        let mut saga = Saga::new(terms);
        let mut books = Books { user: 0, held: 0 };
        let mut notified = 0;
        for fact in facts {
            let current = saga.state.stage().map(Stage::step).or((saga.state == OrderState::Created).then_some(Step::Hold));
            match advance(&saga, &event(fact.clone())) {
                Advance::Ignored { .. } => {}
                Advance::Moved(moved) => {
                    prop_assert_eq!(fact.step(), current, "only the current step's result counts");
                    prop_assert!(is_an_edge(terms.side, saga.state, moved.saga.state), "{} -> {}", saga.state, moved.saga.state);
                    books.book(&saga, &fact, &moved.saga);
                    notified += moved.effects.iter().filter(|effect| **effect == Effect::Notify).count();
                    prop_assert_eq!(moved.saga.terms, terms);
                    saga = moved.saga;
                }
            }
        }
        let told = saga.held || saga.promised;
        prop_assert_eq!(notified, usize::from(saga.state.is_end() && told), "one notification after a hold or a promise, or none");
    }

    #[test]
    fn the_same_event_twice_is_the_event_once((terms, facts) in history()) {
        let mut once = Saga::new(terms);
        let mut twice = once.clone();
        for fact in facts.iter().filter(|fact| **fact != Fact::ReleaseRefused) {
            if let Advance::Moved(moved) = advance(&once, &event(fact.clone())) {
                once = moved.saga;
            }
            for _ in 0..2 {
                if let Advance::Moved(moved) = advance(&twice, &event(fact.clone())) {
                    twice = moved.saga;
                }
            }
            prop_assert_eq!(&once, &twice);
        }
    }

    #[test]
    fn when_faults_stop_every_order_ends_within_five_steps((terms, facts) in history()) {
        let mut saga = Saga::new(terms);
        for fact in facts {
            if let Advance::Moved(moved) = advance(&saga, &event(fact)) {
                saga = moved.saga;
            }
        }
        for _ in 0..5 {
            if saga.state.is_end() {
                break;
            }
            let fact = success(&saga);
            saga = match advance(&saga, &event(fact)) {
                Advance::Moved(moved) => moved.saga,
                Advance::Ignored { why } => return Err(TestCaseError::fail(format!("{} is deaf: {why:?}", saga.state))),
            };
        }
        prop_assert!(saga.state.is_end());
    }

    #[test]
    fn an_orders_log_gives_its_state_and_a_forged_one_does_not((terms, facts) in history(), victim in any::<prop::sample::Index>()) {
        let mut saga = Saga::new(terms);
        let entry = |seq, from, to, fact| LogEntry { seq, at: Timestamp::UNIX_EPOCH, from, to, event: event(fact) };
        let mut log = vec![entry(1, None, OrderState::Created, Fact::Placed { definition: 1, terms })];
        for fact in facts {
            if let Advance::Moved(moved) = advance(&saga, &event(fact.clone())) {
                let seq = i64::try_from(log.len()).unwrap() + 1;
                log.push(entry(seq, Some(saga.state), moved.saga.state, fact));
                saga = moved.saga;
            }
        }
        prop_assert_eq!(replay(&log), Ok(saga));
        let stored: Vec<Event> = log.iter().map(|entry| {
            let json = serde_json::to_string(&entry.event.fact).unwrap();
            event(serde_json::from_str(&json).unwrap())
        }).collect();
        prop_assert_eq!(stored, log.iter().map(|entry| entry.event.clone()).collect::<Vec<_>>());

        let victim = victim.index(log.len());
        let mut forged = log.clone();
        forged[victim].to = if forged[victim].to == OrderState::Completed { OrderState::Failed } else { OrderState::Completed };
        prop_assert!(replay(&forged).is_err());
        let mut shortened = log;
        shortened.remove(victim);
        prop_assert!(replay(&shortened).is_err() || victim == shortened.len());
    }
}
