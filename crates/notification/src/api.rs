//! `notification` over HTTP, for other services and operators only.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use contracts::clients::{ClientError, MAX_COMMANDS, Notification as _, NotifyCommand, Submission};
use contracts::{OrderId, ServiceName};
use serde::{Deserialize, Serialize};
use service_kit::extract::{IDEMPOTENCY_REPLAYED, JsonBody, OptionalJsonBody, PathId};
use service_kit::internal::{Allowed, InternalTokens};
use service_kit::openapi::{Routes, answers, routes};
use service_kit::problem::{Problem, ProblemCode};
use utoipa::ToSchema;

use crate::Parts;
use crate::use_cases::{Client, Outcome, Wish};

const CALLERS: &[Allowed] = &[Allowed::Service(ServiceName::Wallet), Allowed::Operator];

/// Who tells users how their orders ended.
const WALLET: &[Allowed] = &[Allowed::Service(ServiceName::Wallet)];

/// A hundred texts of 4 KiB each, written with some escapes.
const BATCH_LIMIT: usize = 512 * 1024;
/// One text of 4 KiB, whatever its escapes: six bytes for one at most.
const SINGLE_LIMIT: usize = 32 * 1024;

pub(crate) fn routes(parts: Arc<Parts>, tokens: &Arc<InternalTokens>) -> Routes {
    let services = Routes::new().with(routes!(submit)).allowed(tokens, WALLET);
    Routes::new()
        .with(routes!(send_one))
        .with(routes!(send_many))
        .allowed(tokens, CALLERS)
        .merge(services)
        .with_state(parts)
}

/// What to send, and where to.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Letter, examples(json!({"email": "ada@example.com", "payload": "Your order 1 is completed."})))]
struct SendBody {
    /// The user's address unless said.
    #[schema(max_length = 254)]
    email: Option<String>,
    /// The text; the order's story unless said.
    payload: Option<String>,
}

/// As a letter, with the order it is about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrderLetter, examples(json!({"order_id": 1, "email": "ada@example.com",
    "payload": "Your order 1 is completed."})))]
struct SendItem {
    order_id: OrderId,
    /// The user's address unless said.
    #[schema(max_length = 254)]
    email: Option<String>,
    /// The text; the order's story unless said.
    payload: Option<String>,
}

/// An outcome, next to the order it is about.
#[derive(Serialize, ToSchema)]
#[schema(as = Sent, examples(json!({"order_id": 1, "outcome": "accepted", "replayed": false})))]
struct Answer {
    order_id: OrderId,
    #[serde(flatten)]
    submission: Submission,
}

type Accepted = (StatusCode, Option<[(HeaderName, &'static str); 1]>, Json<Answer>);

/// Send a message about an order.
///
/// It goes out once, however often it is asked for.
#[utoipa::path(post, path = "/send/{order_id}", operation_id = "send",
    request_body = Option<SendBody>,
    responses(
        (status = 202, description = "On disk; it goes out by itself.", body = Answer,
            headers(("Idempotency-Replayed" = Option<String>, description = "There when it had been accepted before."))),
        answers::Conflict,
    ))]
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

/// Send messages about orders, at most 100.
#[utoipa::path(post, path = "/send", operation_id = "send_all",
    request_body = Vec<SendItem>,
    responses((status = 200, description = "An outcome each, in their order.", body = Vec<Answer>)))]
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

/// Hand over messages, at most 100, as the port between services has them.
#[utoipa::path(post, path = "/commands", operation_id = "submit", request_body = Vec<NotifyCommand>,
    responses((status = 202, description = "An outcome each, in their order.", body = Vec<Submission>)))]
async fn submit(
    State(parts): State<Arc<Parts>>,
    JsonBody { value: commands, .. }: JsonBody<Vec<NotifyCommand>, BATCH_LIMIT>,
) -> Result<(StatusCode, Json<Vec<Submission>>), Problem> {
    if commands.len() > MAX_COMMANDS {
        let detail = format!("at most {MAX_COMMANDS} commands are accepted at once");
        return Err(Problem::invalid("", detail));
    }
    let outcomes = Client(parts.submit.clone()).submit(commands).await?;
    Ok((StatusCode::ACCEPTED, Json(outcomes)))
}
