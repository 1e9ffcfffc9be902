//! What other services and operators may ask.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use contracts::clients::User;
use contracts::{ServiceName, UserId};
use service_kit::extract::PathId;
use service_kit::internal::{Allowed, InternalTokens};
use service_kit::openapi::{Routes, answers, routes};
use service_kit::problem::Problem;

use super::public::{__path_jwks, jwks};
use crate::Parts;

const CALLERS: &[Allowed] = &[Allowed::Service(ServiceName::Wallet), Allowed::Operator];

pub(crate) fn routes(parts: Arc<Parts>, tokens: &Arc<InternalTokens>) -> Routes {
    Routes::new()
        .with(routes!(user))
        .with(routes!(jwks))
        .allowed(tokens, CALLERS)
        .with_state(parts)
}

/// A user's data, never the password's hash.
#[utoipa::path(get, path = "/user/{user_id}", operation_id = "read_user",
    responses((status = 200, description = "The user.", body = User), answers::NotFound))]
async fn user(State(parts): State<Arc<Parts>>, PathId(id): PathId<UserId>) -> Result<Json<User>, Problem> {
    let user = parts.users.user(id).await.map_err(super::problems::store)?;
    user.map(Json)
        .ok_or_else(|| Problem::not_found(format!("there is no user {id}")))
}
