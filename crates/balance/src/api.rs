//! The internal routes. A handler extracts, asks the use case, and answers; who may call which route stands here, in
//! one table.

mod bodies;
mod problems;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use contracts::clients::{Opened, WalletBalances};
use contracts::ledger::{MAX_LINKED, MAX_POSTINGS, Posting, PostingOutcome, StatementLine};
use contracts::{Amount, Asset, ServiceName, UserId};
use service_kit::extract::{EmptyBody, IDEMPOTENCY_REPLAYED, IdempotencyKey, JsonBody, Page, PageQuery, PathId};
use service_kit::internal::{Allowed, Caller};
use service_kit::openapi::{Routes, answers, routes};
use service_kit::problem::{Problem, ProblemCode};

use self::bodies::{AdjustBody, AdjustedBody, WalletBody};
use self::problems::{adjust_problem, open_problem, post_problem, statement_problem, wallet_problem};
use crate::Service;
use crate::domain::RequestKey;
use crate::use_cases::{Reply, Signer, adjust_wallet, open_wallet, post_transfers, read_statement, read_wallet};

/// The most bytes of one transfer as JSON: its names, an amount of 128 bits, a reason of 200 bytes and an actor of
/// 64 make 600 at most, and twice that leaves room for escapes and white space.
const TRANSFER_BYTES: usize = 1_280;

/// The most bytes of a batch, about 1 MiB. The usual 16 KiB hold some forty postings, and a caller that has a hundred
/// must not have to guess how many fit.
const TRANSFERS_BODY_LIMIT: usize = MAX_POSTINGS * MAX_LINKED * TRANSFER_BYTES;

/// Opens, reads and lists wallets: the service that users talk to, and people.
const WALLET: &[Allowed] = &[Allowed::Service(ServiceName::Wallet), Allowed::Operator];

/// Reads a wallet or books: every service that moves money, and people.
const MOVERS: &[Allowed] = &[
    Allowed::Service(ServiceName::Wallet),
    Allowed::Service(ServiceName::Exchanger),
    Allowed::Service(ServiceName::BcGateway),
    Allowed::Operator,
];

pub(crate) fn routes(service: &Service) -> Routes {
    let tokens = Arc::clone(&service.parts.internal_tokens);
    let for_wallet = Routes::new().with(routes!(open, adjust)).with(routes!(list));
    let for_movers = Routes::new().with(routes!(read)).with(routes!(book));
    for_wallet
        .allowed(&tokens, WALLET)
        .merge(for_movers.allowed(&tokens, MOVERS))
        .with_state(service.clone())
}

/// Open a wallet.
#[utoipa::path(post, path = "/wallet/{user_id}", operation_id = "open_wallet",
    request_body = Option<EmptyBody>,
    responses((status = 201, description = "Opened, and empty.", body = WalletBody), answers::AlreadyExists))]
async fn open(
    State(service): State<Service>,
    PathId(user): PathId<UserId>,
    _: EmptyBody,
) -> Result<(StatusCode, Json<WalletBody>), Problem> {
    let opened = open_wallet(service.ledger(), service.clock(), user)
        .await
        .map_err(open_problem)?;
    match opened {
        Opened::Now => {
            let balances = vec![Amount::zero(Asset::BTC), Amount::zero(Asset::USD)];
            let wallet = WalletBalances {
                user_id: user,
                balances,
            };
            Ok((StatusCode::CREATED, Json(wallet.into())))
        }
        Opened::Before => {
            Err(Problem::new(ProblemCode::AlreadyExists).with_detail(format!("user {user} has a wallet")))
        }
    }
}

/// Read a wallet.
#[utoipa::path(get, path = "/wallet/{user_id}", operation_id = "read_wallet",
    responses((status = 200, description = "The wallet.", body = WalletBody), answers::NotFound))]
async fn read(State(service): State<Service>, PathId(user): PathId<UserId>) -> Result<Json<WalletBody>, Problem> {
    let wallet = read_wallet(service.ledger(), user).await.map_err(wallet_problem)?;
    Ok(Json(wallet.into()))
}

/// List a wallet's bookings, the newest first.
#[utoipa::path(get, path = "/wallet/{user_id}/transactions", operation_id = "list_transactions",
    params(PageQuery),
    responses((status = 200, description = "A page.", body = Page<StatementLine>), answers::NotFound))]
async fn list(
    State(service): State<Service>,
    PathId(user): PathId<UserId>,
    page: PageQuery,
) -> Result<Json<Page<StatementLine>>, Problem> {
    let lines = read_statement(service.ledger(), user, page.cursor, page.limit.rows())
        .await
        .map_err(statement_problem)?;
    Ok(Json(Page::cut(lines, page.limit, |line| line.entry_id)))
}

/// Correct a wallet by hand.
///
/// Either amount may be left out or negative, not both left out. What a user has never falls below zero.
#[utoipa::path(patch, path = "/wallet/{user_id}", operation_id = "adjust_wallet",
    params(IdempotencyKey), request_body = AdjustBody,
    responses(
        (status = 200, description = "Corrected.", body = AdjustedBody),
        answers::NotFound, answers::InsufficientFunds,
    ))]
async fn adjust(
    State(service): State<Service>,
    caller: Caller,
    PathId(user): PathId<UserId>,
    key: Option<IdempotencyKey>,
    body: JsonBody<AdjustBody>,
) -> Result<Response, Problem> {
    let request = key.map(|key| RequestKey {
        key: key.as_str().to_owned(),
        fingerprint: body.fingerprint.0,
    });
    let adjustment = body.value.adjustment(user, &caller, request)?;
    let corrected = adjust_wallet(service.ledger(), service.clock(), adjustment)
        .await
        .map_err(adjust_problem)?;
    let replayed = corrected.replayed;
    let mut response = Json(AdjustedBody::from(corrected)).into_response();
    if replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENCY_REPLAYED, axum::http::HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// Book transfers.
///
/// At most 100 postings, each booked as a whole or not at all; an outcome each, in their order. A transfer's id names it
/// for good: booked again with the same content it answers as the first time.
#[utoipa::path(post, path = "/transfers", operation_id = "post_transfers",
    request_body = Vec<Posting>,
    responses((status = 200, description = "An outcome each.", body = Vec<PostingOutcome>)))]
async fn book(
    State(service): State<Service>,
    caller: Caller,
    JsonBody { value: postings, .. }: JsonBody<Vec<Posting>, TRANSFERS_BODY_LIMIT>,
) -> Result<Json<Vec<PostingOutcome>>, Problem> {
    if postings.len() > MAX_POSTINGS {
        return Err(Problem::invalid(
            "",
            format!("at most {MAX_POSTINGS} postings are accepted at once"),
        ));
    }
    let name = caller.to_string();
    let signer = match caller {
        Caller::Service(_) => Signer::Service,
        Caller::Operator(_) => Signer::Operator(&name),
    };
    let outcomes = post_transfers(service.ledger(), service.clock(), signer, Reply::OnDisk, postings)
        .await
        .map_err(post_problem)?;
    Ok(Json(outcomes))
}
