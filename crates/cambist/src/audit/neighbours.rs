//! What the other services know of an order agrees with what the order knows of itself: the trade, the transfer on the
//! chain, the notification.

use std::collections::{BTreeMap, BTreeSet};

use bc_gateway::store::audit::{Withdrawal, WithdrawalFact};
use contracts::OrderId;
use contracts::clients::Side;
use contracts::messages::{Step, StepResult};
use exchanger::store::audit::TradeFact;
use storage::commands::State;
use wallet::domain::{Order, OrderState};

use super::expected::{Booked, Evidence, Traded};
use super::snapshot::{ReadError, Snapshot};

/// What the other services know of the orders of one page.
pub(super) struct Neighbours {
    trades: BTreeMap<OrderId, Vec<TradeFact>>,
    withdrawals: BTreeMap<OrderId, Vec<WithdrawalFact>>,
    notifications: BTreeMap<OrderId, State>,
}

impl Neighbours {
    /// Everything between the two orders, both included.
    pub(super) async fn read(snapshot: &mut dyn Snapshot, from: OrderId, to: OrderId) -> Result<Self, ReadError> {
        let mut trades: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for trade in snapshot.trades(from, to).await? {
            trades.entry(trade.order_id).or_default().push(trade);
        }
        let mut withdrawals: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for withdrawal in snapshot.withdrawals(from, to).await? {
            withdrawals.entry(withdrawal.key.order_id).or_default().push(withdrawal);
        }
        let notifications = snapshot.notifications(from, to).await?;
        let notifications = notifications.into_iter().map(|fact| (fact.order_id, fact.state));
        Ok(Self {
            trades,
            withdrawals,
            notifications: notifications.collect(),
        })
    }

    /// Hands over, and forgets, what belongs to an order.
    pub(super) fn take(&mut self, order: OrderId) -> Records {
        Records {
            trades: self.trades.remove(&order).unwrap_or_default(),
            withdrawals: self.withdrawals.remove(&order).unwrap_or_default(),
            notification: self.notifications.remove(&order),
        }
    }

    /// The orders whose records nobody took: a service knows of them, and the wallet does not.
    pub(super) fn strangers(&self) -> BTreeSet<OrderId> {
        let services = self.trades.keys().chain(self.withdrawals.keys());
        services.chain(self.notifications.keys()).copied().collect()
    }
}

/// What the other services know of one order.
pub(super) struct Records {
    trades: Vec<TradeFact>,
    pub(super) withdrawals: Vec<WithdrawalFact>,
    notification: Option<State>,
}

/// How far the news of an end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// The user has them, or is to hear of nothing.
    Told,
    /// On their way.
    Coming,
    /// They will not come unless a person does something.
    Lost,
}

impl Records {
    /// What of it disagrees with the order.
    pub(super) fn problems(&self, order: &Order) -> Vec<String> {
        let mut problems = Vec::new();
        problems.extend(trade_problem(order, &self.trades));
        problems.extend(withdrawal_problem(order, &self.withdrawals));
        if self.notification.is_some() && (!order.saga.state.is_end() || order.saga.refused_at_once()) {
            problems.push("has a notification that nobody should have sent".to_owned());
        }
        problems
    }

    /// How far the news of the order's end is.
    pub(super) fn news(&self, order: &Order) -> News {
        if !order.saga.state.is_end() || order.saga.refused_at_once() {
            return News::Told;
        }
        match self.notification {
            Some(State::Done) => News::Told,
            None | Some(State::Open) => News::Coming,
            Some(State::Failed | State::Dead) => News::Lost,
        }
    }

    /// What they say about the order's bookings, which in the ledger come to the trade `in_books`.
    pub(super) fn evidence(&self, in_books: Option<Traded>) -> Evidence {
        let trade = self.trades.iter().find(|trade| trade.step == Step::Exchange);
        let traded = match trade.map(|trade| &trade.result) {
            Some(Some(StepResult::Traded(trade))) => Some(Traded::from(trade)),
            // Under way: booked, and not recorded yet.
            Some(None) => in_books,
            Some(Some(
                StepResult::Transferred { .. }
                | StepResult::Reversed
                | StepResult::Notified
                | StepResult::Failure { .. },
            ))
            | None => None,
        };
        let reversal = self.trades.iter().find(|trade| trade.step == Step::Reverse);
        let reversed = match reversal.map(|reversal| &reversal.result) {
            Some(Some(StepResult::Reversed)) => Booked::Yes,
            Some(None) => Booked::Perhaps,
            Some(Some(
                StepResult::Traded(_)
                | StepResult::Transferred { .. }
                | StepResult::Notified
                | StepResult::Failure { .. },
            ))
            | None => Booked::No,
        };
        Evidence {
            traded,
            withdrawn: self.transferred(Step::Withdraw),
            taken_back: self.transferred(Step::WithdrawBack),
            reversed,
        }
    }

    /// Nothing is booked before it is begun; and what a customer has paid for what is given up is given back.
    fn transferred(&self, step: Step) -> Booked {
        let Some(fact) = self.withdrawals.iter().find(|fact| fact.key.step == step) else {
            return Booked::No;
        };
        let Ok(withdrawal) = &fact.withdrawal else {
            return Booked::Perhaps;
        };
        match &withdrawal.result {
            Some(StepResult::Transferred { .. }) => Booked::Yes,
            None if withdrawal.is_begun() => Booked::Perhaps,
            None
            | Some(StepResult::Traded(_) | StepResult::Reversed | StepResult::Notified | StepResult::Failure { .. }) => {
                Booked::No
            }
        }
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
        let of_step = withdrawals.iter().find(|fact| fact.key.step == step);
        let withdrawal = of_step.and_then(|fact| fact.withdrawal.as_ref().ok());
        withdrawal.filter(|withdrawal| matches!(withdrawal.result, Some(StepResult::Transferred { .. })))
    };
    let sent = done(Step::Withdraw);
    match (order.saga.state, order.saga.terms.side, sent) {
        (OrderState::Completed, Side::Buy, None) => Some("is completed, but its coins were never sent".to_owned()),
        (OrderState::Completed, Side::Buy, Some(Withdrawal { movement: sent, .. })) => {
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

#[cfg(test)]
mod tests {
    use bc_gateway::domain::movement::Movement;
    use bc_gateway::domain::progress::Phase;
    use contracts::clients::WithdrawCommand;
    use contracts::messages::FailureCode;
    use contracts::{Amount, Asset, UserId};
    use storage::commands::CommandKey;

    use super::*;

    fn records(trade: Option<StepResult>, result: Option<StepResult>, phase: Phase) -> Records {
        let withdrawal = Withdrawal {
            movement: Movement::of(&WithdrawCommand {
                order_id: OrderId::FIRST,
                source_user_id: UserId::HOT_WALLET,
                acquirer_user_id: UserId::HOT_WALLET,
                amount: Amount::zero(Asset::BTC),
                compensate: true,
            }),
            state: State::Open,
            result,
            phase,
        };
        recorded(trade, Ok(withdrawal))
    }

    fn recorded(trade: Option<StepResult>, withdrawal: Result<Withdrawal, String>) -> Records {
        let order_id = OrderId::FIRST;
        let step = Step::Exchange;
        Records {
            trades: vec![TradeFact {
                order_id,
                step,
                result: trade,
            }],
            withdrawals: vec![WithdrawalFact {
                key: CommandKey {
                    order_id,
                    step: Step::WithdrawBack,
                },
                withdrawal,
            }],
            notification: None,
        }
    }

    fn failure() -> Option<StepResult> {
        Some(StepResult::Failure {
            code: FailureCode::Cancelled,
            detail: String::new(),
        })
    }

    #[test]
    fn the_books_are_believed_about_a_trade_only_while_the_exchanger_is_at_it() {
        let in_books = Some(Traded {
            filled: Amount::new(1, Asset::BTC),
            value: Amount::new(1, Asset::USD),
            fee: Amount::zero(Asset::USD),
            returned: Amount::zero(Asset::USD),
        });
        assert_eq!(records(None, None, Phase::Unsigned).evidence(in_books).traded, in_books);
        assert_eq!(
            records(failure(), None, Phase::Unsigned).evidence(in_books).traded,
            None
        );
    }

    #[test]
    fn a_transfer_is_booked_for_certain_once_it_is_recorded_and_never_before_it_is_begun() {
        let transferred = Some(StepResult::Transferred {
            transaction: "t".to_owned(),
        });
        for (result, phase, booked) in [
            (None, Phase::Unsigned, Booked::No),
            (None, Phase::Paying, Booked::Perhaps),
            (None, Phase::Signed, Booked::Perhaps),
            (transferred, Phase::Signed, Booked::Yes),
            (failure(), Phase::Unsigned, Booked::No),
            // Its payment is given back.
            (failure(), Phase::Undoing, Booked::No),
            // There was nothing to take back.
            (Some(StepResult::Reversed), Phase::Unsigned, Booked::No),
        ] {
            let evidence = records(None, result.clone(), phase).evidence(None);
            assert_eq!(evidence.taken_back, booked, "{result:?}");
            assert_eq!(evidence.withdrawn, Booked::No, "there is no such command");
        }
        let illegible = recorded(None, Err("its command".to_owned()));
        assert_eq!(illegible.evidence(None).taken_back, Booked::Perhaps);
    }
}
