//! From an effect to the complete command that carries it out.
//!
//! What it keeps true: the command of (order, effect) is the same whenever it is made, by whichever process and version:
//! receivers compare it with what they stored, and refuse another content. So reasons and actors below never change.

use contracts::clients::{ExchangeCommand, WithdrawCommand};
use contracts::ledger::{Leg, Origin, Owner, Posting, Transfer, TransferId};
use contracts::{Amount, OrderId, ServiceName, UserId};
use serde::{Deserialize, Serialize};
use storage::outbox::Destination;

use super::deposit::Deposit;
use super::notice;
use super::order::Order;
use super::saga::Effect;

/// What an effect asks another service to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Of the ledger.
    Post(Posting),
    /// Of the exchanger.
    Exchange(ExchangeCommand),
    /// Of the blockchain gateway.
    Withdraw(WithdrawCommand),
    /// Of the notification service, once the user's address is known.
    Notify(Notice),
}

impl Command {
    /// Who carries it out.
    #[must_use]
    pub const fn destination(&self) -> Destination {
        Destination::Service(match self {
            Self::Post(_) => ServiceName::Balance,
            Self::Exchange(_) => ServiceName::Exchanger,
            Self::Withdraw(_) => ServiceName::BcGateway,
            Self::Notify(_) => ServiceName::Notification,
        })
    }

    /// The command as JSON, without a word about its kind, which its destination tells.
    ///
    /// # Errors
    /// What `serde_json` says; these types have no value that it refuses.
    pub fn to_json(&self) -> serde_json::Result<String> {
        match self {
            Self::Post(posting) => serde_json::to_string(posting),
            Self::Exchange(command) => serde_json::to_string(command),
            Self::Withdraw(command) => serde_json::to_string(command),
            Self::Notify(notice) => serde_json::to_string(notice),
        }
    }
}

/// A message to a user whose address is looked up when it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The order it tells of.
    pub order_id: OrderId,
    /// To whom.
    pub user_id: UserId,
    /// What to say; the first line is the subject.
    pub payload: String,
}

/// The command that carries out `effect` for `order`. `None` for [`Effect::AlertOperator`], which leaves the service in
/// the log, and for an effect that the order's saga cannot have asked for (to withdraw without a trade).
#[must_use]
pub fn command(order: &Order, effect: Effect) -> Option<Command> {
    let saga = &order.saga;
    let filled = || saga.trade.as_ref().map(|trade| trade.filled);
    match effect {
        Effect::Hold => Some(hold(order)),
        Effect::Exchange => Some(exchange(order, saga.terms.hold, false)),
        Effect::Withdraw => filled().map(|amount| {
            Command::Withdraw(WithdrawCommand {
                order_id: order.id,
                source_user_id: UserId::HOT_WALLET,
                acquirer_user_id: order.user_id,
                amount,
                compensate: false,
            })
        }),
        Effect::Reverse => filled().map(|amount| exchange(order, amount, true)),
        Effect::Release => saga.release_amount().map(|amount| release(order, amount)),
        Effect::Notify => notice::text(order).map(|payload| {
            Command::Notify(Notice {
                order_id: order.id,
                user_id: order.user_id,
                payload,
            })
        }),
        Effect::AlertOperator => None,
    }
}

/// The booking of a deposit.
#[must_use]
pub fn deposit_posting(deposit: &Deposit) -> Posting {
    let id = TransferId {
        origin: Origin::Deposit(deposit.id),
        leg: Leg::Deposit,
    };
    let reason = format!("deposit {}", deposit.id);
    Posting::single(Transfer {
        id,
        debit: Owner::ExternalBank,
        credit: Owner::wallet(deposit.user_id),
        amount: deposit.amount,
        reason,
        actor: actor(),
    })
}

fn hold(order: &Order) -> Command {
    Command::Post(Posting::single(Transfer {
        id: leg(order, Leg::Hold),
        debit: Owner::wallet(order.user_id),
        credit: Owner::HotWallet,
        amount: order.saga.terms.hold,
        reason: format!("hold for order {}", order.id),
        actor: actor(),
    }))
}

fn release(order: &Order, amount: Amount) -> Command {
    Command::Post(Posting::single(Transfer {
        id: leg(order, Leg::Release),
        debit: Owner::HotWallet,
        credit: Owner::wallet(order.user_id),
        amount,
        reason: format!("release for order {}", order.id),
        actor: actor(),
    }))
}

fn exchange(order: &Order, amount: Amount, compensate: bool) -> Command {
    let terms = &order.saga.terms;
    Command::Exchange(ExchangeCommand {
        order_id: order.id,
        acquirer_user_id: order.user_id,
        side: terms.side,
        asset: terms.asset,
        currency: terms.currency,
        amount,
        compensate,
    })
}

fn leg(order: &Order, leg: Leg) -> TransferId {
    TransferId {
        origin: Origin::Order(order.id),
        leg,
    }
}

fn actor() -> String {
    ServiceName::Wallet.to_string()
}
