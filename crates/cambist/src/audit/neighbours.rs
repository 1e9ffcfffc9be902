//! What the other services know of an order agrees with what the order knows of itself: the trade, the transfer on the
//! chain, the notification.

use std::collections::BTreeMap;

use bc_gateway::store::sqlite::audit::{WithdrawalFact, withdrawals_of_orders};
use contracts::OrderId;
use contracts::clients::Side;
use contracts::messages::{Step, StepResult};
use exchanger::store::sqlite::audit::{TradeFact, trades_of_orders};
use notification::store::sqlite::audit::notifications_of_orders;
use rusqlite::Connection;
use wallet::domain::{Order, OrderState};

/// What the other services know of the orders of one page.
pub(super) struct Neighbours {
    trades: BTreeMap<OrderId, Vec<TradeFact>>,
    withdrawals: BTreeMap<OrderId, Vec<WithdrawalFact>>,
    notified: Vec<OrderId>,
}

impl Neighbours {
    /// Everything between the two orders, both included.
    pub(super) fn read(snapshot: &Connection, from: OrderId, to: OrderId) -> rusqlite::Result<Self> {
        let mut trades: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for trade in trades_of_orders(snapshot, from, to)? {
            trades.entry(trade.order_id).or_default().push(trade);
        }
        let mut withdrawals: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for withdrawal in withdrawals_of_orders(snapshot, from, to)? {
            withdrawals.entry(withdrawal.order_id).or_default().push(withdrawal);
        }
        let notified = notifications_of_orders(snapshot, from, to)?
            .into_iter()
            .map(|fact| fact.order_id)
            .collect();
        Ok(Self {
            trades,
            withdrawals,
            notified,
        })
    }

    /// Forgets what belongs to `order`, and says what of it disagrees.
    pub(super) fn problems(&mut self, order: &Order) -> Vec<String> {
        let trades = self.trades.remove(&order.id).unwrap_or_default();
        let withdrawals = self.withdrawals.remove(&order.id).unwrap_or_default();
        let notified = self.notified.binary_search(&order.id).is_ok();
        let mut problems = Vec::new();
        problems.extend(trade_problem(order, &trades));
        problems.extend(withdrawal_problem(order, &withdrawals));
        if notified && (!order.saga.state.is_end() || order.saga.refused_at_hold()) {
            problems.push("has a notification that nobody should have sent".to_owned());
        }
        problems
    }

    /// Whether the user of an ended order is still to be told: its notification is on its way to the service.
    pub(super) fn is_untold(&self, order: &Order) -> bool {
        order.saga.state.is_end() && !order.saga.refused_at_hold() && self.notified.binary_search(&order.id).is_err()
    }

    /// Orders of which a service knows and the wallet does not.
    pub(super) fn strangers(&self, known: &[OrderId]) -> Vec<OrderId> {
        let mut strangers: Vec<_> = self.trades.keys().chain(self.withdrawals.keys()).copied().collect();
        strangers.extend(self.notified.iter().filter(|id| known.binary_search(id).is_err()));
        strangers.sort_unstable();
        strangers.dedup();
        strangers
    }
}

/// The trade that the order goes by is the one that the exchanger finished.
fn trade_problem(order: &Order, trades: &[TradeFact]) -> Option<String> {
    let traded = trades
        .iter()
        .find(|trade| trade.step == Step::Exchange)
        .and_then(|trade| match &trade.result {
            Some(StepResult::Traded(trade)) => Some(trade),
            _ => None,
        });
    match (&order.saga.trade, traded) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            Some("goes by another trade than the exchanger made".to_owned())
        }
        (Some(_), None) => Some("goes by a trade that the exchanger does not know".to_owned()),
        // Its result is on its way to the saga; an end without it is none.
        (None, Some(_)) if order.saga.state.is_end() => {
            Some("ended without the trade that the exchanger made".to_owned())
        }
        (Some(_) | None, Some(_)) | (None, None) => None,
    }
}

/// A completed buy is one confirmed transfer of exactly what was bought; a failed one is none, or one that was taken
/// back.
fn withdrawal_problem(order: &Order, withdrawals: &[WithdrawalFact]) -> Option<String> {
    let done = |step| {
        withdrawals
            .iter()
            .find(|fact| fact.step == step && matches!(fact.result, Some(StepResult::Transferred { .. })))
    };
    let sent = done(Step::Withdraw);
    match (order.saga.state, order.saga.terms.side, sent) {
        (OrderState::Completed, Side::Buy, None) => Some("is completed, but its coins were never sent".to_owned()),
        (OrderState::Completed, Side::Buy, Some(sent)) => {
            let filled = order.saga.trade.as_ref().map(|trade| trade.filled);
            let as_bought = Some(sent.amount) == filled && sent.to == order.user_id;
            (!as_bought).then(|| format!("sent {} {} to user {}", sent.amount, sent.amount.asset(), sent.to))
        }
        (OrderState::Failed, Side::Buy, Some(_)) if done(Step::WithdrawBack).is_none() => {
            Some("failed, but its coins were sent".to_owned())
        }
        (_, Side::Sell, Some(_)) => Some("is a sale, and sent coins".to_owned()),
        _ => None,
    }
}
