//! `/sagas/{order_id}`, for operators: look at one, try its step again, say what became of an attempt.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use contracts::messages::Step;
use contracts::money::DecimalText;
use contracts::operators::{
    Act, ChainRuling, ChainVerdict, Instruction, ReportedFill, Retried, StepView, VenueRuling, VenueVerdict,
};
use contracts::{OrderId, Price};
use serde::{Deserialize, Serialize};
use service_kit::extract::{BATCH_BODY_LIMIT, JsonBody, PathId};
use service_kit::internal::Caller;
use service_kit::openapi::answers;
use service_kit::operators::{ReasonBody, instruction, replayed_header};
use service_kit::problem::Problem;
use utoipa::ToSchema;

use super::bodies::SagaBody;
use super::problems;
use crate::domain::{OrderState, Terms};
use crate::use_cases::Wallet;
use crate::use_cases::read_saga::read_saga;
use crate::use_cases::resolve_saga::{Ruling, resolve_saga};
use crate::use_cases::retry_saga::retry_saga;

/// A saga with everything that is known of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SagaDetail)]
pub(super) struct SagaDetailBody {
    #[serde(flatten)]
    saga: SagaBody,
    /// Its current step, as the service that does it has it; `null` while the ledger is at it, at an end, and when the
    /// service does not answer.
    step: Option<StepView>,
    acts: Vec<Act>,
}

/// What a retry did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetriedSaga, examples(json!({"order_id": 1, "state": "exchanging", "did": "made_due"})))]
pub(super) struct RetriedBody {
    order_id: OrderId,
    state: OrderState,
    did: Did,
}

/// What a retry did, in a word.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Did {
    /// Nothing: the order is at its end.
    Nothing,
    /// The current step is issued again now.
    MadeDue,
    /// And what had given up on it tries again.
    Reopened,
}

/// What became of an attempt. Which other fields there have to be follows from `outcome`, and no others may be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Resolution, examples(json!({"outcome": "not_executed", "attempt": "cambist-7f3a09c1-1-exchange-1",
    "evidence": "the venue's support says so, ticket 4711"})))]
pub(super) struct ResolveBody {
    outcome: Outcome,
    attempt: Option<String>,
    fills: Option<Vec<FillBody>>,
    venue_reference: Option<String>,
    transaction: Option<String>,
    /// By which evidence.
    #[schema(min_length = 1, max_length = 500)]
    evidence: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ResolutionOutcome)]
enum Outcome {
    Executed,
    NotExecuted,
    Confirmed,
    NeverConfirms,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Fill)]
struct FillBody {
    quantity: DecimalText,
    price: DecimalText,
    fee: Option<DecimalText>,
}

/// The answer to a ruling: it is recorded, and the saga goes on by itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ResolvedSaga, examples(json!({"order_id": 1, "status": "recorded"})))]
pub(super) struct ResolvedBody {
    order_id: OrderId,
    #[schema(pattern = "^recorded$")]
    status: &'static str,
}

/// Read a saga with everything that is known of it.
#[utoipa::path(get, path = "/sagas/{order_id}", operation_id = "read_saga",
    responses((status = 200, description = "The saga.", body = SagaDetailBody), answers::NotFound))]
pub(super) async fn read(
    State(wallet): State<Arc<Wallet>>,
    PathId(id): PathId<OrderId>,
) -> Result<Json<SagaDetailBody>, Problem> {
    let found = read_saga(&wallet, id).await.map_err(problems::store)?;
    let (record, step) = found.ok_or_else(problems::no_saga)?;
    Ok(Json(SagaDetailBody {
        saga: SagaBody::with_events(record.order, record.log),
        step,
        acts: record.acts,
    }))
}

/// Try a saga's step again at once.
#[utoipa::path(post, path = "/sagas/{order_id}/retry", operation_id = "retry_saga",
    request_body = ReasonBody,
    responses((status = 202, description = "What it did.", body = RetriedBody), answers::NotFound))]
pub(super) async fn retry(
    State(wallet): State<Arc<Wallet>>,
    PathId(order_id): PathId<OrderId>,
    caller: Caller,
    body: JsonBody<ReasonBody>,
) -> Result<(StatusCode, Json<RetriedBody>), Problem> {
    let instruction = instruction(&caller, "/reason", &body.value.reason)?;
    let retried = retry_saga(&wallet, order_id, instruction).await?;
    let (order, retried) = retried.ok_or_else(problems::no_saga)?;
    let state = order.saga.state;
    let did = match retried {
        _ if state.is_end() => Did::Nothing,
        Some(Retried::Reopened) => Did::Reopened,
        Some(Retried::Nudged | Retried::Unknown) | None => Did::MadeDue,
    };
    let body = RetriedBody { order_id, state, did };
    Ok((StatusCode::ACCEPTED, Json(body)))
}

/// Say what became of an attempt.
///
/// Recorded in the service that made it; the saga goes on by that service's result. Which fields there must be follows from
/// `outcome`: `executed` needs `attempt`, `fills` and `venue_reference`; `not_executed` needs `attempt`; `confirmed` needs
/// `transaction`; `never_confirms` needs none.
#[utoipa::path(post, path = "/sagas/{order_id}/resolve", operation_id = "resolve_saga",
    request_body = ResolveBody,
    responses(
        (status = 202, description = "Recorded.", body = ResolvedBody),
        answers::NotFound, answers::Conflict,
    ))]
pub(super) async fn resolve(
    State(wallet): State<Arc<Wallet>>,
    PathId(order_id): PathId<OrderId>,
    caller: Caller,
    body: JsonBody<ResolveBody, BATCH_BODY_LIMIT>,
) -> Result<(StatusCode, HeaderMap, Json<ResolvedBody>), Problem> {
    let instruction = instruction(&caller, "/evidence", &body.value.evidence)?;
    let record = wallet.ports.orders.saga(order_id).await.map_err(problems::store)?;
    let order = record.ok_or_else(problems::no_saga)?.order;
    let ruling = ruling(order_id, &order.saga.terms, body.value, &instruction)?;
    let replayed = resolve_saga(&wallet, ruling).await.map_err(problems::resolve)?;
    let status = "recorded";
    let body = ResolvedBody { order_id, status };
    Ok((StatusCode::ACCEPTED, replayed_header(replayed), Json(body)))
}

fn ruling(order_id: OrderId, terms: &Terms, body: ResolveBody, instruction: &Instruction) -> Result<Ruling, Problem> {
    let ResolveBody {
        outcome,
        attempt,
        fills,
        venue_reference,
        transaction,
        evidence: _,
    } = body;
    let needed = match outcome {
        Outcome::Executed => ["attempt", "fills", "venue_reference"].as_slice(),
        Outcome::NotExecuted => &["attempt"],
        Outcome::Confirmed => &["transaction"],
        Outcome::NeverConfirms => &[],
    };
    let given = [
        ("attempt", attempt.is_some()),
        ("fills", fills.is_some()),
        ("venue_reference", venue_reference.is_some()),
        ("transaction", transaction.is_some()),
    ];
    for (field, given) in given {
        match (needed.contains(&field), given) {
            (true, false) => return Err(Problem::invalid(format!("/{field}"), "required for this outcome")),
            (false, true) => return Err(Problem::invalid(format!("/{field}"), "to be left out for this outcome")),
            (true, true) | (false, false) => {}
        }
    }
    let venue = |verdict| {
        Ruling::Venue(VenueRuling {
            order_id,
            attempt: attempt.unwrap_or_default(),
            verdict,
            instruction: instruction.clone(),
        })
    };
    let chain = |verdict| {
        Ruling::Chain(ChainRuling {
            order_id,
            step: Step::Withdraw,
            verdict,
            instruction: instruction.clone(),
        })
    };
    Ok(match outcome {
        Outcome::Executed => venue(VenueVerdict::Executed {
            fills: reported(fills.unwrap_or_default(), terms)?,
            venue_reference: venue_reference.unwrap_or_default(),
        }),
        Outcome::NotExecuted => venue(VenueVerdict::NotExecuted {}),
        Outcome::Confirmed => chain(ChainVerdict::Confirmed {
            transaction: transaction.unwrap_or_default(),
        }),
        Outcome::NeverConfirms => chain(ChainVerdict::NeverConfirms {}),
    })
}

fn reported(fills: Vec<FillBody>, terms: &Terms) -> Result<Vec<ReportedFill>, Problem> {
    let fill = |(at, fill): (usize, FillBody)| {
        let wrong = |field: &str, error: String| Problem::invalid(format!("/fills/{at}/{field}"), error);
        let fee = fill.fee.map_or_else(
            || Ok(contracts::Amount::zero(terms.currency)),
            |fee| fee.amount(terms.currency),
        );
        Ok(ReportedFill {
            quantity: fill
                .quantity
                .amount(terms.asset)
                .map_err(|error| wrong("quantity", error.to_string()))?,
            price: Price::parse(fill.price.text()).map_err(|error| wrong("price", error.to_string()))?,
            fee: fee.map_err(|error| wrong("fee", error.to_string()))?,
        })
    };
    fills.into_iter().enumerate().map(fill).collect()
}
