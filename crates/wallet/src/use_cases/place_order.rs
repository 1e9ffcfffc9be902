//! Buy or sell: stores the order and waits a little for its hold.
//!
//! The order, the first entry of its log and the command of its hold are one commit; from then on it ends by itself,
//! whether anybody waits or not. The answer says no more than what is stored.

use std::sync::Arc;

use contracts::clients::ClientError;
use contracts::{OrderId, UserId};
use storage::StoreError;
use thiserror::Error;
use tokio::time::Instant;

use super::admit::Place;
use super::carry::carry;
use super::{HoldDecision, Wallet};
use crate::domain::{Effect, Order, OrderState, Terms, command};
use crate::ports::{Idempotency, NewOrder, Placement};

/// A request to buy or sell.
pub(crate) struct PlaceOrder {
    pub(crate) user_id: UserId,
    pub(crate) terms: Terms,
    pub(crate) client_reference: Option<String>,
    pub(crate) idempotency: Option<Idempotency>,
}

/// A stored order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) order_id: OrderId,
    /// Whether an earlier request had stored it.
    pub(crate) replayed: bool,
    /// Whether its hold is refused. If not, it is held, or not decided yet.
    pub(crate) refused: bool,
}

/// Why there is no order.
#[derive(Debug, Error)]
pub(crate) enum PlaceOrderError {
    #[error("the user has no wallet")]
    NoWallet,
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("order {0} has this client reference")]
    ReferenceTaken(OrderId),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Places an order. With an idempotency key, repeating it finds the same order, and waits for its hold again if that is
/// still undecided.
pub(crate) async fn place_order(
    wallet: &Wallet,
    place: Arc<Place>,
    request: PlaceOrder,
) -> Result<Placed, PlaceOrderError> {
    if !wallet.has_wallet(request.user_id).await? {
        return Err(PlaceOrderError::NoWallet);
    }
    let PlaceOrder {
        user_id,
        terms,
        client_reference,
        idempotency,
    } = request;
    let new = NewOrder {
        user_id,
        terms,
        client_reference,
        idempotency,
    };
    let (mut seat, mut registration) = wallet.holds.seat();
    let reserved = Arc::clone(&place);
    let announce = Box::new(move |undecided: crate::ports::Undecided<OrderId>| {
        registration.register(undecided.id);
        if undecided.new {
            reserved.pass_on();
        }
    });
    let placements = wallet
        .ports
        .orders
        .create_orders(wallet.now(), wallet.first_due(), vec![new], announce)
        .await
        .inspect_err(|_| place.undo())?;
    let placement = placements.into_iter().next();
    let (order, replayed) = match placement {
        Some(Placement::Created(order)) => {
            wallet.metrics.accepted(order.saga.terms.side);
            (order, false)
        }
        Some(Placement::Replayed(order)) => (order, true),
        Some(Placement::KeyReused) => return Err(PlaceOrderError::KeyReused),
        Some(Placement::ReferenceTaken(id)) => return Err(PlaceOrderError::ReferenceTaken(id)),
        None => return Err(StoreError::Unavailable("the store did not answer for the order".to_owned()).into()),
    };
    let refused = if order.saga.state == OrderState::Created {
        let deadline = Instant::now() + wallet.ports.settings.hold_wait;
        if replayed {
            resume(wallet, &order, deadline).await;
        }
        match seat.wait(deadline).await {
            Some(HoldDecision::Held) => false,
            Some(HoldDecision::Refused) => true,
            None => refused_elsewhere(wallet, &order).await,
        }
    } else {
        order.saga.refused_at_hold()
    };
    Ok(Placed {
        order_id: order.id,
        replayed,
        refused,
    })
}

/// The first request may have died before its hold was asked for: then nobody would, until the sweep.
async fn resume(wallet: &Wallet, order: &Order, deadline: Instant) {
    let hold = command(order, Effect::Hold);
    // A ledger that does not answer costs no more than the wait; the order goes on without this request.
    let _ = tokio::time::timeout_at(deadline, carry(wallet, hold.into_iter().collect())).await;
}

/// Whether the hold was refused where this process cannot hear of it: by another process's dispatcher.
async fn refused_elsewhere(wallet: &Wallet, order: &Order) -> bool {
    match wallet.ports.orders.order(order.user_id, order.id).await {
        Ok(Some((order, _))) => order.saga.refused_at_hold(),
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(%error, "an undecided order could not be read; it is answered as pending");
            false
        }
    }
}
