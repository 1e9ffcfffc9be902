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
use service_kit::openapi::answers;
use service_kit::operators::replayed_header;
use service_kit::problem::{Problem, ProblemCode};

use super::bodies::{AcceptedBody, BuyBody, OrderBody, SellBody, reference};
use super::{idempotency, problems};
use crate::domain::{OrderStatus, Terms};
use crate::ports::{Idempotency, NewOrder};
use crate::use_cases::Wallet;
use crate::use_cases::admit::Place;
use crate::use_cases::list_orders::{list_named, list_orders};
use crate::use_cases::place_order::place_order;
use crate::use_cases::read_order::read_order;

/// Buy crypto.
///
/// Accepted orders come to an end by themselves: completed with what was filled and charged, or failed with the user
/// exactly where they were. An order that is refused for lack of funds is listed as failed.
#[utoipa::path(post, path = "/buy/{user_id}", operation_id = "buy", tag = "orders",
    params(IdempotencyKey), request_body = BuyBody,
    responses(
        (status = 202, description = "Accepted.", body = AcceptedBody, links(
            ("read_order" = (operation_id = "read_order", description = "How is it?",
                parameters(("user_id" = "$request.path.user_id"), ("order_id" = "$response.body#/order_id")))),
            ("follow_order" = (operation_id = "follow_order", description = "Tell me as it goes.",
                parameters(("user_id" = "$request.path.user_id"), ("order_id" = "$response.body#/order_id")))),
            ("list_orders" = (operation_id = "list_orders", description = "All orders.",
                parameters(("user_id" = "$request.path.user_id")))),
            ("list_transactions" = (operation_id = "list_transactions", description = "What was booked.",
                parameters(("user_id" = "$request.path.user_id")))),
            ("sell" = (operation_id = "sell", description = "Sell some of it.",
                parameters(("user_id" = "$request.path.user_id")))),
        )),
        answers::NotFound, answers::Conflict, answers::InsufficientFunds,
    ))]
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

/// Sell crypto.
///
/// As a buy.
#[utoipa::path(post, path = "/sell/{user_id}", operation_id = "sell", tag = "orders",
    params(IdempotencyKey), request_body = SellBody,
    responses(
        (status = 202, description = "Accepted.", body = AcceptedBody, links(
            ("read_order" = (operation_id = "read_order", description = "How is it?",
                parameters(("user_id" = "$request.path.user_id"), ("order_id" = "$response.body#/order_id")))),
        )),
        answers::NotFound, answers::Conflict, answers::InsufficientFunds,
    ))]
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
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct OrdersQuery {
    /// Only the order of this name.
    #[param(
        min_length = 1,
        max_length = 64,
        pattern = "^[^\\s\\x00-\\x1f\\x7f-\\x9f]([^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f])?$"
    )]
    client_reference: Option<String>,
    /// How many items.
    #[serde(default)]
    #[param(inline)]
    limit: PageLimit,
    /// The `next_cursor` of the page before; none for the first page.
    cursor: Option<i64>,
}

/// List the orders, the newest first.
#[utoipa::path(get, path = "/orders/{user_id}", operation_id = "list_orders", tag = "orders",
    params(OrdersQuery),
    responses((status = 200, description = "A page.", body = Page<OrderBody>)))]
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

/// Read an order with its log.
#[utoipa::path(get, path = "/orders/{user_id}/{order_id}", operation_id = "read_order", tag = "orders",
    responses((status = 200, description = "The order.", body = OrderBody), answers::NotFound))]
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
) -> NewOrder {
    NewOrder {
        user_id,
        terms,
        client_reference,
        idempotency,
    }
}

async fn place_and_answer(wallet: &Wallet, place: Arc<Place>, order: NewOrder) -> Result<Response, Problem> {
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
