//! `exchanger` over HTTP. Commands are repeated after any failure: they are idempotent by (order id, step). `replayed` is then
//! said of the last request.

use async_trait::async_trait;
use contracts::OrderId;
use contracts::clients::{ClientError, ExchangeCommand, Exchanger, Submission};
use contracts::messages::Step;
use contracts::operators::{Instruction, Retried, RulingOutcome, StepView, VenueRuling};

use super::peer::Peer;
use super::{batch, operators};

/// [`Exchanger`] at a peer.
#[derive(Debug, Clone)]
pub struct HttpExchanger(pub Peer);

#[async_trait]
impl Exchanger for HttpExchanger {
    async fn submit(&self, commands: Vec<ExchangeCommand>) -> Result<Vec<Submission>, ClientError> {
        batch::submit(&self.0, &commands, |command| command.order_id).await
    }

    async fn rule(&self, ruling: VenueRuling) -> Result<RulingOutcome, ClientError> {
        operators::rule(&self.0, &ruling).await
    }

    async fn retry(&self, order: OrderId, step: Step, instruction: Instruction) -> Result<Retried, ClientError> {
        operators::retry(&self.0, order, step, instruction).await
    }

    async fn view(&self, order: OrderId, step: Step) -> Result<Option<StepView>, ClientError> {
        operators::view(&self.0, order, step).await
    }
}
