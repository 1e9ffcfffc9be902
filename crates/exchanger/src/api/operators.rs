//! What the wallet passes on from operators: a ruling on an attempt, a step to be tried again, a look at a step.
//!
//! Only the wallet may call these: it has checked the operator's token, and tells their name.

use axum::Json;
use axum::extract::State;
use contracts::OrderId;
use contracts::messages::Step;
use contracts::operators::{Instruction, Retried, RulingOutcome, StepView, VenueRuling};
use serde::Deserialize;
use service_kit::extract::{BATCH_BODY_LIMIT, JsonBody, PathId, QueryParams};
use service_kit::openapi::{Routes, answers, routes};
use service_kit::problem::Problem;
use utoipa::ToSchema;

use super::Client;

/// `POST /rulings`, `POST /retries`, `GET /steps/{order_id}`.
pub(super) fn routes() -> Routes<Client> {
    Routes::new()
        .with(routes!(rule))
        .with(routes!(retry))
        .with(routes!(view))
}

/// A step to be tried again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StepRetry, examples(json!({"order_id": 1, "step": "exchange",
    "instruction": {"operator": "operator:ann", "reason": "the venue is back"}})))]
struct RetryBody {
    order_id: OrderId,
    step: Step,
    instruction: Instruction,
}

/// Which step of the order.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StepQuery {
    step: Step,
}

/// Record what became of an attempt at the venue.
#[utoipa::path(post, path = "/rulings", operation_id = "rule", request_body = VenueRuling,
    responses((status = 200, description = "What became of the ruling.", body = RulingOutcome)))]
async fn rule(
    State(client): State<Client>,
    body: JsonBody<VenueRuling, BATCH_BODY_LIMIT>,
) -> Result<Json<RulingOutcome>, Problem> {
    Ok(Json(client.rule(body.value).await?))
}

/// Try a step again at once.
#[utoipa::path(post, path = "/retries", operation_id = "retry", request_body = RetryBody,
    responses((status = 200, description = "What it did.", body = Retried)))]
async fn retry(State(client): State<Client>, body: JsonBody<RetryBody>) -> Result<Json<Retried>, Problem> {
    let RetryBody {
        order_id,
        step,
        instruction,
    } = body.value;
    Ok(Json(client.retry(order_id, step, instruction).await?))
}

/// Look at a step.
#[utoipa::path(get, path = "/steps/{order_id}", operation_id = "read_step", params(StepQuery),
    responses((status = 200, description = "The step.", body = StepView), answers::NotFound))]
async fn view(
    State(client): State<Client>,
    PathId(order_id): PathId<OrderId>,
    QueryParams(StepQuery { step }): QueryParams<StepQuery>,
) -> Result<Json<StepView>, Problem> {
    let view = client.view(order_id, step).await?;
    view.map(Json)
        .ok_or_else(|| Problem::not_found("there is no such step of this order here"))
}
