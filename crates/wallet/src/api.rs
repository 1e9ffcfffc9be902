//! HTTP: extract, ask the use case, answer. Admission comes first, then the token, then the body.

mod bodies;
mod csv;
mod deposits;
mod events;
mod orders;
mod problems;
mod sagas;
mod transactions;
mod wallets;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use service_kit::auth::protect;
use service_kit::extract::{Fingerprint, IDEMPOTENCY_REPLAYED, IdempotencyKey};
use service_kit::internal::{Allowed, allow};
use service_kit::problem::Problem;
use std::time::Duration;

use crate::ports::Idempotency;
use crate::use_cases::Wallet;
use crate::use_cases::admit::Admission;

/// When a client that was turned away may come back.
const COME_BACK_AFTER: Duration = Duration::from_secs(1);

/// The routes of users.
pub(crate) fn public_routes(wallet: &Arc<Wallet>) -> Router {
    let verifier = &wallet.ports.verifier;
    let orders = Router::new()
        .route("/buy/{user_id}", post(orders::buy))
        .route("/sell/{user_id}", post(orders::sell));
    // Layers run from the last to the first: a full process does not even look at the token.
    let orders = protect(orders, verifier).route_layer(from_fn_with_state(Arc::clone(&wallet.admission), admit));
    let others = Router::new()
        .route(
            "/wallet/{user_id}",
            get(wallets::read).post(wallets::open).patch(deposits::make),
        )
        .route("/wallet/{user_id}/transactions", get(transactions::list))
        .route("/orders/{user_id}", get(orders::list))
        .route("/orders/{user_id}/{order_id}", get(orders::read))
        .route("/orders/{user_id}/{order_id}/events", get(events::follow));
    protect(others, verifier).merge(orders).with_state(Arc::clone(wallet))
}

/// The routes of operators.
pub(crate) fn internal_routes(wallet: &Arc<Wallet>) -> Router {
    let sagas = Router::new().route("/sagas", get(sagas::list));
    allow(sagas, &wallet.ports.internal_tokens, &[Allowed::Operator]).with_state(Arc::clone(wallet))
}

/// Reserves a place for the order that the request may become, or turns it away unseen.
async fn admit(State(admission): State<Arc<Admission>>, mut request: Request, next: Next) -> Response {
    let Some(place) = admission.admit() else {
        return Problem::overloaded(COME_BACK_AFTER).into_response();
    };
    request.extensions_mut().insert(Arc::new(place));
    next.run(request).await
}

/// The request's name as the store keeps it.
fn idempotency(key: Option<IdempotencyKey>, fingerprint: Fingerprint) -> Option<Idempotency> {
    key.map(|key| Idempotency {
        key: key.as_str().to_owned(),
        fingerprint: fingerprint.0,
    })
}

/// Says that the answer is that of an earlier request.
fn replayed_header(replayed: bool) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    headers
}
