//! `notification` over HTTP, for other services and operators only.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use contracts::clients::{ClientError, MAX_COMMANDS, Submission};
use contracts::{OrderId, ServiceName};
use serde::{Deserialize, Serialize};
use service_kit::extract::{IDEMPOTENCY_REPLAYED, JsonBody, OptionalJsonBody, PathId};
use service_kit::internal::{Allowed, InternalTokens, allow};
use service_kit::problem::{Problem, ProblemCode};

use crate::Parts;
use crate::use_cases::{Outcome, Wish};

const CALLERS: &[Allowed] = &[Allowed::Service(ServiceName::Wallet), Allowed::Operator];

/// A hundred texts of 4 KiB each, written with some escapes.
const BATCH_LIMIT: usize = 512 * 1024;
/// One text of 4 KiB, whatever its escapes: six bytes for one at most.
const SINGLE_LIMIT: usize = 32 * 1024;

pub(crate) fn routes(parts: Arc<Parts>, tokens: &Arc<InternalTokens>) -> Router {
    let routes = Router::new()
        .route("/send/{order_id}", post(send_one))
        .route("/send", post(send_many));
    allow(routes, tokens, CALLERS).with_state(parts)
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SendBody {
    email: Option<String>,
    payload: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendItem {
    order_id: OrderId,
    email: Option<String>,
    payload: Option<String>,
}

/// An outcome, next to the order it is about.
#[derive(Serialize)]
struct Answer {
    order_id: OrderId,
    #[serde(flatten)]
    submission: Submission,
}

type Accepted = (StatusCode, Option<[(HeaderName, &'static str); 1]>, Json<Answer>);

async fn send_one(
    State(parts): State<Arc<Parts>>,
    PathId(order_id): PathId<OrderId>,
    OptionalJsonBody { value, .. }: OptionalJsonBody<SendBody, SINGLE_LIMIT>,
) -> Result<Accepted, Problem> {
    let SendBody { email, payload } = value.unwrap_or_default();
    let wish = Wish {
        order_id,
        email,
        payload,
    };
    let outcomes = parts.submit.execute(vec![wish]).await.map_err(ClientError::from)?;
    match outcomes.into_iter().next() {
        Some(Outcome::Accepted { replayed }) => {
            let header = replayed.then_some([(IDEMPOTENCY_REPLAYED, "true")]);
            let submission = Submission::Accepted { replayed };
            Ok((StatusCode::ACCEPTED, header, Json(Answer { order_id, submission })))
        }
        Some(Outcome::Conflict) => Err(Problem::new(ProblemCode::Conflict)
            .with_detail(format!("order {order_id} has a notification with other content"))),
        Some(Outcome::Invalid(flaws)) => Err(flaws
            .into_iter()
            .fold(Problem::new(ProblemCode::Invalid), |problem, flaw| {
                problem.with_error(format!("/{}", flaw.field.as_str()), flaw.detail)
            })),
        None => Err(Problem::internal("a wish without an outcome")),
    }
}

async fn send_many(
    State(parts): State<Arc<Parts>>,
    JsonBody { value: items, .. }: JsonBody<Vec<SendItem>, BATCH_LIMIT>,
) -> Result<Json<Vec<Answer>>, Problem> {
    if items.len() > MAX_COMMANDS {
        return Err(Problem::invalid(
            "",
            format!("at most {MAX_COMMANDS} commands are accepted at once"),
        ));
    }
    let orders: Vec<_> = items.iter().map(|item| item.order_id).collect();
    let wishes = items
        .into_iter()
        .map(|item| Wish {
            order_id: item.order_id,
            email: item.email,
            payload: item.payload,
        })
        .collect();
    let outcomes = parts.submit.execute(wishes).await.map_err(ClientError::from)?;
    let answers = orders.into_iter().zip(outcomes).map(|(order_id, outcome)| Answer {
        order_id,
        submission: outcome.into(),
    });
    Ok(Json(answers.collect()))
}
