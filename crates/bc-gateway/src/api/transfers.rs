//! `/transfers`, for operators: what is not at its end, one step of an order, try it again, say what became of it.
//!
//! Sagas ask for withdrawals, and the wallet's verbs are about sagas; a withdrawal that an operator takes back is no saga's,
//! and comes to its end here.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use contracts::clients::BcGateway;
use contracts::messages::Step;
use contracts::operators::{ChainRuling, ChainVerdict, Retried, RulingOutcome, StepView, withdraw};
use contracts::{Amount, OrderId, UserId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use service_kit::extract::{JsonBody, Page, PageQuery, PathId, QueryParams};
use service_kit::internal::Caller;
use service_kit::openapi::{Routes, answers, routes};
use service_kit::operators::{instruction, replayed_header};
use service_kit::problem::{Problem, ProblemCode};
use utoipa::ToSchema;

use super::operators::StepQuery;
use crate::ports::{TransferStore, Unfinished};

#[derive(Clone)]
pub(super) struct Desk {
    pub(super) gateway: Arc<dyn BcGateway>,
    pub(super) store: Arc<dyn TransferStore>,
}

/// `GET /transfers`, `GET /transfers/{order_id}`, and `POST` to `…/retry` and `…/resolve` of it.
pub(super) fn routes() -> Routes<Desk> {
    Routes::new()
        .with(routes!(list))
        .with(routes!(read))
        .with(routes!(retry))
        .with(routes!(resolve))
}

/// A step of an order that is not at its end.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UnfinishedTransfer, examples(json!({"order_id": 1, "step": "withdraw_back", "state": "open",
    "from_user_id": 2, "to_user_id": 1, "amount": {"amount": "3", "asset": "BTC"}, "tries": 4,
    "last_reason": "waiting for its block", "answer_missing_since": "2026-01-02T03:04:05Z",
    "created_at": "2026-01-02T03:04:05Z"})))]
struct TransferBody {
    order_id: OrderId,
    step: Step,
    /// `open` or `dead`.
    #[schema(pattern = "^(open|dead)$")]
    state: &'static str,
    /// Who sends. This, the receiver and the amount are null where what is stored cannot be read: then the step is dead.
    from_user_id: Option<UserId>,
    /// Who receives.
    to_user_id: Option<UserId>,
    amount: Option<Amount>,
    /// How many times it was postponed.
    tries: u32,
    /// Why, the last time.
    last_reason: Option<String>,
    /// Since when the chain's answer is missing, if it is.
    answer_missing_since: Option<Timestamp>,
    created_at: Timestamp,
}

impl From<Unfinished> for TransferBody {
    fn from(unfinished: Unfinished) -> Self {
        let movement = unfinished.movement;
        Self {
            order_id: unfinished.order_id,
            step: unfinished.step,
            state: unfinished.state.as_str(),
            from_user_id: movement.map(|movement| movement.from),
            to_user_id: movement.map(|movement| movement.to),
            amount: movement.map(|movement| movement.amount),
            tries: unfinished.tries,
            last_reason: unfinished.last_reason,
            answer_missing_since: unfinished.answer_missing_since,
            created_at: unfinished.created_at,
        }
    }
}

/// Which step is to be tried again, and why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TransferRetry, examples(json!({"step": "withdraw_back", "reason": "the node is back"})))]
struct RetryBody {
    #[serde(default = "withdraw")]
    step: Step,
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

/// What a retry did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetriedTransfer, examples(json!({"order_id": 1, "step": "withdraw_back", "did": "nudged"})))]
struct RetriedBody {
    order_id: OrderId,
    step: Step,
    did: Retried,
}

/// What became of a transfer. `confirmed` needs `transaction`, `never_confirms` has none.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TransferResolution, examples(json!({"step": "withdraw_back", "outcome": "never_confirms",
    "evidence": "its nonce went to the refill of 22 Nov"})))]
struct ResolveBody {
    #[serde(default = "withdraw")]
    step: Step,
    outcome: Outcome,
    transaction: Option<String>,
    /// By which evidence.
    #[schema(min_length = 1, max_length = 500)]
    evidence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = TransferOutcome)]
enum Outcome {
    Confirmed,
    NeverConfirms,
}

/// The answer to a ruling: it is recorded, and the step goes on by itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResolvedTransfer, examples(json!({"order_id": 1, "step": "withdraw_back", "status": "recorded"})))]
struct ResolvedBody {
    order_id: OrderId,
    step: Step,
    #[schema(pattern = "^recorded$")]
    status: &'static str,
}

fn no_step() -> Problem {
    Problem::not_found("this step was never asked for this order")
}

/// List the transfers that are not at their end, the oldest first.
#[utoipa::path(get, path = "/transfers", operation_id = "list_transfers", params(PageQuery),
    responses((status = 200, description = "A page.", body = Page<TransferBody>)))]
async fn list(State(desk): State<Desk>, query: PageQuery) -> Result<Json<Page<TransferBody>>, Problem> {
    let unfinished = desk.store.unfinished(query.cursor, query.limit.rows()).await;
    let unfinished = unfinished.map_err(contracts::clients::ClientError::from)?;
    let page = Page::cut(unfinished, query.limit, |unfinished| unfinished.number);
    Ok(Json(page.map(TransferBody::from)))
}

/// Read one step of an order, at its end or not.
#[utoipa::path(get, path = "/transfers/{order_id}", operation_id = "read_transfer", params(StepQuery),
    responses((status = 200, description = "The step.", body = StepView), answers::NotFound))]
async fn read(
    State(desk): State<Desk>,
    PathId(order_id): PathId<OrderId>,
    QueryParams(StepQuery { step }): QueryParams<StepQuery>,
) -> Result<Json<StepView>, Problem> {
    let view = desk.gateway.view(order_id, step).await?;
    view.map(Json).ok_or_else(no_step)
}

/// Try a step again at once.
#[utoipa::path(post, path = "/transfers/{order_id}/retry", operation_id = "retry_transfer", request_body = RetryBody,
    responses((status = 202, description = "What it did.", body = RetriedBody), answers::NotFound))]
async fn retry(
    State(desk): State<Desk>,
    PathId(order_id): PathId<OrderId>,
    caller: Caller,
    body: JsonBody<RetryBody>,
) -> Result<(StatusCode, Json<RetriedBody>), Problem> {
    let RetryBody { step, reason } = body.value;
    let instruction = instruction(&caller, "/reason", &reason)?;
    match desk.gateway.retry(order_id, step, instruction).await? {
        Retried::Unknown => Err(no_step()),
        did @ (Retried::Nudged | Retried::Reopened) => {
            Ok((StatusCode::ACCEPTED, Json(RetriedBody { order_id, step, did })))
        }
    }
}

/// Say what became of a transfer.
///
/// Only where the chain says nothing against it. What a customer has paid for a transfer that never confirms is given back
/// before the step ends.
#[utoipa::path(post, path = "/transfers/{order_id}/resolve", operation_id = "resolve_transfer",
    request_body = ResolveBody,
    responses(
        (status = 202, description = "Recorded, now or before.", body = ResolvedBody,
            headers(("Idempotency-Replayed" = Option<String>, description = "There when it had been recorded before."))),
        answers::NotFound, answers::Conflict,
    ))]
async fn resolve(
    State(desk): State<Desk>,
    PathId(order_id): PathId<OrderId>,
    caller: Caller,
    body: JsonBody<ResolveBody>,
) -> Result<(StatusCode, HeaderMap, Json<ResolvedBody>), Problem> {
    let ResolveBody {
        step,
        outcome,
        transaction,
        evidence,
    } = body.value;
    let instruction = instruction(&caller, "/evidence", &evidence)?;
    let verdict = match (outcome, transaction) {
        (Outcome::Confirmed, Some(transaction)) => ChainVerdict::Confirmed { transaction },
        (Outcome::NeverConfirms, None) => ChainVerdict::NeverConfirms {},
        (Outcome::Confirmed, None) => return Err(Problem::invalid("/transaction", "required for this outcome")),
        (Outcome::NeverConfirms, Some(_)) => {
            return Err(Problem::invalid("/transaction", "to be left out for this outcome"));
        }
    };
    let ruling = ChainRuling {
        order_id,
        step,
        verdict,
        instruction,
    };
    match desk.gateway.rule(ruling).await? {
        RulingOutcome::Recorded { replayed } => {
            let status = "recorded";
            let body = ResolvedBody { order_id, step, status };
            Ok((StatusCode::ACCEPTED, replayed_header(replayed), Json(body)))
        }
        RulingOutcome::Contradicted { detail } => Err(Problem::new(ProblemCode::Conflict).with_detail(detail)),
        RulingOutcome::Invalid { detail } => Err(Problem::invalid("", detail)),
        RulingOutcome::Unknown => Err(no_step()),
    }
}
