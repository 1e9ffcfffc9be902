//! The two questions every route of a user asks, in this order, before anything else is looked at.

use std::sync::Arc;

use ::http::HeaderMap;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::{RequestExt as _, Router};
use contracts::UserId;

use super::verifier::{Refusal, TokenVerifier, Verified, VerifyError};
use crate::bearer;
use crate::problem::{Problem, ProblemCode};

/// The user a request comes from, who is also the `{user_id}` of its path; known behind [`identify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthenticatedUser(pub UserId);

impl<S: Send + Sync> FromRequestParts<S> for AuthenticatedUser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut ::http::request::Parts, _: &S) -> Result<Self, Problem> {
        verified(parts).map(|verified| Self(verified.user))
    }
}

/// Until when the request's token is valid, in seconds since the epoch: an answer that lasts ends with it. Known behind
/// [`identify`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenExpiry(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for TokenExpiry {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut ::http::request::Parts, _: &S) -> Result<Self, Problem> {
        verified(parts).map(|verified| Self(verified.exp))
    }
}

/// What [`identify`] left with the request.
fn verified(parts: &::http::request::Parts) -> Result<Verified, Problem> {
    let found = parts.extensions.get().copied();
    found.ok_or_else(|| Problem::internal("the route is not behind auth::protect"))
}

/// Puts every route of `router`, each with a `{user_id}` in its path, behind [`identify`].
pub fn protect<S>(router: Router<S>, verifier: &Arc<TokenVerifier>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    router.route_layer(from_fn_with_state(Arc::clone(verifier), require_path_user))
}

async fn require_path_user(State(verifier): State<Arc<TokenVerifier>>, mut request: Request, next: Next) -> Response {
    match identify(&verifier, &mut request).await {
        Ok(_) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Whose request it is, if its bearer token is valid (else 401, or 503 where that cannot be decided) and belongs to the
/// `{user_id}` of the path (else 403). A `{user_id}` that is no id belongs to nobody, so it is 403 too: who is not
/// allowed to look does not learn more.
///
/// For a middleware that asks more than [`protect`]: each middleware costs a request as much as most of what it asks.
///
/// # Errors
/// The answer to who is not let in.
pub async fn identify(verifier: &TokenVerifier, request: &mut Request) -> Result<UserId, Problem> {
    let verified = authenticate(verifier, request.headers()).await?;
    let owner = match request.extract_parts::<RawPathParams>().await {
        Ok(params) => params
            .iter()
            .find_map(|(name, value)| (name == "user_id").then(|| value.parse::<UserId>().ok())),
        // What is no text is no id either.
        Err(_) => Some(None),
    };
    match owner {
        None => Err(Problem::internal("the route is protected, but has no {user_id}")),
        Some(owner) if owner != Some(verified.user) => Err(Problem::new(ProblemCode::Forbidden)),
        Some(_) => {
            request.extensions_mut().insert(verified);
            Ok(verified.user)
        }
    }
}

async fn authenticate(verifier: &TokenVerifier, headers: &HeaderMap) -> Result<Verified, Problem> {
    let unauthorized = |detail: &str| Problem::new(ProblemCode::Unauthorized).with_detail(detail);
    let token =
        bearer::token(headers).ok_or_else(|| unauthorized("send the header `Authorization: Bearer <token>`, once"))?;
    match verifier.examine(token).await {
        Ok(verified) => Ok(verified),
        Err(VerifyError::Refused(Refusal::Expired)) => Err(unauthorized("the token has expired")),
        Err(VerifyError::Refused(reason)) => {
            tracing::debug!(%reason, "a token is refused");
            Err(unauthorized("the token is not valid"))
        }
        Err(VerifyError::Keys(error)) => Err(Problem::unavailable(error)),
    }
}
