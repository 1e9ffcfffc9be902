//! What the wallet passes on from operators: a ruling on a withdrawal, one to be tried again, a look at one.
//!
//! Only the wallet may call these: it has checked the operator's token, and tells their name.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use contracts::OrderId;
use contracts::clients::BcGateway;
use contracts::messages::Step;
use contracts::operators::{ChainRuling, Instruction, Retried, RulingOutcome, StepView, withdraw};
use serde::Deserialize;
use service_kit::extract::{JsonBody, PathId, QueryParams};
use service_kit::openapi::{Routes, answers, routes};
use service_kit::problem::Problem;
use utoipa::ToSchema;

/// `POST /rulings`, `POST /retries`, `GET /steps/{order_id}`.
pub(super) fn routes() -> Routes<Arc<dyn BcGateway>> {
    Routes::new()
        .with(routes!(rule))
        .with(routes!(retry))
        .with(routes!(view))
}

/// A withdrawal to be tried again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WithdrawalRetry, examples(json!({"order_id": 1,
    "instruction": {"operator": "operator:ann", "reason": "the node is back"}})))]
struct RetryBody {
    order_id: OrderId,
    #[serde(default = "withdraw")]
    step: Step,
    instruction: Instruction,
}

/// Which step of the order: `withdraw` or `withdraw_back`.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StepQuery {
    pub(super) step: Step,
}

/// Record what became of a withdrawal on the chain.
#[utoipa::path(post, path = "/rulings", operation_id = "rule", request_body = ChainRuling,
    responses((status = 200, description = "What became of the ruling.", body = RulingOutcome)))]
async fn rule(
    State(gateway): State<Arc<dyn BcGateway>>,
    body: JsonBody<ChainRuling>,
) -> Result<Json<RulingOutcome>, Problem> {
    Ok(Json(gateway.rule(body.value).await?))
}

/// Try a withdrawal again at once.
#[utoipa::path(post, path = "/retries", operation_id = "retry", request_body = RetryBody,
    responses((status = 200, description = "What it did.", body = Retried)))]
async fn retry(State(gateway): State<Arc<dyn BcGateway>>, body: JsonBody<RetryBody>) -> Result<Json<Retried>, Problem> {
    let RetryBody {
        order_id,
        step,
        instruction,
    } = body.value;
    Ok(Json(gateway.retry(order_id, step, instruction).await?))
}

/// Look at a withdrawal.
#[utoipa::path(get, path = "/steps/{order_id}", operation_id = "read_step", params(StepQuery),
    responses((status = 200, description = "The step.", body = StepView), answers::NotFound))]
async fn view(
    State(gateway): State<Arc<dyn BcGateway>>,
    PathId(order_id): PathId<OrderId>,
    QueryParams(StepQuery { step }): QueryParams<StepQuery>,
) -> Result<Json<StepView>, Problem> {
    let view = gateway.view(order_id, step).await?;
    view.map(Json)
        .ok_or_else(|| Problem::not_found("no withdrawal was asked for this order"))
}
