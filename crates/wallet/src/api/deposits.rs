//! `PATCH /wallet/{user_id}`: a deposit of fiat.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use contracts::Asset;
use service_kit::auth::AuthenticatedUser;
use service_kit::extract::{IdempotencyKey, JsonBody};
use service_kit::problem::{Problem, ProblemCode};

use super::bodies::{DepositBody, DepositedBody, reference};
use super::{idempotency, problems, replayed_header};
use crate::Deposits;
use crate::domain::DepositStatus;
use crate::domain::deposit::deposit_amount;
use crate::use_cases::Wallet;
use crate::use_cases::deposit::{MakeDeposit, deposit};

/// 200 when it is booked; 202 when the ledger has not answered yet: it will be booked by itself.
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
    };
    let made = deposit(&wallet, request).await.map_err(problems::deposit)?;
    let status = match made.deposit.status {
        DepositStatus::Booked => StatusCode::OK,
        DepositStatus::Pending => StatusCode::ACCEPTED,
    };
    let headers = replayed_header(made.replayed);
    Ok((status, headers, Json(DepositedBody::from(made.deposit))).into_response())
}
