//! How orders and deposits change in memory, between loading and storing: the same on every database. What is decided,
//! `domain` decides.

use contracts::{DepositId, OrderId};
use jiff::Timestamp;

use crate::domain::{
    Advance, Command, Deposit, DepositStatus, Effect, Event, Fact, Order, OrderState, Saga, Why, advance, command,
};
use crate::ports::{NewDeposit, NewOrder, Placement, Undecided};

/// A move that was made.
pub(super) struct Move {
    /// Where from.
    pub(super) from: OrderState,
    /// What is to be done because of it.
    pub(super) commands: Vec<Command>,
    /// Whether an operator is to look.
    pub(super) alert: bool,
}

/// Moves an order by `event`, or says why not, and then it is as it was.
pub(super) fn take(order: &mut Order, now: Timestamp, due: Timestamp, event: &Event) -> Result<Move, Why> {
    let from = order.saga.state;
    let moved = match advance(&order.saga, event) {
        Advance::Moved(moved) => moved,
        Advance::Ignored { why } => return Err(why),
    };
    // A refused release stays where it is: its pause goes on growing, and the sweep tries again.
    if moved.saga.state != from {
        order.tries = 0;
        order.next_attempt_at = due;
    }
    order.saga = moved.saga;
    order.revision += 1;
    order.updated_at = now;
    let effects = moved.effects.iter();
    Ok(Move {
        from,
        commands: effects.filter_map(|effect| command(order, *effect)).collect(),
        alert: moved.effects.contains(&Effect::AlertOperator),
    })
}

/// A new order of this number, with the event that its log begins with.
pub(super) fn placed(id: OrderId, now: Timestamp, due: Timestamp, new: &NewOrder) -> (Order, Event) {
    let saga = Saga::new(new.terms);
    let event = Event {
        fact: Fact::Placed {
            definition: saga.definition,
            terms: new.terms,
        },
        cause: "accepted".to_owned(),
        actor: format!("user:{}", new.user_id),
    };
    let order = Order {
        id,
        user_id: new.user_id,
        client_reference: new.client_reference.clone(),
        saga,
        revision: 1,
        tries: 0,
        next_attempt_at: due,
        created_at: now,
        updated_at: now,
    };
    (order, event)
}

/// A new deposit of this number.
pub(super) fn paid(id: DepositId, now: Timestamp, new: &NewDeposit) -> Deposit {
    Deposit {
        id,
        user_id: new.user_id,
        amount: new.amount,
        reference: new.reference.clone(),
        status: DepositStatus::Pending,
        tries: 0,
        created_at: now,
        booked_at: None,
    }
}

/// What is said of an order whose hold is to be waited for.
pub(super) fn undecided_order(placement: &Placement<Box<Order>, OrderId>, index: usize) -> Option<Undecided<OrderId>> {
    let (id, new) = match placement {
        Placement::Created(order) => (order.id, true),
        Placement::Replayed(order) if order.saga.state == OrderState::Created => (order.id, false),
        Placement::Replayed(_) | Placement::KeyReused | Placement::ReferenceTaken(_) | Placement::Frozen => {
            return None;
        }
    };
    Some(Undecided { index, id, new })
}

/// What is said of a deposit whose booking is to be waited for.
pub(super) fn undecided_deposit(
    placement: &Placement<Deposit, DepositId>,
    index: usize,
) -> Option<Undecided<DepositId>> {
    let (id, new) = match placement {
        Placement::Created(deposit) => (deposit.id, true),
        Placement::Replayed(deposit) if deposit.status == DepositStatus::Pending => (deposit.id, false),
        Placement::Replayed(_) | Placement::KeyReused | Placement::ReferenceTaken(_) | Placement::Frozen => {
            return None;
        }
    };
    Some(Undecided { index, id, new })
}
