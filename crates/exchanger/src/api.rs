//! The internal routes: commands from `wallet` (and operators), one or an array of them.
//!
//! No answer here moves a saga: 202 says that the command is on disk, its result comes as a message.

mod body;
mod operators;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use contracts::clients::{ExchangeCommand, Exchanger, MAX_COMMANDS, Side, Submission};
use contracts::{OrderId, ServiceName};
use service_kit::extract::{BATCH_BODY_LIMIT, IDEMPOTENCY_REPLAYED, JsonBody, PathId};
use service_kit::internal::{Allowed, InternalTokens};
use service_kit::openapi::{Routes, answers, routes};
use service_kit::outcome::{Accepted, Outcome};
use service_kit::problem::{Problem, ProblemCode};

use self::body::CommandBody;

/// Who may trade: the sagas, and people who stand in for them.
const CALLERS: &[Allowed] = &[Allowed::Service(ServiceName::Wallet), Allowed::Operator];

/// Who may speak for an operator.
const WALLET: &[Allowed] = &[Allowed::Service(ServiceName::Wallet)];

type Client = Arc<dyn Exchanger>;

/// `POST /buy/{order_id}`, `POST /sell/{order_id}`, `POST /buy` and `POST /sell` with an array; `POST /commands` for services.
pub fn routes(client: Client, tokens: &Arc<InternalTokens>) -> Routes {
    let commands = Routes::new()
        .with(routes!(buy))
        .with(routes!(sell))
        .with(routes!(buy_all))
        .with(routes!(sell_all));
    let services = operators::routes().with(routes!(submit_all));
    commands
        .allowed(tokens, CALLERS)
        .merge(services.allowed(tokens, WALLET))
        .with_state(client)
}

/// Buy for an order, or undo a buy.
///
/// A buy is limited by `fiat_amount`, a sell and the undoing of a buy (`compensate`) by `crypto_amount`. The result comes as
/// a message.
#[utoipa::path(post, path = "/buy/{order_id}", operation_id = "buy", request_body = CommandBody,
    responses(
        (status = 202, description = "On disk, now or before.", body = Accepted,
            headers(("Idempotency-Replayed" = Option<String>, description = "There when it had been accepted before."))),
        answers::Conflict,
    ))]
async fn buy(
    State(client): State<Client>,
    PathId(order_id): PathId<OrderId>,
    body: JsonBody<CommandBody>,
) -> Result<Response, Problem> {
    one(&client, Side::Buy, order_id, &body.value).await
}

/// Sell for an order.
///
/// A buy is limited by `fiat_amount`, a sell and the undoing of a buy (`compensate`) by `crypto_amount`. The result comes as
/// a message.
#[utoipa::path(post, path = "/sell/{order_id}", operation_id = "sell",
    request_body(content = CommandBody, example = json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 1.5})),
    responses(
        (status = 202, description = "On disk, now or before.", body = Accepted,
            headers(("Idempotency-Replayed" = Option<String>, description = "There when it had been accepted before."))),
        answers::Conflict,
    ))]
async fn sell(
    State(client): State<Client>,
    PathId(order_id): PathId<OrderId>,
    body: JsonBody<CommandBody>,
) -> Result<Response, Problem> {
    one(&client, Side::Sell, order_id, &body.value).await
}

/// Buy for many orders, 1 to 100.
#[utoipa::path(post, path = "/buy", operation_id = "buy_all", request_body = Vec<CommandBody>,
    responses((status = 202, description = "An outcome each, in their order.", body = Vec<Outcome>)))]
async fn buy_all(
    State(client): State<Client>,
    body: JsonBody<Vec<CommandBody>, BATCH_BODY_LIMIT>,
) -> Result<Response, Problem> {
    all(&client, Side::Buy, &body.value).await
}

/// Sell for many orders, 1 to 100.
#[utoipa::path(post, path = "/sell", operation_id = "sell_all",
    request_body(content = Vec<CommandBody>,
        example = json!([{"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 1.5}])),
    responses((status = 202, description = "An outcome each, in their order.", body = Vec<Outcome>)))]
async fn sell_all(
    State(client): State<Client>,
    body: JsonBody<Vec<CommandBody>, BATCH_BODY_LIMIT>,
) -> Result<Response, Problem> {
    all(&client, Side::Sell, &body.value).await
}

/// Hand over commands, at most 100, as the port between services has them.
#[utoipa::path(post, path = "/commands", operation_id = "submit", request_body = Vec<ExchangeCommand>,
    responses((status = 202, description = "An outcome each, in their order.", body = Vec<Submission>)))]
async fn submit_all(
    State(client): State<Client>,
    body: JsonBody<Vec<ExchangeCommand>, BATCH_BODY_LIMIT>,
) -> Result<Response, Problem> {
    if body.value.len() > MAX_COMMANDS {
        let detail = format!("an array has at most {MAX_COMMANDS} commands");
        return Err(Problem::invalid("", detail));
    }
    let outcomes = submit(&client, body.value).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(outcomes)).into_response())
}

/// The single form is the array's case N = 1.
async fn one(client: &Client, side: Side, order_id: OrderId, body: &CommandBody) -> Result<Response, Problem> {
    if body.order_id != order_id {
        return Err(Problem::invalid("/order_id", "it is not the order of the path"));
    }
    let command = body.command(side)?;
    let submission = submit(client, vec![command]).await?.pop();
    let replayed = outcome(submission)?;
    let mut response = (StatusCode::ACCEPTED, axum::Json(Accepted::new(order_id))).into_response();
    if replayed {
        let headers = response.headers_mut();
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// An outcome each, in the order of the commands: what the single form would have answered, `order_id` included.
async fn all(client: &Client, side: Side, bodies: &[CommandBody]) -> Result<Response, Problem> {
    if bodies.is_empty() || bodies.len() > MAX_COMMANDS {
        let detail = format!("an array has 1 to {MAX_COMMANDS} commands");
        return Err(Problem::invalid("", detail));
    }
    let commands: Vec<_> = bodies.iter().map(|body| body.command(side)).collect();
    let sound: Vec<ExchangeCommand> = commands
        .iter()
        .filter_map(|command| command.as_ref().ok().cloned())
        .collect();
    let mut submissions = submit(client, sound).await?.into_iter();
    let outcomes: Vec<Outcome> = bodies
        .iter()
        .zip(commands)
        .map(|(body, command)| {
            let outcome = command.and_then(|_| outcome(submissions.next()));
            Outcome::new(body.order_id, outcome.err())
        })
        .collect();
    Ok((StatusCode::ACCEPTED, axum::Json(outcomes)).into_response())
}

async fn submit(client: &Client, commands: Vec<ExchangeCommand>) -> Result<Vec<Submission>, Problem> {
    if commands.is_empty() {
        return Ok(Vec::new());
    }
    Ok(client.submit(commands).await?)
}

/// Whether an accepted command had been accepted before.
fn outcome(submission: Option<Submission>) -> Result<bool, Problem> {
    match submission {
        Some(Submission::Accepted { replayed }) => Ok(replayed),
        Some(Submission::Conflict) => Err(Problem::new(ProblemCode::Conflict)
            .with_detail("there is another command for this order and step; it was not changed")),
        Some(Submission::Invalid { detail }) => Err(Problem::invalid("", detail)),
        None => Err(Problem::internal("the store answered for fewer commands than it got")),
    }
}
