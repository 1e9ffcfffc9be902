//! Applies events to sagas, and tells this process what came of it: who waits, the gauge, the log.

use contracts::OrderId;
use contracts::clients::Side;
use storage::StoreError;

use super::{HoldDecision, Wallet};
use crate::domain::{Event, Order, OrderState};
use crate::ports::Advanced;

/// Applies events in one transaction; afterwards tells whoever waits in this process. Idempotent.
pub(crate) async fn apply(wallet: &Wallet, events: Vec<(OrderId, Event)>) -> Result<Vec<Advanced>, StoreError> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let advanced = wallet
        .ports
        .orders
        .advance(wallet.now(), wallet.first_due(), events)
        .await?;
    for outcome in &advanced {
        match outcome {
            Advanced::Moved { from, order, alert } => tell(wallet, *from, order, *alert),
            Advanced::Ignored { .. } | Advanced::Unknown | Advanced::Unreadable => {}
        }
    }
    Ok(advanced)
}

fn tell(wallet: &Wallet, from: OrderState, order: &Order, alert: bool) {
    let saga = &order.saga;
    wallet.watchers.wake(order.id);
    // A promise leaves it undecided.
    if from == OrderState::Created && saga.state != OrderState::Created {
        let decision = if saga.held {
            HoldDecision::Held
        } else if saga.promised {
            HoldDecision::RefusedLate
        } else {
            HoldDecision::Refused
        };
        wallet.holds.decide(order.id, decision);
    }
    if saga.state.is_end() {
        wallet.admission.ended(1);
        wallet.metrics.ended(order);
        let side = match saga.terms.side {
            Side::Buy => "buy",
            Side::Sell => "sell",
        };
        let failure = saga.failure.map(|code| code.as_str());
        tracing::debug!(order_id = %order.id, side, state = %saga.state, failure, "an order has ended");
    }
    if alert {
        wallet.metrics.needing_operator.one();
        let refusals = saga.refusals;
        tracing::error!(order_id = %order.id, state = %saga.state, refusals, "an order needs an operator");
    }
}
