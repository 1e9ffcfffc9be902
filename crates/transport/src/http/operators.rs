//! What services that carry out commands offer operators, over HTTP: a ruling, another try, a look.

use contracts::OrderId;
use contracts::clients::ClientError;
use contracts::messages::Step;
use contracts::operators::{Instruction, Retried, RulingOutcome, StepView};
use serde::Serialize;

use super::batch::body;
use super::failure::{Answer, Unreadable};
use super::peer::{Peer, Request};
use super::retry::Repeat;

/// Repeated after any failure: a ruling is idempotent by its verdict.
pub(super) async fn rule(peer: &Peer, ruling: &impl Serialize) -> Result<RulingOutcome, ClientError> {
    let request = Request::post("/rulings", Some(body(ruling)?), Repeat::Always);
    let read = |answer: Answer<'_>| match answer {
        Answer::Success(_, body) => Ok(serde_json::from_slice(body)?),
        Answer::Invalid(detail) => Ok(RulingOutcome::Invalid { detail }),
        other @ (Answer::NotFound | Answer::AlreadyExists) => Err(Unreadable::unexpected(&other)),
    };
    peer.call(&request, peer.deadline(), read).await
}

/// Repeated only where nothing was done: each wish is kept, and the second would be told what the first one did.
pub(super) async fn retry(
    peer: &Peer,
    order_id: OrderId,
    step: Step,
    instruction: Instruction,
) -> Result<Retried, ClientError> {
    #[derive(Serialize)]
    struct Wish {
        order_id: OrderId,
        step: Step,
        instruction: Instruction,
    }
    let wish = Wish {
        order_id,
        step,
        instruction,
    };
    let request = Request::post("/retries", Some(body(&wish)?), Repeat::IfNothingWasDone);
    let read = |answer: Answer<'_>| match answer {
        Answer::Success(_, body) => Ok(serde_json::from_slice(body)?),
        other @ (Answer::NotFound | Answer::AlreadyExists | Answer::Invalid(_)) => Err(Unreadable::unexpected(&other)),
    };
    peer.call(&request, peer.deadline(), read).await
}

/// Repeated after any failure: it only looks.
pub(super) async fn view(peer: &Peer, order: OrderId, step: Step) -> Result<Option<StepView>, ClientError> {
    let request = Request::get(format!("/steps/{order}?step={step}"));
    let read = |answer: Answer<'_>| match answer {
        Answer::Success(_, body) => {
            let view: StepView = serde_json::from_slice(body)?;
            if view.step == step {
                Ok(Some(view))
            } else {
                Err(Unreadable(format!("step {} instead of {step}", view.step)))
            }
        }
        Answer::NotFound => Ok(None),
        other @ (Answer::AlreadyExists | Answer::Invalid(_)) => Err(Unreadable::unexpected(&other)),
    };
    peer.call(&request, peer.deadline(), read).await
}
