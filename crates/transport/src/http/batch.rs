//! Many commands in as few requests as may be: `outcomes[i]` answers `items[i]`.
//!
//! What it keeps true: a request has at most so many items and bytes as every service reads; one item that the other side
//! cannot make sense of is refused alone, and keeps no neighbour from being heard: the request that it spoiled did nothing,
//! and is cut in half until the item stands alone.

use std::collections::VecDeque;

use bytes::Bytes;
use contracts::clients::{ClientError, MAX_BATCH_BYTES, Submission};
use contracts::{OrderId, traces};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::{Answer, Unreadable};
use super::peer::{Peer, Request};
use super::retry::Repeat;

/// What became of one request.
enum Heard<O> {
    /// An outcome each.
    Outcomes(Vec<O>),
    /// It made no sense as a whole; nothing of it was done.
    Refused(String),
}

/// Sends `items` to `path`, at most `most` a request, each of which may be repeated as `repeat` says; the other side goes on with
/// the traces of the orders that caused them. If one of several requests fails, the whole call does.
///
/// # Errors
/// [`ClientError`]; `Overloaded` only if no request before had an effect.
pub(super) async fn send<I: Serialize, O: DeserializeOwned>(
    peer: &Peer,
    path: &'static str,
    items: &[I],
    most: usize,
    repeat: Repeat,
    refuse: impl Fn(String) -> O,
    order_of: impl Fn(&I) -> Option<OrderId>,
) -> Result<Vec<O>, ClientError> {
    match send_until(peer, path, items, most, repeat, refuse, order_of).await {
        (outcomes, None) => Ok(outcomes),
        (_, Some(error)) => Err(error),
    }
}

/// [`send`], for whoever can do with less: what was heard of the first items, and why there is nothing of the rest.
pub(super) async fn send_until<I: Serialize, O: DeserializeOwned>(
    peer: &Peer,
    path: &'static str,
    items: &[I],
    most: usize,
    repeat: Repeat,
    refuse: impl Fn(String) -> O,
    order_of: impl Fn(&I) -> Option<OrderId>,
) -> (Vec<O>, Option<ClientError>) {
    let deadline = peer.deadline();
    let mut outcomes = Vec::with_capacity(items.len());
    let mut parts: VecDeque<&[I]> = items.chunks(most.max(1)).collect();
    let mut untouched = true;
    while let Some(part) = parts.pop_front() {
        let body = match body(part) {
            Ok(body) => body,
            Err(error) => return (outcomes, Some(error)),
        };
        let heard = if body.len() > MAX_BATCH_BYTES {
            Heard::Refused(format!("it has more than {MAX_BATCH_BYTES} bytes"))
        } else {
            let request = Request {
                causes: traces::causes_of(part.iter().filter_map(&order_of)),
                ..Request::post(path, Some(body), repeat)
            };
            let answer = peer.call(&request, deadline, |answer| heard(answer, part.len())).await;
            match answer {
                Ok(heard) => heard,
                Err(error) if untouched => return (outcomes, Some(error)),
                Err(error) => return (outcomes, Some(unknown(error))),
            }
        };
        match heard {
            Heard::Outcomes(heard) => {
                untouched = false;
                outcomes.extend(heard);
            }
            Heard::Refused(detail) if part.len() == 1 => outcomes.push(refuse(detail)),
            Heard::Refused(_) => {
                let (first, second) = part.split_at(part.len() / 2);
                parts.push_front(second);
                parts.push_front(first);
            }
        }
    }
    (outcomes, None)
}

/// Commands for the services that carry them out. They are idempotent by (order id, step).
pub(super) async fn submit<C: Serialize>(
    peer: &Peer,
    commands: &[C],
    order_of: impl Fn(&C) -> OrderId,
) -> Result<Vec<Submission>, ClientError> {
    let most = contracts::clients::MAX_COMMANDS;
    let refuse = |detail| Submission::Invalid { detail };
    let order_of = |command: &C| Some(order_of(command));
    send(peer, "/commands", commands, most, Repeat::Always, refuse, order_of).await
}

fn heard<O: DeserializeOwned>(answer: Answer<'_>, items: usize) -> Result<Heard<O>, Unreadable> {
    match answer {
        Answer::Success(_, body) => {
            let outcomes: Vec<O> = serde_json::from_slice(body)?;
            if outcomes.len() != items {
                return Err(Unreadable(format!("{} outcomes for {items} items", outcomes.len())));
            }
            Ok(Heard::Outcomes(outcomes))
        }
        Answer::Invalid(detail) => Ok(Heard::Refused(detail)),
        other @ (Answer::NotFound | Answer::AlreadyExists) => Err(Unreadable::unexpected(&other)),
    }
}

/// Something of the call was done, so none of it may be called untouched.
fn unknown(error: ClientError) -> ClientError {
    match error {
        ClientError::Overloaded { .. } => ClientError::Unavailable(error.to_string()),
        other @ (ClientError::Unavailable(_) | ClientError::Denied(_)) => other,
    }
}

pub(super) fn body(value: &(impl Serialize + ?Sized)) -> Result<Bytes, ClientError> {
    let json = serde_json::to_vec(value);
    json.map(Bytes::from)
        .map_err(|error| ClientError::Unavailable(format!("not writable as JSON: {error}")))
}
