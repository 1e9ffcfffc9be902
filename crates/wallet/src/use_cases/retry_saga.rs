//! Tries a saga's current step again at once, because an operator wants so. Harmless when nothing is wrong: every receiver
//! knows what it has seen.

use contracts::OrderId;
use contracts::clients::ClientError;
use contracts::messages::Step;
use contracts::operators::{Instruction, Retried};

use super::Wallet;
use super::read_saga::step_elsewhere;
use crate::domain::Order;

/// The order after it was made due, and what the service of its step made of that, if its step is another service's.
/// `None` when there is no such order.
///
/// The order's row first: whatever happens to this process then, the sweep issues the step again. A caller that gets no
/// answer repeats the whole.
///
/// # Errors
/// [`ClientError::Unavailable`] also where the service of the step had no room for the request: the order is due by then, and
/// the operator's act is on record, so nobody may hear that it was not looked at.
pub(crate) async fn retry_saga(
    wallet: &Wallet,
    id: OrderId,
    instruction: Instruction,
) -> Result<Option<(Order, Option<Retried>)>, ClientError> {
    let ports = &wallet.ports;
    let Some(order) = ports.orders.hurry(wallet.now(), id, instruction.clone()).await? else {
        return Ok(None);
    };
    let retried = match step_elsewhere(order.saga.state) {
        Some(step @ Step::Withdraw) => Some(ports.bc_gateway.retry(id, step, instruction).await),
        Some(step) => Some(ports.exchanger.retry(id, step, instruction).await),
        None => None,
    };
    let retried = retried.transpose().map_err(|error| match error {
        full @ ClientError::Overloaded { .. } => ClientError::Unavailable(full.to_string()),
        told @ (ClientError::Unavailable(_) | ClientError::Denied(_)) => told,
    });
    Ok(Some((order, retried?)))
}
