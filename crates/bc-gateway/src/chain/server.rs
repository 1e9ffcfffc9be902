//! A chain behind HTTP, for services that run apart: what [`super::remote`] talks to.
//!
//! Everything travels as the port has it, arrays of 1 to 100, and so do the answers; `answers[i]` is of `items[i]`. A chain
//! knows no keys: what comes here is signed already.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use contracts::ServiceName;
use contracts::clients::MAX_COMMANDS;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use service_kit::extract::{BATCH_BODY_LIMIT, JsonBody};
use service_kit::internal::{Allowed, InternalTokens};
use service_kit::openapi::{Routes, routes};
use service_kit::problem::Problem;
use utoipa::ToSchema;

use crate::ports::{
    Address, BroadcastAnswer, Chain, FindAnswer, NonceAnswer, SendCheck, SignedTransfer, TransferDraft,
};

/// Who may ask: the service that holds the keys, and people who look for themselves.
const CALLERS: &[Allowed] = &[Allowed::Service(ServiceName::BcGateway), Allowed::Operator];

/// Which nonce of an address is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"address": "sim1a1b2c3", "depth": 6})))]
pub(super) struct NonceQuery {
    /// Whose.
    pub(super) address: Address,
    /// The first that no transfer uses which lies at least so many blocks deep; left out: the first that none uses at all,
    /// those that wait included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) depth: Option<u32>,
}

type Body<T> = JsonBody<Vec<T>, BATCH_BODY_LIMIT>;
type Answers<T> = Result<Json<Vec<T>>, Problem>;

/// `POST /checks`, `/nonces`, `/broadcasts` and `/queries`.
pub fn routes(chain: Arc<dyn Chain>, tokens: &Arc<InternalTokens>) -> Routes {
    Routes::new()
        .with(routes!(can_send))
        .with(routes!(nonces))
        .with(routes!(broadcast))
        .with(routes!(find))
        .allowed(tokens, CALLERS)
        .with_state(chain)
}

/// Ask whether transfers could be sent, 1 to 100.
///
/// Changes nothing.
#[utoipa::path(post, path = "/checks", operation_id = "can_send",
    request_body = Vec<TransferDraft>,
    responses((status = 200, description = "An answer each, in their order.", body = Vec<SendCheck>)))]
async fn can_send(State(chain): State<Arc<dyn Chain>>, body: Body<TransferDraft>) -> Answers<SendCheck> {
    check(body.value.len())?;
    Ok(Json(
        join_all(body.value.iter().map(|draft| chain.can_send(draft))).await,
    ))
}

/// Ask for nonces, 1 to 100.
///
/// Changes nothing.
#[utoipa::path(post, path = "/nonces", operation_id = "read_nonces", request_body = Vec<NonceQuery>,
    responses((status = 200, description = "An answer each, in their order.", body = Vec<NonceAnswer>)))]
async fn nonces(State(chain): State<Arc<dyn Chain>>, body: Body<NonceQuery>) -> Answers<NonceAnswer> {
    check(body.value.len())?;
    let answers = body
        .value
        .iter()
        .map(async |NonceQuery { address, depth }| match depth {
            None => chain.next_nonce(address).await,
            Some(depth) => chain.confirmed_nonce(address, *depth).await,
        });
    Ok(Json(join_all(answers).await))
}

/// Send signed transfers, 1 to 100.
///
/// The same bytes again are harmless. Only `bytes` counts.
#[utoipa::path(post, path = "/broadcasts", operation_id = "broadcast",
    request_body = Vec<SignedTransfer>,
    responses((status = 200, description = "An answer each, in their order.", body = Vec<BroadcastAnswer>)))]
async fn broadcast(State(chain): State<Arc<dyn Chain>>, body: Body<SignedTransfer>) -> Answers<BroadcastAnswer> {
    check(body.value.len())?;
    Ok(Json(
        join_all(body.value.iter().map(|transfer| chain.broadcast(transfer))).await,
    ))
}

/// Ask what became of transfers, 1 to 100, by their hashes.
///
/// Changes nothing.
#[utoipa::path(post, path = "/queries", operation_id = "find",
    request_body(content = Vec<String>, example = json!(["a1b2"])),
    responses((status = 200, description = "An answer each, in their order.", body = Vec<FindAnswer>)))]
async fn find(State(chain): State<Arc<dyn Chain>>, body: Body<String>) -> Answers<FindAnswer> {
    check(body.value.len())?;
    Ok(Json(join_all(body.value.iter().map(|hash| chain.find(hash))).await))
}

fn check(items: usize) -> Result<(), Problem> {
    if (1..=MAX_COMMANDS).contains(&items) {
        Ok(())
    } else {
        Err(Problem::invalid("", format!("an array has 1 to {MAX_COMMANDS} items")))
    }
}
