//! What others may ask the blockchain gateway.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ClientError, Submission};
use crate::messages::Step;
use crate::operators::{ChainRuling, Instruction, Retried, RulingOutcome, StepView};
use crate::{Amount, OrderId, UserId};

/// Send crypto from one wallet's address to another's, or take that back. Its step is
/// [`crate::messages::Step::Withdraw`], or [`crate::messages::Step::WithdrawBack`] when `compensate`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"order_id": 1, "source_user_id": 1, "acquirer_user_id": 2,
    "amount": {"amount": "3", "asset": "BTC"}, "compensate": false})))]
pub struct WithdrawCommand {
    /// The order.
    pub order_id: OrderId,
    /// Whose address sends.
    pub source_user_id: UserId,
    /// Whose address receives.
    pub acquirer_user_id: UserId,
    /// Crypto; greater than zero.
    pub amount: Amount,
    /// Cancel the order's withdrawal if it is not signed yet, send the crypto back otherwise. The other fields
    /// repeat the withdrawal's.
    pub compensate: bool,
}

/// The `bc_gateway` service, as others see it.
#[async_trait]
pub trait BcGateway: Send + Sync {
    /// Hands over commands, at most [`super::MAX_COMMANDS`]; `outcomes[i]` answers `commands[i]`. Idempotent by
    /// (order id, step); a finished command publishes its result again.
    async fn submit(&self, commands: Vec<WithdrawCommand>) -> Result<Vec<Submission>, ClientError>;

    /// Records what an operator established about a withdrawal, or about its way back. The step goes on from it as if the
    /// chain had answered so. What is signed counts as never confirmed only when the chain itself shows that its nonce went
    /// to another transfer; what a customer paid for it is given back before it ends. Idempotent by verdict.
    async fn rule(&self, ruling: ChainRuling) -> Result<RulingOutcome, ClientError>;

    /// Tries this step of an order again at once, because an operator wants so: a dead command is opened again. Harmless
    /// when nothing is wrong.
    async fn retry(&self, order: OrderId, step: Step, instruction: Instruction) -> Result<Retried, ClientError>;

    /// This step of an order as it stands; `None` when it was never asked for.
    async fn view(&self, order: OrderId, step: Step) -> Result<Option<StepView>, ClientError>;
}
