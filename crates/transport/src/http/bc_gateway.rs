//! `bc_gateway` over HTTP. Commands are repeated after any failure: they are idempotent by (order id, step). `replayed` is then
//! said of the last request.

use async_trait::async_trait;
use contracts::OrderId;
use contracts::clients::{BcGateway, ClientError, Submission, WithdrawCommand};
use contracts::messages::Step;
use contracts::operators::{ChainRuling, Instruction, Retried, RulingOutcome, StepView};

use super::peer::Peer;
use super::{batch, operators};

/// [`BcGateway`] at a peer.
#[derive(Debug, Clone)]
pub struct HttpBcGateway(pub Peer);

#[async_trait]
impl BcGateway for HttpBcGateway {
    async fn submit(&self, commands: Vec<WithdrawCommand>) -> Result<Vec<Submission>, ClientError> {
        batch::submit(&self.0, &commands, |command| command.order_id).await
    }

    async fn rule(&self, ruling: ChainRuling) -> Result<RulingOutcome, ClientError> {
        operators::rule(&self.0, &ruling).await
    }

    async fn retry(&self, order: OrderId, step: Step, instruction: Instruction) -> Result<Retried, ClientError> {
        operators::retry(&self.0, order, step, instruction).await
    }

    async fn view(&self, order: OrderId, step: Step) -> Result<Option<StepView>, ClientError> {
        operators::view(&self.0, order, step).await
    }
}
