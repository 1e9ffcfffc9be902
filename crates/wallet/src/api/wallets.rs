//! `GET` and `POST /wallet/{user_id}`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use contracts::clients::Opened;
use service_kit::auth::AuthenticatedUser;
use service_kit::extract::EmptyBody;
use service_kit::openapi::answers;
use service_kit::problem::{Problem, ProblemCode};

use super::bodies::{OpenedBody, WalletBody};
use super::problems;
use crate::use_cases::Wallet;
use crate::use_cases::open_wallet::open_wallet;
use crate::use_cases::read_wallet::read_wallet;

/// Read the wallet.
#[utoipa::path(get, path = "/wallet/{user_id}", operation_id = "read_wallet", tag = "wallet",
    responses((status = 200, description = "The wallet.", body = WalletBody), answers::NotFound))]
pub(super) async fn read(
    State(wallet): State<Arc<Wallet>>,
    AuthenticatedUser(user): AuthenticatedUser,
) -> Result<Json<WalletBody>, Problem> {
    let balances = read_wallet(&wallet, user).await?.ok_or_else(problems::no_wallet)?;
    Ok(Json(balances.into()))
}

/// Open the wallet.
#[utoipa::path(post, path = "/wallet/{user_id}", operation_id = "open_wallet", tag = "wallet",
    request_body = Option<EmptyBody>,
    responses(
        (status = 201, description = "Opened, and empty.", body = OpenedBody, links(
            ("deposit" = (operation_id = "deposit", description = "Pay in.",
                parameters(("user_id" = "$response.body#/user_id")))),
            ("read_wallet" = (operation_id = "read_wallet", description = "Look at it.",
                parameters(("user_id" = "$response.body#/user_id")))),
        )),
        answers::AlreadyExists,
    ))]
pub(super) async fn open(
    State(wallet): State<Arc<Wallet>>,
    AuthenticatedUser(user_id): AuthenticatedUser,
    _: EmptyBody,
) -> Result<(StatusCode, Json<OpenedBody>), Problem> {
    match open_wallet(&wallet, user_id).await? {
        Opened::Now => Ok((StatusCode::CREATED, Json(OpenedBody { user_id }))),
        Opened::Before => Err(Problem::new(ProblemCode::AlreadyExists).with_detail("the user has a wallet already")),
    }
}
