//! The internal routes: commands to send crypto, one or many, and what operators do to them.

mod operators;
mod transfers;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use contracts::clients::{BcGateway, MAX_COMMANDS, Submission, WithdrawCommand};
use contracts::money::DecimalText;
use contracts::{Asset, OrderId, PositiveDecimal, ServiceName, UserId};
use serde::Deserialize;
use service_kit::extract::{BATCH_BODY_LIMIT, IDEMPOTENCY_REPLAYED, JsonBody, PathId};
use service_kit::internal::{Allowed, InternalTokens};
use service_kit::openapi::{Routes, answers, routes};
use service_kit::outcome::{Accepted, Outcome};
use service_kit::problem::{Problem, ProblemCode};
use utoipa::ToSchema;

use crate::ports::TransferStore;

/// Who may send crypto around.
const CALLERS: &[Allowed] = &[Allowed::Service(ServiceName::Wallet), Allowed::Operator];

/// Who may speak for an operator.
const WALLET: &[Allowed] = &[Allowed::Service(ServiceName::Wallet)];

/// Only people.
const OPERATORS: &[Allowed] = &[Allowed::Operator];

/// `POST /withdraw/{user_id}`, `POST /withdraw` for many, and operators' verbs.
pub(crate) fn internal_routes(
    gateway: Arc<dyn BcGateway>,
    store: Arc<dyn TransferStore>,
    tokens: &Arc<InternalTokens>,
) -> Routes {
    let desk = transfers::Desk {
        gateway: Arc::clone(&gateway),
        store,
    };
    Routes::new()
        .with(routes!(withdraw))
        .with(routes!(withdraw_many))
        .allowed(tokens, CALLERS)
        .merge(operators::routes().with(routes!(submit)).allowed(tokens, WALLET))
        .with_state(gateway)
        .merge(transfers::routes().allowed(tokens, OPERATORS).with_state(desk))
}

/// From the wallet of the path to the acquirer's; with `compensate`, undo that.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"acquirer_user_id": 2, "order_id": 1, "crypto_amount": 3})))]
struct Withdrawal {
    acquirer_user_id: UserId,
    order_id: OrderId,
    #[schema(value_type = PositiveDecimal)]
    crypto_amount: DecimalText,
    #[serde(default)]
    compensate: bool,
    asset: Option<Asset>,
}

/// As [`Withdrawal`], with the source in it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"source_user_id": 1, "acquirer_user_id": 2, "order_id": 1, "crypto_amount": 3})))]
struct SourcedWithdrawal {
    source_user_id: UserId,
    acquirer_user_id: UserId,
    order_id: OrderId,
    #[schema(value_type = PositiveDecimal)]
    crypto_amount: DecimalText,
    #[serde(default)]
    compensate: bool,
    asset: Option<Asset>,
}

impl SourcedWithdrawal {
    /// `at` is the item's JSON pointer.
    fn command(&self, at: &str) -> Result<WithdrawCommand, Problem> {
        let amount = self
            .crypto_amount
            .amount(self.asset.unwrap_or(Asset::BTC))
            .map_err(|error| Problem::invalid(format!("{at}/crypto_amount"), error.to_string()))?;
        Ok(WithdrawCommand {
            order_id: self.order_id,
            source_user_id: self.source_user_id,
            acquirer_user_id: self.acquirer_user_id,
            amount,
            compensate: self.compensate,
        })
    }
}

/// Send crypto.
///
/// From the wallet of the path to the acquirer's; with `compensate`, undo that. The result comes as a message.
#[utoipa::path(post, path = "/withdraw/{user_id}", operation_id = "withdraw",
    params(("user_id" = i64, Path, minimum = 1, description = "The source: whose wallet it leaves.", example = 1)),
    request_body = Withdrawal,
    responses(
        (status = 202, description = "On disk, now or before.", body = Accepted,
            headers(("Idempotency-Replayed" = Option<String>, description = "There when it had been accepted before."))),
        answers::Conflict,
    ))]
async fn withdraw(
    State(gateway): State<Arc<dyn BcGateway>>,
    PathId(source_user_id): PathId<UserId>,
    body: JsonBody<Withdrawal>,
) -> Result<Response, Problem> {
    let Withdrawal {
        acquirer_user_id,
        order_id,
        crypto_amount,
        compensate,
        asset,
    } = body.value;
    let item = SourcedWithdrawal {
        source_user_id,
        acquirer_user_id,
        order_id,
        crypto_amount,
        compensate,
        asset,
    };
    let submissions = gateway.submit(vec![item.command("")?]).await?;
    let replayed = outcome(submissions.into_iter().next(), "")?;
    let mut response = (StatusCode::ACCEPTED, Json(Accepted::new(order_id))).into_response();
    if replayed {
        let replayed = HeaderValue::from_static("true");
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, replayed);
    }
    Ok(response)
}

/// Send crypto for many orders, 1 to 100.
#[utoipa::path(post, path = "/withdraw", operation_id = "withdraw_all", request_body = Vec<SourcedWithdrawal>,
    responses((status = 202, description = "An outcome each, in their order.", body = Vec<Outcome>)))]
async fn withdraw_many(
    State(gateway): State<Arc<dyn BcGateway>>,
    body: JsonBody<Vec<SourcedWithdrawal>, BATCH_BODY_LIMIT>,
) -> Result<Response, Problem> {
    let items = body.value;
    if items.is_empty() || items.len() > MAX_COMMANDS {
        return Err(Problem::invalid(
            "",
            format!("an array has 1 to {MAX_COMMANDS} commands"),
        ));
    }
    let commands: Vec<Result<WithdrawCommand, Problem>> = items
        .iter()
        .enumerate()
        .map(|(at, item)| item.command(&format!("/{at}")))
        .collect();
    let sound: Vec<_> = commands
        .iter()
        .filter_map(|command| command.as_ref().ok().cloned())
        .collect();
    let mut submissions = gateway.submit(sound).await?.into_iter();
    let mut outcomes = Vec::with_capacity(items.len());
    for (at, (item, command)) in items.iter().zip(commands).enumerate() {
        let outcome = command.and_then(|_| outcome(submissions.next(), &format!("/{at}")));
        outcomes.push(Outcome::new(item.order_id, outcome.err()));
    }
    Ok((StatusCode::ACCEPTED, Json(outcomes)).into_response())
}

/// Hand over commands, at most 100, as the port between services has them.
#[utoipa::path(post, path = "/commands", operation_id = "submit", request_body = Vec<WithdrawCommand>,
    responses((status = 202, description = "An outcome each, in their order.", body = Vec<Submission>)))]
async fn submit(
    State(gateway): State<Arc<dyn BcGateway>>,
    body: JsonBody<Vec<WithdrawCommand>, BATCH_BODY_LIMIT>,
) -> Result<Response, Problem> {
    if body.value.len() > MAX_COMMANDS {
        let detail = format!("an array has at most {MAX_COMMANDS} commands");
        return Err(Problem::invalid("", detail));
    }
    let outcomes = gateway.submit(body.value).await?;
    Ok((StatusCode::ACCEPTED, Json(outcomes)).into_response())
}

/// Whether an accepted command had been accepted before. `at` is the command's JSON pointer.
fn outcome(submission: Option<Submission>, at: &str) -> Result<bool, Problem> {
    match submission {
        Some(Submission::Accepted { replayed }) => Ok(replayed),
        Some(Submission::Conflict) => Err(Problem::new(ProblemCode::Conflict)
            .with_detail("there is another command for this order and step; it was not changed")),
        Some(Submission::Invalid { detail }) => Err(Problem::invalid(at, detail)),
        None => Err(Problem::internal("the store answered for fewer commands than it got")),
    }
}
