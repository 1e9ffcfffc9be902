//! Deposits of fiat: `PATCH /wallet/{user_id}` by users, `POST /deposits/{user_id}` by operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use contracts::{Asset, UserId};
use service_kit::auth::AuthenticatedUser;
use service_kit::extract::{IdempotencyKey, JsonBody, PathId};
use service_kit::internal::Caller;
use service_kit::openapi::answers;
use service_kit::operators::{instruction, replayed_header};
use service_kit::problem::{Problem, ProblemCode};

use super::bodies::{BookDepositBody, DepositBody, DepositedBody, reference};
use super::{idempotency, problems};
use crate::Deposits;
use crate::domain::deposit::deposit_amount;
use crate::domain::{DepositStatus, InvalidTerms};
use crate::use_cases::Wallet;
use crate::use_cases::deposit::{DepositError, MakeDeposit, deposit};

/// Deposit fiat.
///
/// Where users book their own deposits; elsewhere 403, and the operator books what arrives.
#[utoipa::path(patch, path = "/wallet/{user_id}", operation_id = "deposit", tag = "wallet",
    params(IdempotencyKey), request_body = DepositBody,
    responses(
        (status = 200, description = "Booked.", body = DepositedBody, links(
            ("buy" = (operation_id = "buy", description = "Buy crypto with it.",
                parameters(("user_id" = "$request.path.user_id")))),
            ("read_wallet" = (operation_id = "read_wallet", description = "Look at it.",
                parameters(("user_id" = "$request.path.user_id")))),
        )),
        (status = 202, description = "Stored; it is booked by itself in a moment.", body = DepositedBody),
        answers::DepositsClosed, answers::NotFound, answers::Conflict,
    ))]
pub(super) async fn make(
    State(wallet): State<Arc<Wallet>>,
    AuthenticatedUser(user_id): AuthenticatedUser,
    key: Option<IdempotencyKey>,
    body: JsonBody<DepositBody>,
) -> Result<Response, Problem> {
    match wallet.ports.settings.deposits {
        Deposits::SelfService => {}
        Deposits::Operator => {
            let detail = "users cannot book deposits here (setting deposits=operator); the operator books what arrives";
            return Err(Problem::new(ProblemCode::DepositsClosed).with_detail(detail));
        }
    }
    let DepositBody {
        fiat_amount,
        currency,
        client_reference,
    } = body.value;
    let amount = deposit_amount(currency.unwrap_or(Asset::USD), &fiat_amount).map_err(problems::invalid)?;
    let request = MakeDeposit {
        user_id,
        amount,
        reference: reference(client_reference).map_err(problems::invalid)?,
        idempotency: idempotency(key, body.fingerprint),
        instruction: None,
    };
    make_and_answer(&wallet, request).await.map_err(problems::deposit)
}

/// Book a payment that arrived.
///
/// Its reference names it: the same reference for the same user is the same payment, booked once. 409 where the user has
/// a deposit of this reference that is not this payment: one of another amount, or one that they made themselves.
#[utoipa::path(post, path = "/deposits/{user_id}", operation_id = "book_deposit",
    request_body = BookDepositBody,
    responses(
        (status = 200, description = "Booked.", body = DepositedBody),
        (status = 202, description = "Stored; it is booked by itself in a moment.", body = DepositedBody),
        answers::NotFound, answers::Conflict,
    ))]
pub(super) async fn book(
    State(wallet): State<Arc<Wallet>>,
    PathId(user_id): PathId<UserId>,
    caller: Caller,
    body: JsonBody<BookDepositBody>,
) -> Result<Response, Problem> {
    let BookDepositBody {
        fiat_amount,
        currency,
        reference: name,
        reason,
    } = body.value;
    if user_id == UserId::HOT_WALLET {
        return Err(Problem::invalid(
            "",
            "the hot wallet is funded from the treasury, by corrections",
        ));
    }
    let wrong = |error: InvalidTerms| Problem::invalid("/reference", error.detail);
    let request = MakeDeposit {
        user_id,
        amount: deposit_amount(currency.unwrap_or(Asset::USD), &fiat_amount).map_err(problems::invalid)?,
        reference: reference(Some(name)).map_err(wrong)?,
        idempotency: None,
        instruction: Some(instruction(&caller, "/reason", &reason)?),
    };
    make_and_answer(&wallet, request).await.map_err(problems::booking)
}

/// A repetition tells how far the deposit is by now: 202 may become 200, and never the other way round.
async fn make_and_answer(wallet: &Wallet, request: MakeDeposit) -> Result<Response, DepositError> {
    let made = deposit(wallet, request).await?;
    let status = match made.deposit.status {
        DepositStatus::Booked => StatusCode::OK,
        DepositStatus::Pending => StatusCode::ACCEPTED,
    };
    let headers = replayed_header(made.replayed);
    Ok((status, headers, Json(DepositedBody::from(made.deposit))).into_response())
}
