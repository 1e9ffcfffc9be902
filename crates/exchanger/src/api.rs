//! The internal routes: commands from `wallet` (and operators), one or an array of them.
//!
//! No answer here moves a saga: 202 says that the command is on disk, its result comes as a message.

mod body;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use contracts::clients::{ExchangeCommand, Exchanger, MAX_COMMANDS, Side, Submission};
use contracts::{OrderId, ServiceName};
use serde::Serialize;
use serde_json::{Value, json};
use service_kit::extract::{BATCH_BODY_LIMIT, IDEMPOTENCY_REPLAYED, JsonBody, PathId};
use service_kit::internal::{Allowed, InternalTokens, allow};
use service_kit::problem::{Problem, ProblemCode};

use self::body::CommandBody;

/// Who may trade: the sagas, and people who stand in for them.
const CALLERS: &[Allowed] = &[Allowed::Service(ServiceName::Wallet), Allowed::Operator];

type Client = Arc<dyn Exchanger>;

/// `POST /buy/{order_id}`, `POST /sell/{order_id}`, and `POST /buy`, `POST /sell` with an array.
pub fn routes(client: Client, tokens: &Arc<InternalTokens>) -> Router {
    let router = Router::new()
        .route("/buy/{order_id}", post(buy))
        .route("/sell/{order_id}", post(sell))
        .route("/buy", post(buy_all))
        .route("/sell", post(sell_all))
        .with_state(client);
    allow(router, tokens, CALLERS)
}

async fn buy(
    State(client): State<Client>,
    PathId(order_id): PathId<OrderId>,
    body: JsonBody<CommandBody>,
) -> Result<Response, Problem> {
    one(&client, Side::Buy, order_id, &body.value).await
}

async fn sell(
    State(client): State<Client>,
    PathId(order_id): PathId<OrderId>,
    body: JsonBody<CommandBody>,
) -> Result<Response, Problem> {
    one(&client, Side::Sell, order_id, &body.value).await
}

async fn buy_all(
    State(client): State<Client>,
    body: JsonBody<Vec<CommandBody>, BATCH_BODY_LIMIT>,
) -> Result<Response, Problem> {
    all(&client, Side::Buy, &body.value).await
}

async fn sell_all(
    State(client): State<Client>,
    body: JsonBody<Vec<CommandBody>, BATCH_BODY_LIMIT>,
) -> Result<Response, Problem> {
    all(&client, Side::Sell, &body.value).await
}

/// What is said of an accepted command.
#[derive(Debug, Serialize)]
struct Accepted {
    order_id: OrderId,
    status: &'static str,
}

const fn accepted(order_id: OrderId) -> Accepted {
    Accepted {
        order_id,
        status: "accepted",
    }
}

/// The single form is the array's case N = 1.
async fn one(client: &Client, side: Side, order_id: OrderId, body: &CommandBody) -> Result<Response, Problem> {
    if body.order_id != order_id {
        return Err(Problem::invalid("/order_id", "it is not the order of the path"));
    }
    let command = body.command(side)?;
    let submission = submit(client, vec![command]).await?.pop();
    let replayed = outcome(submission)?;
    let mut response = (StatusCode::ACCEPTED, axum::Json(accepted(order_id))).into_response();
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
    let outcomes: Vec<Value> = bodies
        .iter()
        .zip(commands)
        .map(
            |(body, command)| match command.and_then(|_| outcome(submissions.next())) {
                Ok(_) => json!(accepted(body.order_id)),
                Err(problem) => problem.with_extension("order_id", body.order_id.get()).to_json(),
            },
        )
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
