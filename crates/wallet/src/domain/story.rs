//! An order's story: its log told entry by entry, each with what was known of the order by then.
//!
//! The state after each entry is the one that was stored with it; the amounts come from [`advance`], the function that
//! moved the order, so that the last chapter says what the order's row says.

use contracts::messages::{FailureCode, Trade};
use contracts::{Amount, OrderId};

use super::order::OrderState;
use super::replay::LogEntry;
use super::saga::{Advance, Fact, Saga, advance};

/// One entry with what was known after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// Which order's.
    pub order_id: OrderId,
    /// The entry.
    pub entry: LogEntry,
    /// What is held at most: fiat of a buy, crypto of a sell.
    pub requested: Option<Amount>,
    /// What was traded, once it is.
    pub trade: Option<Trade>,
    /// Why it fails, once that is known.
    pub failure: Option<FailureCode>,
}

/// Who tells the story of one order. Entries are told in the order of their numbers, from the first one on.
#[derive(Debug, Clone)]
pub struct Story {
    order_id: OrderId,
    saga: Option<Saga>,
    told: i64,
    state: OrderState,
}

impl Story {
    /// The story of this order, from its beginning.
    #[must_use]
    pub const fn new(order_id: OrderId) -> Self {
        Self {
            order_id,
            saga: None,
            told: 0,
            state: OrderState::Created,
        }
    }

    /// The number of the entry told last; 0 before the first.
    #[must_use]
    pub const fn told(&self) -> i64 {
        self.told
    }

    /// Where the order stands after what has been told.
    #[must_use]
    pub const fn state(&self) -> OrderState {
        self.state
    }

    /// Tells the next entry; `None` for one that was told before. An entry that this program's table does not have (a
    /// newer program's) is told with the amounts known before it.
    pub fn tell(&mut self, entry: LogEntry) -> Option<Chapter> {
        if entry.seq <= self.told {
            return None;
        }
        if let Fact::Placed { definition, terms } = entry.event.fact {
            let saga = Saga::new(terms);
            self.saga = Some(Saga { definition, ..saga });
        } else if let Some(saga) = &mut self.saga
            && let Advance::Moved(moved) = advance(saga, &entry.event)
        {
            *saga = moved.saga;
        }
        self.told = entry.seq;
        self.state = entry.to;
        let saga = self.saga.as_ref();
        Some(Chapter {
            order_id: self.order_id,
            requested: saga.map(|saga| saga.terms.hold),
            trade: saga.and_then(|saga| saga.trade.clone()),
            failure: saga.and_then(|saga| saga.failure),
            entry,
        })
    }
}

impl Fact {
    /// Its name, as in JSON.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Placed { .. } => "placed",
            Self::Promised => "promised",
            Self::Held => "held",
            Self::HoldRefused => "hold_refused",
            Self::Exchanged { .. } => "exchanged",
            Self::ExchangeFailed { .. } => "exchange_failed",
            Self::Withdrawn { .. } => "withdrawn",
            Self::WithdrawFailed { .. } => "withdraw_failed",
            Self::Reversed => "reversed",
            Self::ReverseRefused { .. } => "reverse_refused",
            Self::Released => "released",
            Self::ReleaseRefused => "release_refused",
            Self::Unresolved { .. } => "unresolved",
        }
    }
}

#[cfg(test)]
mod tests {
    use contracts::Asset;
    use contracts::clients::Side;
    use contracts::messages::Step;
    use contracts::money::DecimalText;
    use contracts::{Amount, Price};
    use jiff::Timestamp;

    use super::super::order::{Stage, Terms};
    use super::super::saga::{DEFINITION, Event};
    use super::*;

    fn entry(seq: i64, to: OrderState, fact: Fact) -> LogEntry {
        let event = Event {
            fact,
            cause: "test".to_owned(),
            actor: "test".to_owned(),
        };
        LogEntry {
            seq,
            at: Timestamp::UNIX_EPOCH,
            from: None,
            to,
            event,
        }
    }

    fn facts() -> Vec<Fact> {
        let thirty = DecimalText::try_new("30").unwrap();
        let (code, step) = (FailureCode::NotExecuted, Step::Exchange);
        let trade = Trade {
            filled: Amount::parse("3", Asset::BTC).unwrap(),
            value: Amount::parse("30", Asset::USD).unwrap(),
            fee: Amount::zero(Asset::USD),
            returned: Amount::zero(Asset::USD),
            price: Price::parse("10").unwrap(),
        };
        vec![
            Fact::Placed {
                definition: DEFINITION,
                terms: Terms::try_new(Side::Buy, Asset::BTC, Asset::USD, &thirty).unwrap(),
            },
            Fact::Promised,
            Fact::Held,
            Fact::HoldRefused,
            Fact::Exchanged { trade },
            Fact::ExchangeFailed { code },
            Fact::Withdrawn {
                transaction: "0xabc".to_owned(),
            },
            Fact::WithdrawFailed { code },
            Fact::Reversed,
            Fact::ReverseRefused { code },
            Fact::Released,
            Fact::ReleaseRefused,
            Fact::Unresolved { step },
        ]
    }

    #[test]
    fn a_fact_has_one_name() {
        for fact in facts() {
            assert_eq!(serde_json::to_value(&fact).unwrap()["fact"], fact.as_str());
        }
    }

    #[test]
    fn amounts_are_told_from_the_entry_on_that_brought_them_and_nothing_is_told_twice() {
        let mut facts = facts();
        let (exchanged, held, placed) = (facts.remove(4), facts.remove(2), facts.remove(0));
        let mut story = Story::new(OrderId::try_new(1).unwrap());
        let log = [
            entry(1, OrderState::Created, placed),
            entry(2, OrderState::Exchanging, held),
            entry(3, OrderState::Withdrawing, exchanged),
        ];
        let told: Vec<_> = log.iter().filter_map(|entry| story.tell(entry.clone())).collect();
        assert!(told.iter().all(|chapter| chapter.requested.is_some()));
        let filled = told.iter().map(|chapter| chapter.trade.is_some());
        assert_eq!(filled.collect::<Vec<_>>(), [false, false, true]);
        assert_eq!((story.told(), story.state()), (3, OrderState::Withdrawing));
        assert!(log.into_iter().all(|entry| story.tell(entry).is_none()));
    }

    #[test]
    fn what_this_programs_table_does_not_have_is_told_all_the_same() {
        let mut story = Story::new(OrderId::try_new(1).unwrap());
        let stuck = OrderState::Stuck { from: Stage::Reversing };
        let told = story.tell(entry(1, stuck, Fact::Reversed)).unwrap();
        assert_eq!((told.requested, told.trade), (None, None));
        assert_eq!((story.told(), story.state()), (1, stuck));
    }
}
