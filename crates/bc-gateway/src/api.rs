//! The internal routes: commands to send crypto, one or many.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use contracts::clients::{BcGateway, MAX_COMMANDS, Submission, WithdrawCommand};
use contracts::money::DecimalText;
use contracts::{Asset, OrderId, ServiceName, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use service_kit::extract::{BATCH_BODY_LIMIT, JsonBody, PathId};
use service_kit::internal::{Allowed, InternalTokens, allow};
use service_kit::problem::{Problem, ProblemCode};

/// Who may send crypto around.
const CALLERS: &[Allowed] = &[Allowed::Service(ServiceName::Wallet), Allowed::Operator];

/// `POST /withdraw/{user_id}`, and `POST /withdraw` for many.
pub(crate) fn internal_routes(gateway: Arc<dyn BcGateway>, tokens: &Arc<InternalTokens>) -> Router {
    let routes = Router::new()
        .route("/withdraw/{user_id}", post(withdraw))
        .route("/withdraw", post(withdraw_many))
        .with_state(gateway);
    allow(routes, tokens, CALLERS)
}

/// From the wallet of the path to the acquirer's; with `compensate`, undo that.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Withdrawal {
    acquirer_user_id: UserId,
    order_id: OrderId,
    crypto_amount: DecimalText,
    #[serde(default)]
    compensate: bool,
    asset: Option<Asset>,
}

/// As [`Withdrawal`], with the source in it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourcedWithdrawal {
    source_user_id: UserId,
    acquirer_user_id: UserId,
    order_id: OrderId,
    crypto_amount: DecimalText,
    #[serde(default)]
    compensate: bool,
    asset: Option<Asset>,
}

impl SourcedWithdrawal {
    /// `at` is the item's JSON pointer.
    fn into_command(self, at: &str) -> Result<WithdrawCommand, Problem> {
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

/// 202 when it is stored (it was before: `replayed`), 409 when the order's step is stored with other content, 422 when
/// it makes no sense.
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
    let outcome = gateway.submit(vec![item.into_command("")?]).await?.into_iter().next();
    let outcome = outcome.ok_or_else(|| Problem::internal("a submission without an outcome"))?;
    let accepted = to_answer(order_id, outcome, "")?;
    Ok((StatusCode::ACCEPTED, Json(accepted)).into_response())
}

/// 200 with an outcome for each, in their order: as the single form's body, or its problem.
async fn withdraw_many(
    State(gateway): State<Arc<dyn BcGateway>>,
    body: JsonBody<Vec<SourcedWithdrawal>, BATCH_BODY_LIMIT>,
) -> Result<Json<Value>, Problem> {
    let items = body.value;
    if items.is_empty() || items.len() > MAX_COMMANDS {
        return Err(Problem::invalid(
            "",
            format!("1 to {MAX_COMMANDS} commands come in one call"),
        ));
    }
    let mut orders = Vec::with_capacity(items.len());
    let mut commands = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        let order_id = item.order_id;
        let refused = match item.into_command(&format!("/{at}")) {
            Ok(command) => {
                commands.push(command);
                None
            }
            Err(problem) => Some(problem),
        };
        orders.push((order_id, refused));
    }
    let mut submissions = gateway.submit(commands).await?.into_iter();
    let mut outcomes = Vec::with_capacity(orders.len());
    for (at, (order_id, refused)) in orders.into_iter().enumerate() {
        let answer = match refused {
            Some(problem) => Err(problem.with_extension("order_id", order_id.get())),
            None => {
                let submission = submissions.next();
                let submission = submission.ok_or_else(|| Problem::internal("a submission without an outcome"))?;
                to_answer(order_id, submission, &format!("/{at}"))
            }
        };
        outcomes.push(answer.unwrap_or_else(|problem| problem.to_json()));
    }
    Ok(Json(json!({ "outcomes": outcomes })))
}

fn to_answer(order_id: OrderId, outcome: Submission, at: &str) -> Result<Value, Problem> {
    let refused = match outcome {
        Submission::Accepted { replayed } => {
            return Ok(json!({"order_id": order_id, "outcome": "accepted", "replayed": replayed}));
        }
        Submission::Conflict => {
            Problem::new(ProblemCode::Conflict).with_detail("this step of the order was asked for with other content")
        }
        Submission::Invalid { detail } => Problem::invalid(at, detail),
    };
    Err(refused.with_extension("order_id", order_id.get()))
}
