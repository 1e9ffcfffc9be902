//! HTTP: extract, ask the use case, answer. Admission comes first, then the token, then the body.

mod bodies;
mod csv;
mod deposits;
mod events;
mod freezes;
mod orders;
mod problems;
mod resolve;
mod sagas;
mod schema;
mod transactions;
mod wallets;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use service_kit::auth::identify;
use service_kit::extract::{Fingerprint, IdempotencyKey};
use service_kit::internal::Allowed;
use service_kit::openapi::{Routes, routes};
use service_kit::problem::{Problem, ProblemCode};
use std::time::Duration;

use crate::ports::Idempotency;
use crate::use_cases::Wallet;

/// When a client that was turned away may come back.
const COME_BACK_AFTER: Duration = Duration::from_secs(1);

/// The routes of users.
pub(crate) fn public_routes(wallet: &Arc<Wallet>) -> Routes {
    let orders = Routes::new()
        .with(routes!(orders::buy))
        .with(routes!(orders::sell))
        .protected_by(&[ProblemCode::UserFrozen, ProblemCode::Overloaded], |router| {
            router.route_layer(from_fn_with_state(Arc::clone(wallet), admit))
        });
    Routes::new()
        .with(routes!(wallets::read, wallets::open, deposits::make))
        .with(routes!(transactions::list))
        .with(routes!(orders::list))
        .with(routes!(orders::read))
        .with(routes!(events::follow))
        .protected_by(&[ProblemCode::UserFrozen], |router| {
            router.route_layer(from_fn_with_state(Arc::clone(wallet), enter))
        })
        .merge(orders)
        .with_state(Arc::clone(wallet))
}

/// The routes of operators.
pub(crate) fn internal_routes(wallet: &Arc<Wallet>) -> Routes {
    Routes::new()
        .with(routes!(sagas::list))
        .with(routes!(resolve::read))
        .with(routes!(resolve::retry))
        .with(routes!(resolve::resolve))
        .with(routes!(freezes::list))
        .with(routes!(freezes::read, freezes::create))
        .with(routes!(freezes::lift))
        .with(routes!(deposits::book))
        .allowed(&wallet.ports.internal_tokens, &[Allowed::Operator])
        .with_state(Arc::clone(wallet))
}

/// Reserves a place for the order that the request may become, or turns it away unseen: a full process does not even look
/// at the token.
async fn admit(State(wallet): State<Arc<Wallet>>, mut request: Request, next: Next) -> Response {
    let Some(place) = wallet.admission.admit().await else {
        return Problem::overloaded(COME_BACK_AFTER).into_response();
    };
    request.extensions_mut().insert(Arc::new(place));
    enter(State(wallet), request, next).await
}

/// Lets the user of the path in, unless they are frozen: only who has the right token learns that.
async fn enter(State(wallet): State<Arc<Wallet>>, mut request: Request, next: Next) -> Response {
    let user = match identify(&wallet.ports.verifier, &mut request).await {
        Ok(user) => user,
        Err(problem) => return problem.into_response(),
    };
    match wallet.ports.freezes.is_frozen(user).await {
        Ok(false) => next.run(request).await,
        Ok(true) => Problem::new(ProblemCode::UserFrozen).into_response(),
        Err(error) => problems::store(error).into_response(),
    }
}

/// The request's name as the store keeps it.
fn idempotency(key: Option<IdempotencyKey>, fingerprint: Fingerprint) -> Option<Idempotency> {
    key.map(|key| Idempotency {
        key: key.as_str().to_owned(),
        fingerprint: fingerprint.0,
    })
}
