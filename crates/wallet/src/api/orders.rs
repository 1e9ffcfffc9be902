//! `/buy`, `/sell`, and the orders as lists and one by one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use contracts::clients::Side;
use contracts::money::DecimalText;
use contracts::{Asset, OrderId};
use serde::Deserialize;
use service_kit::auth::AuthenticatedUser;
use service_kit::extract::{IdempotencyKey, JsonBody, Page, PageLimit, PageQuery, PathId, QueryParams};
use service_kit::problem::{Problem, ProblemCode};

use super::bodies::{AcceptedBody, BuyBody, OrderBody, SellBody, reference};
use super::{idempotency, problems, replayed_header};
use crate::domain::{OrderStatus, Terms};
use crate::ports::Idempotency;
use crate::use_cases::Wallet;
use crate::use_cases::admit::Place;
use crate::use_cases::list_orders::{list_named, list_orders};
use crate::use_cases::place_order::{PlaceOrder, place_order};
use crate::use_cases::read_order::read_order;

/// `POST /buy/{user_id}`
pub(super) async fn buy(
    State(wallet): State<Arc<Wallet>>,
    AuthenticatedUser(user_id): AuthenticatedUser,
    Extension(place): Extension<Arc<Place>>,
    key: Option<IdempotencyKey>,
    body: JsonBody<BuyBody>,
) -> Result<Response, Problem> {
    let BuyBody {
        fiat_amount,
        asset,
        currency,
        client_reference,
    } = body.value;
    let terms = terms(Side::Buy, asset, currency, &fiat_amount)?;
    let client_reference = reference(client_reference).map_err(problems::invalid)?;
    let idempotency = idempotency(key, body.fingerprint);
    place_and_answer(&wallet, place, order(user_id, terms, client_reference, idempotency)).await
}

/// `POST /sell/{user_id}`
pub(super) async fn sell(
    State(wallet): State<Arc<Wallet>>,
    AuthenticatedUser(user_id): AuthenticatedUser,
    Extension(place): Extension<Arc<Place>>,
    key: Option<IdempotencyKey>,
    body: JsonBody<SellBody>,
) -> Result<Response, Problem> {
    let SellBody {
        crypto_amount,
        asset,
        currency,
        client_reference,
    } = body.value;
    let terms = terms(Side::Sell, asset, currency, &crypto_amount)?;
    let client_reference = reference(client_reference).map_err(problems::invalid)?;
    let idempotency = idempotency(key, body.fingerprint);
    place_and_answer(&wallet, place, order(user_id, terms, client_reference, idempotency)).await
}

/// Which orders: all, or the one of a client reference.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OrdersQuery {
    client_reference: Option<String>,
    #[serde(default)]
    limit: PageLimit,
    cursor: Option<i64>,
}

/// `GET /orders/{user_id}`
pub(super) async fn list(
    State(wallet): State<Arc<Wallet>>,
    AuthenticatedUser(user): AuthenticatedUser,
    QueryParams(query): QueryParams<OrdersQuery>,
) -> Result<Json<Page<OrderBody>>, Problem> {
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let named = reference(query.client_reference)
        .map_err(|error| Problem::new(ProblemCode::MalformedQuery).with_detail(error.to_string()))?;
    let page = match named {
        Some(reference) => list_named(&wallet, user, reference, page).await,
        None => list_orders(&wallet, user, page).await,
    };
    let page = page.map_err(problems::store)?;
    Ok(Json(page.map(OrderBody::from)))
}

/// `GET /orders/{user_id}/{order_id}`
pub(super) async fn read(
    State(wallet): State<Arc<Wallet>>,
    AuthenticatedUser(user): AuthenticatedUser,
    PathId(id): PathId<OrderId>,
) -> Result<Json<OrderBody>, Problem> {
    let found = read_order(&wallet, user, id).await.map_err(problems::store)?;
    let (order, log) = found.ok_or_else(problems::no_order)?;
    Ok(Json(OrderBody::with_events(order, log)))
}

fn terms(side: Side, asset: Option<Asset>, currency: Option<Asset>, amount: &DecimalText) -> Result<Terms, Problem> {
    let asset = asset.unwrap_or(Asset::BTC);
    let currency = currency.unwrap_or(Asset::USD);
    Terms::try_new(side, asset, currency, amount).map_err(problems::invalid)
}

fn order(
    user_id: contracts::UserId,
    terms: Terms,
    client_reference: Option<String>,
    idempotency: Option<Idempotency>,
) -> PlaceOrder {
    PlaceOrder {
        user_id,
        terms,
        client_reference,
        idempotency,
    }
}

async fn place_and_answer(wallet: &Wallet, place: Arc<Place>, order: PlaceOrder) -> Result<Response, Problem> {
    let placed = place_order(wallet, place, order).await.map_err(problems::place_order)?;
    let headers = replayed_header(placed.replayed);
    if placed.refused {
        let refusal = Problem::new(ProblemCode::InsufficientFunds).with_extension("order_id", placed.order_id.get());
        return Ok((headers, refusal).into_response());
    }
    let body = AcceptedBody {
        order_id: placed.order_id,
        status: OrderStatus::Pending,
    };
    Ok((StatusCode::ACCEPTED, headers, Json(body)).into_response())
}
