//! A chain behind HTTP, for services that run apart: what [`super::remote`] talks to.
//!
//! Everything travels as the port has it, arrays of 1 to 100, and so do the answers; `answers[i]` is of `items[i]`. A chain
//! knows no keys: what comes here is signed already. What the chain does not answer in time is `unknown`, so that whatever
//! travels with it is answered before its caller stops waiting.

use std::sync::Arc;
use std::time::Duration;

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
use tokio::time::timeout;
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

/// The chain, and how long each of its answers is waited for.
#[derive(Clone)]
struct Counter {
    chain: Arc<dyn Chain>,
    patience: Duration,
}

impl Counter {
    async fn bounded<T>(&self, answer: impl Future<Output = T>, unknown: impl FnOnce(String) -> T) -> T {
        let late = |_| {
            unknown(format!(
                "the chain did not answer within {} ms",
                self.patience.as_millis()
            ))
        };
        timeout(self.patience, answer).await.unwrap_or_else(late)
    }
}

/// `POST /checks`, `/nonces`, `/broadcasts` and `/queries`. Each answer of the chain is waited for as long as `patience`, which
/// is to be shorter than that of the callers.
pub fn routes(chain: Arc<dyn Chain>, patience: Duration, tokens: &Arc<InternalTokens>) -> Routes {
    Routes::new()
        .with(routes!(can_send))
        .with(routes!(nonces))
        .with(routes!(broadcast))
        .with(routes!(find))
        .allowed(tokens, CALLERS)
        .with_state(Counter { chain, patience })
}

/// Ask whether transfers could be sent, 1 to 100.
///
/// Changes nothing.
#[utoipa::path(post, path = "/checks", operation_id = "can_send",
    request_body = Vec<TransferDraft>,
    responses((status = 200, description = "An answer each, in their order.", body = Vec<SendCheck>)))]
async fn can_send(State(counter): State<Counter>, body: Body<TransferDraft>) -> Answers<SendCheck> {
    check(body.value.len())?;
    let answer = |draft| counter.bounded(counter.chain.can_send(draft), |reason| SendCheck::Unknown { reason });
    Ok(Json(join_all(body.value.iter().map(answer)).await))
}

/// Ask for nonces, 1 to 100.
///
/// Changes nothing.
#[utoipa::path(post, path = "/nonces", operation_id = "read_nonces", request_body = Vec<NonceQuery>,
    responses((status = 200, description = "An answer each, in their order.", body = Vec<NonceAnswer>)))]
async fn nonces(State(counter): State<Counter>, body: Body<NonceQuery>) -> Answers<NonceAnswer> {
    check(body.value.len())?;
    let ask = async |NonceQuery { address, depth }: &NonceQuery| match depth {
        None => counter.chain.next_nonce(address).await,
        Some(depth) => counter.chain.confirmed_nonce(address, *depth).await,
    };
    let answer = |query| counter.bounded(ask(query), |reason| NonceAnswer::Unknown { reason });
    Ok(Json(join_all(body.value.iter().map(answer)).await))
}

/// Send signed transfers, 1 to 100.
///
/// The same bytes again are harmless. Only `bytes` counts.
#[utoipa::path(post, path = "/broadcasts", operation_id = "broadcast",
    request_body = Vec<SignedTransfer>,
    responses((status = 200, description = "An answer each, in their order.", body = Vec<BroadcastAnswer>)))]
async fn broadcast(State(counter): State<Counter>, body: Body<SignedTransfer>) -> Answers<BroadcastAnswer> {
    check(body.value.len())?;
    let unknown = |reason| BroadcastAnswer::Unknown { reason };
    let answer = |transfer| counter.bounded(counter.chain.broadcast(transfer), unknown);
    Ok(Json(join_all(body.value.iter().map(answer)).await))
}

/// Ask what became of transfers, 1 to 100, by their hashes.
///
/// Changes nothing.
#[utoipa::path(post, path = "/queries", operation_id = "find",
    request_body(content = Vec<String>, example = json!(["a1b2"])),
    responses((status = 200, description = "An answer each, in their order.", body = Vec<FindAnswer>)))]
async fn find(State(counter): State<Counter>, body: Body<String>) -> Answers<FindAnswer> {
    check(body.value.len())?;
    let answer = |hash| counter.bounded(counter.chain.find(hash), |reason| FindAnswer::Unknown { reason });
    Ok(Json(join_all(body.value.iter().map(String::as_str).map(answer)).await))
}

fn check(items: usize) -> Result<(), Problem> {
    if (1..=MAX_COMMANDS).contains(&items) {
        Ok(())
    } else {
        Err(Problem::invalid("", format!("an array has 1 to {MAX_COMMANDS} items")))
    }
}
