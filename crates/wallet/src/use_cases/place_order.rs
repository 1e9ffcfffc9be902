//! Buy or sell: stores the order and waits a little for its hold.
//!
//! The order, the first entry of its log and the command of its hold are one commit; from then on it ends by itself,
//! whether anybody waits or not. The answer says no more than what is stored.

use std::sync::Arc;

use contracts::clients::ClientError;
use contracts::{OrderId, ServiceName, traces};
use storage::StoreError;
use thiserror::Error;
use tokio::time::Instant;

use super::admit::Place;
use super::apply::apply;
use super::carry::carry;
use super::{HoldDecision, Wallet};
use crate::domain::{Effect, Event, Fact, Order, OrderState, command};
use crate::ports::{Advanced, NewOrder, Placement};

/// A stored order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) order_id: OrderId,
    /// Whether an earlier request had stored it.
    pub(crate) replayed: bool,
    /// Whether its hold is refused, and nothing was promised before. If not, it is held, or promised.
    pub(crate) refused: bool,
}

/// Why there is no order.
#[derive(Debug, Error)]
pub(crate) enum PlaceOrderError {
    #[error("the user has no wallet")]
    NoWallet,
    #[error("the user is frozen")]
    Frozen,
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
pub(crate) async fn place_order(wallet: &Wallet, place: Arc<Place>, new: NewOrder) -> Result<Placed, PlaceOrderError> {
    if !wallet.has_wallet(new.user_id).await? {
        return Err(PlaceOrderError::NoWallet);
    }
    let repeatable = new.idempotency.is_some() || new.client_reference.is_some();
    let (mut seat, mut registration) = wallet.holds.seat();
    let reserved = Arc::clone(&place);
    let cause = traces::present();
    let announce = Box::new(move |undecided: crate::ports::Undecided<OrderId>| {
        registration.register(undecided.id);
        if undecided.new {
            reserved.pass_on();
            if let Some(cause) = cause {
                traces::note(undecided.id, cause);
            }
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
        Some(Placement::Frozen) => return Err(PlaceOrderError::Frozen),
        Some(Placement::KeyReused) => return Err(PlaceOrderError::KeyReused),
        Some(Placement::ReferenceTaken(id)) => return Err(PlaceOrderError::ReferenceTaken(id)),
        None => return Err(StoreError::Unavailable("the store did not answer for the order".to_owned()).into()),
    };
    let refused = if order.saga.state == OrderState::Created {
        // Said before, it is said again, whatever becomes of the hold.
        let promised = order.saga.promised;
        let deadline = Instant::now() + wallet.ports.settings.hold_wait;
        if replayed {
            resume(wallet, &order, deadline).await;
        }
        if promised {
            false
        } else {
            match seat.wait(deadline).await {
                Some(HoldDecision::Held | HoldDecision::RefusedLate) => false,
                Some(HoldDecision::Refused) => true,
                None => !promise(wallet, &order, repeatable).await?,
            }
        }
    } else {
        order.saga.refused_at_once()
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

/// Records that the user is told now that the order is accepted: what becomes of it after that, they are told too.
/// `false` when its hold was refused before that could be said, by a dispatcher that this process does not hear of.
///
/// # Errors
/// [`StoreError::Unknown`] when that cannot be recorded and the request is `repeatable`: it has a key, and repeated it finds
/// this order, or a reference, and repeated it is told this order's number. Without, the user is told all the same, though not
/// by mail if the hold is refused: the order is stored and comes to its end, and who hears that there is none orders a second
/// time.
async fn promise(wallet: &Wallet, order: &Order, repeatable: bool) -> Result<bool, StoreError> {
    match try_to_promise(wallet, order).await {
        Err(error) if !repeatable => {
            tracing::warn!(order_id = %order.id, %error, "an order is answered as accepted, which could not be recorded");
            Ok(true)
        }
        // Whatever it was, the order is stored: nobody may hear that it was not looked at.
        answer => answer.map_err(|error| StoreError::Unknown(error.to_string())),
    }
}

async fn try_to_promise(wallet: &Wallet, order: &Order) -> Result<bool, StoreError> {
    let event = Event {
        fact: Fact::Promised,
        cause: "the hold takes longer than a request waits".to_owned(),
        actor: ServiceName::Wallet.to_string(),
    };
    match apply(wallet, vec![(order.id, event)]).await?.pop() {
        Some(Advanced::Moved { .. }) => return Ok(true),
        Some(Advanced::Ignored { state, .. }) if state != OrderState::Failed => return Ok(true),
        _ => {}
    }
    let now = wallet.ports.orders.order(order.user_id, order.id).await?;
    Ok(now.is_none_or(|(order, _)| !order.saga.refused_at_once()))
}
