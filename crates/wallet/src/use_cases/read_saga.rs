//! Reads one saga as operators see it: the order with its log, its current step as the service that does it has it, and
//! what operators did.

use contracts::OrderId;
use contracts::messages::Step;
use contracts::operators::StepView;
use storage::StoreError;

use super::Wallet;
use crate::domain::OrderState;
use crate::ports::SagaRecord;

/// A saga, and its step if another service is at it and answers.
pub(crate) async fn read_saga(
    wallet: &Wallet,
    id: OrderId,
) -> Result<Option<(SagaRecord, Option<StepView>)>, StoreError> {
    let Some(record) = wallet.ports.orders.saga(id).await? else {
        return Ok(None);
    };
    let ports = &wallet.ports;
    let view = match step_elsewhere(record.order.saga.state) {
        Some(step @ Step::Withdraw) => ports.bc_gateway.view(id, step).await,
        Some(step) => ports.exchanger.view(id, step).await,
        None => Ok(None),
    };
    let step = view.unwrap_or_else(|error| {
        // The saga is shown all the same: an operator looks when something does not answer.
        tracing::warn!(order_id = %id, %error, "the step of a saga could not be looked at");
        None
    });
    Ok(Some((record, step)))
}

/// The step that another service than the ledger is at, in this state.
pub(crate) fn step_elsewhere(state: OrderState) -> Option<Step> {
    let step = state.stage()?.step();
    match step {
        Step::Exchange | Step::Withdraw | Step::Reverse => Some(step),
        Step::Hold | Step::Release | Step::Notify | Step::WithdrawBack => None,
    }
}
