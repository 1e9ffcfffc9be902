//! The two sagas as one table: buy and sell differ only in what follows a trade.
//!
//! [`advance`] is the only way an order moves. It accepts the current step's result and nothing else, so that whatever
//! is delivered twice, late, out of order or by a stranger changes nothing:
//!
//! | state | accepts | next |
//! |---|---|---|
//! | created | held · refused · promised | exchanging · failed · created |
//! | exchanging | traded · failed | withdrawing (buy), completed (sell) · releasing |
//! | withdrawing | done · failed | completed · reversing |
//! | reversing | done · refused | releasing · stuck |
//! | releasing | posted · refused | failed · again, and stuck after [`MAX_RELEASE_REFUSALS`] |
//! | exchanging, withdrawing, reversing | unresolved | stuck |
//! | stuck{from} | the results `from` accepts | as `from` |
//!
//! A trade is believed only if it can be true of this order: within the hold, in its assets. Everything that is given
//! back later is computed from it.

use contracts::clients::Side;
use contracts::messages::{FailureCode, Step, Trade};
use contracts::{Amount, Asset};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::order::{OrderState, Stage, Terms};

/// The version of the table below. It is kept in each order's row: an order goes to its end by the definition it was
/// accepted under.
pub const DEFINITION: u16 = 1;

/// How many refusals of a release are answered with another try before the order is stuck. Tries go on even then.
pub const MAX_RELEASE_REFUSALS: u32 = 5;

/// How far an order's saga is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saga {
    /// The definition it follows.
    pub definition: u16,
    /// What was agreed.
    pub terms: Terms,
    /// Where it stands.
    pub state: OrderState,
    /// Whether the hold was booked. An order that failed without was refused at the hold.
    pub held: bool,
    /// Whether its user was told that it is accepted before the hold was decided.
    pub promised: bool,
    /// What was traded, once it is.
    pub trade: Option<Trade>,
    /// The chain's hash of the withdrawal, once it is done.
    pub transaction: Option<String>,
    /// How often the release was refused.
    pub refusals: u32,
    /// Why it fails, once that is known. The first reason counts: what goes wrong on the way back is not the user's.
    pub failure: Option<FailureCode>,
}

impl Saga {
    /// The saga of an order that has just been accepted.
    #[must_use]
    pub const fn new(terms: Terms) -> Self {
        Self {
            definition: DEFINITION,
            terms,
            state: OrderState::Created,
            held: false,
            promised: false,
            trade: None,
            transaction: None,
            refusals: 0,
            failure: None,
        }
    }

    /// Whether it failed because the user's balance did not cover the hold.
    #[must_use]
    pub fn refused_at_hold(&self) -> bool {
        self.state == OrderState::Failed && !self.held
    }

    /// Whether it was refused to its user's face: at the hold, before anything was promised. Such an order is answered
    /// 423, whenever it is asked for again, and no message is sent about it.
    #[must_use]
    pub fn refused_at_once(&self) -> bool {
        self.refused_at_hold() && !self.promised
    }

    /// What a release gives back: the hold less what the trade gave back already, or all of the hold where there was no
    /// trade. `None` only for a trade that [`advance`] would not have believed.
    #[must_use]
    pub fn release_amount(&self) -> Option<Amount> {
        match &self.trade {
            None => Some(self.terms.hold),
            Some(trade) => {
                let rest = self.terms.hold.checked_sub(trade.returned).ok();
                rest.filter(|rest| rest.is_positive())
            }
        }
    }

    /// What is to be done in its state, and done again when nothing is heard of it. At an end there is nothing.
    #[must_use]
    pub const fn current_effect(&self) -> Option<Effect> {
        match self.state {
            OrderState::Created => Some(Effect::Hold),
            OrderState::Exchanging => Some(Effect::Exchange),
            OrderState::Withdrawing => Some(Effect::Withdraw),
            OrderState::Reversing => Some(Effect::Reverse),
            OrderState::Releasing => Some(Effect::Release),
            OrderState::Stuck { from } => match from {
                Stage::Exchanging => Some(Effect::Exchange),
                Stage::Withdrawing => Some(Effect::Withdraw),
                Stage::Reversing => Some(Effect::Reverse),
                Stage::Releasing => Some(Effect::Release),
            },
            OrderState::Completed | OrderState::Failed => None,
        }
    }
}

/// What is done because of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Move the hold from the user to the hot wallet.
    Hold,
    /// Trade.
    Exchange,
    /// Send what was bought to the user's address.
    Withdraw,
    /// Undo the trade.
    Reverse,
    /// Give back what is still held.
    Release,
    /// Tell the user how it ended.
    Notify,
    /// Ask an operator to look.
    AlertOperator,
}

/// What is said to have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// The order was accepted; the first entry of every log, and of nothing else.
    Placed {
        /// The definition it follows.
        definition: u16,
        /// What was agreed.
        terms: Terms,
    },
    /// The user is told that the order is accepted, as its hold takes too long to wait for.
    Promised,
    /// The hold is booked.
    Held,
    /// The user's balance does not cover the hold; that answer is final.
    HoldRefused,
    /// The venue filled something, and it is booked.
    Exchanged {
        /// What was booked.
        trade: Trade,
    },
    /// Nothing was traded, for good.
    ExchangeFailed {
        /// Why.
        code: FailureCode,
    },
    /// The crypto is at the user's address.
    Withdrawn {
        /// The chain's hash of the transfer.
        transaction: String,
    },
    /// The transfer was refused before it was signed, for good.
    WithdrawFailed {
        /// Why.
        code: FailureCode,
    },
    /// The trade is undone.
    Reversed,
    /// The trade cannot be undone.
    ReverseRefused {
        /// Why.
        code: FailureCode,
    },
    /// What was still held is back with the user.
    Released,
    /// The ledger would not give it back; nothing changed.
    ReleaseRefused,
    /// An outside answer about this step cannot be had for longer than is normal.
    Unresolved {
        /// Which step.
        step: Step,
    },
}

impl Fact {
    /// The step it tells of; `None` for the acceptance itself.
    #[must_use]
    pub const fn step(&self) -> Option<Step> {
        match self {
            Self::Placed { .. } => None,
            Self::Promised | Self::Held | Self::HoldRefused => Some(Step::Hold),
            Self::Exchanged { .. } | Self::ExchangeFailed { .. } => Some(Step::Exchange),
            Self::Withdrawn { .. } | Self::WithdrawFailed { .. } => Some(Step::Withdraw),
            Self::Reversed | Self::ReverseRefused { .. } => Some(Step::Reverse),
            Self::Released | Self::ReleaseRefused => Some(Step::Release),
            Self::Unresolved { step } => Some(*step),
        }
    }
}

/// A fact with where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened.
    pub fact: Fact,
    /// Why, or through what, for people.
    pub cause: String,
    /// Who says so: a service or `operator:<name>`.
    pub actor: String,
}

/// What an event does to a saga.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advance {
    /// It moves.
    Moved(Box<Moved>),
    /// It stays exactly as it is.
    Ignored {
        /// Why.
        why: Why,
    },
}

/// A move along an edge of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// The saga after it.
    pub saga: Saga,
    /// What is to be done because of it, each stored in the move's own transaction.
    pub effects: Vec<Effect>,
}

/// Why an event changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The order is at its end.
    Ended,
    /// It tells of a step that is over, not begun, or never part of this order.
    NotThisStep,
    /// What it tells is known: the order is stuck for it.
    AlreadyStuck,
    /// What it tells is known: the order was promised before.
    AlreadyPromised,
    /// It tells of a trade that cannot be this order's. The exchanger is wrong, and an operator has to look.
    Contradiction,
    /// The order follows a definition that this program does not have.
    UnknownDefinition,
}

/// What `event` does to `saga`: a pure function; the same arguments give the same answer for ever.
#[must_use]
pub fn advance(saga: &Saga, event: &Event) -> Advance {
    match decide(saga, &event.fact) {
        Ok(moved) => Advance::Moved(Box::new(moved)),
        Err(why) => Advance::Ignored { why },
    }
}

fn decide(saga: &Saga, fact: &Fact) -> Result<Moved, Why> {
    if saga.definition != DEFINITION {
        return Err(Why::UnknownDefinition);
    }
    if saga.state.is_end() {
        return Err(Why::Ended);
    }
    let next = saga.clone();
    let Some(stage) = saga.state.stage() else {
        return match fact {
            Fact::Promised if next.promised => Err(Why::AlreadyPromised),
            Fact::Promised => Ok(Moved {
                saga: Saga { promised: true, ..next },
                effects: Vec::new(),
            }),
            Fact::Held => Ok(enter(Saga { held: true, ..next }, OrderState::Exchanging)),
            Fact::HoldRefused => Ok(enter(failing(next, FailureCode::InsufficientFunds), OrderState::Failed)),
            Fact::Placed { .. }
            | Fact::Exchanged { .. }
            | Fact::ExchangeFailed { .. }
            | Fact::Withdrawn { .. }
            | Fact::WithdrawFailed { .. }
            | Fact::Reversed
            | Fact::ReverseRefused { .. }
            | Fact::Released
            | Fact::ReleaseRefused
            | Fact::Unresolved { .. } => Err(Why::NotThisStep),
        };
    };
    if fact.step() != Some(stage.step()) {
        return Err(Why::NotThisStep);
    }
    match (fact, stage) {
        (Fact::Exchanged { trade }, _) => traded(next, trade),
        (Fact::ExchangeFailed { code }, _) => Ok(enter(failing(next, *code), OrderState::Releasing)),
        (Fact::Withdrawn { transaction }, _) => {
            let transaction = Some(transaction.clone());
            Ok(enter(Saga { transaction, ..next }, OrderState::Completed))
        }
        (Fact::WithdrawFailed { code }, _) => Ok(enter(failing(next, *code), OrderState::Reversing)),
        (Fact::Reversed, _) => Ok(enter(next, OrderState::Releasing)),
        (Fact::ReverseRefused { .. } | Fact::Unresolved { .. }, Stage::Releasing) => Err(Why::NotThisStep),
        (Fact::ReverseRefused { .. } | Fact::Unresolved { .. }, _) => stuck(next, stage),
        (Fact::Released, _) => Ok(enter(next, OrderState::Failed)),
        (Fact::ReleaseRefused, _) => release_refused(next),
        (Fact::Placed { .. } | Fact::Promised | Fact::Held | Fact::HoldRefused, _) => Err(Why::NotThisStep),
    }
}

fn enter(saga: Saga, state: OrderState) -> Moved {
    let saga = Saga { state, ..saga };
    let effect = match state {
        // Whom nothing was promised has the answer, or sees it in the list.
        OrderState::Failed if !saga.held && !saga.promised => None,
        OrderState::Completed | OrderState::Failed => Some(Effect::Notify),
        OrderState::Stuck { .. } => Some(Effect::AlertOperator),
        OrderState::Created
        | OrderState::Exchanging
        | OrderState::Withdrawing
        | OrderState::Reversing
        | OrderState::Releasing => saga.current_effect(),
    };
    let effects = effect.into_iter().collect();
    Moved { saga, effects }
}

fn failing(saga: Saga, code: FailureCode) -> Saga {
    let failure = saga.failure.or(Some(code));
    Saga { failure, ..saga }
}

fn traded(saga: Saga, trade: &Trade) -> Result<Moved, Why> {
    if !is_possible(&saga.terms, trade) {
        return Err(Why::Contradiction);
    }
    let next = match saga.terms.side {
        Side::Buy => OrderState::Withdrawing,
        Side::Sell => OrderState::Completed,
    };
    let trade = Some(trade.clone());
    Ok(enter(Saga { trade, ..saga }, next))
}

fn stuck(saga: Saga, from: Stage) -> Result<Moved, Why> {
    match saga.state {
        OrderState::Stuck { .. } => Err(Why::AlreadyStuck),
        OrderState::Created
        | OrderState::Exchanging
        | OrderState::Withdrawing
        | OrderState::Reversing
        | OrderState::Releasing
        | OrderState::Completed
        | OrderState::Failed => Ok(enter(saga, OrderState::Stuck { from })),
    }
}

/// The state stays while tries are left, and the next one comes from the sweep, so that it backs off.
fn release_refused(saga: Saga) -> Result<Moved, Why> {
    let refusals = saga.refusals.saturating_add(1);
    let saga = Saga { refusals, ..saga };
    if refusals >= MAX_RELEASE_REFUSALS {
        return stuck(saga, Stage::Releasing);
    }
    let effects = vec![Effect::AlertOperator];
    Ok(Moved { saga, effects })
}

/// Whether a trade can be this order's: its own assets, something filled, and exactly the hold taken and returned.
fn is_possible(terms: &Terms, trade: &Trade) -> bool {
    let of = |amount: Amount, asset: Asset| amount.asset() == asset && !amount.is_negative();
    let Terms {
        side,
        asset,
        currency,
        hold,
    } = terms;
    let sound = of(trade.filled, *asset)
        && trade.filled.is_positive()
        && of(trade.value, *currency)
        && of(trade.fee, *currency)
        && of(trade.returned, hold.asset());
    let taken = match side {
        Side::Buy => trade.value.checked_add(trade.fee),
        Side::Sell => Ok(trade.filled),
    };
    let whole = taken.is_ok_and(|taken| {
        let used = taken.checked_add(trade.returned);
        taken.is_positive() && used.is_ok_and(|used| used == *hold)
    });
    sound && whole
}
