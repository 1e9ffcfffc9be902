//! What other services and operators may ask.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use contracts::clients::User;
use contracts::{ServiceName, UserId};
use service_kit::extract::PathId;
use service_kit::internal::{Allowed, InternalTokens, allow};
use service_kit::problem::Problem;

use super::public::jwks;
use crate::Parts;

const CALLERS: &[Allowed] = &[Allowed::Service(ServiceName::Wallet), Allowed::Operator];

pub(crate) fn routes(parts: Arc<Parts>, tokens: &Arc<InternalTokens>) -> Router {
    let routes = Router::new()
        .route("/user/{user_id}", get(user))
        .route("/.well-known/jwks.json", get(jwks));
    allow(routes, tokens, CALLERS).with_state(parts)
}

async fn user(State(parts): State<Arc<Parts>>, PathId(id): PathId<UserId>) -> Result<Json<User>, Problem> {
    let user = parts.users.user(id).await.map_err(super::problems::store)?;
    user.map(Json)
        .ok_or_else(|| Problem::not_found(format!("there is no user {id}")))
}
