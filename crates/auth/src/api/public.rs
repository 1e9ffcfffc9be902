//! What anybody may ask.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use contracts::UserId;
use contracts::clients::Jwks;
use serde::{Deserialize, Serialize};
use service_kit::extract::JsonBody;
use service_kit::http::{RateLimit, rate_limited};
use service_kit::problem::Problem;

use crate::Parts;
use crate::domain::user::{Password, Registration};

/// `/register` and `/login` share one bucket per address: both cost a hash.
pub(crate) fn routes(parts: Arc<Parts>, limit: &Arc<RateLimit>) -> Router {
    let costly = Router::new()
        .route("/register", post(register))
        .route("/login", post(log_in));
    rate_limited(costly, limit)
        .route("/.well-known/jwks.json", get(jwks))
        .with_state(parts)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegisterBody {
    username: String,
    first_name: String,
    last_name: String,
    email: String,
    password: String,
}

#[derive(Serialize)]
struct Registered {
    id: UserId,
}

async fn register(
    State(parts): State<Arc<Parts>>,
    JsonBody { value: body, .. }: JsonBody<RegisterBody>,
) -> Result<(StatusCode, Json<Registered>), Problem> {
    let registration = Registration {
        username: body.username,
        first_name: body.first_name,
        last_name: body.last_name,
        email: body.email,
        password: Password::new(body.password),
    };
    let id = parts.register.execute(registration).await?;
    Ok((StatusCode::CREATED, Json(Registered { id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogInBody {
    username: String,
    password: String,
}

#[derive(Serialize)]
struct TokenBody {
    token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: u64,
}

async fn log_in(
    State(parts): State<Arc<Parts>>,
    JsonBody { value: body, .. }: JsonBody<LogInBody>,
) -> Result<([(HeaderName, HeaderValue); 2], Json<TokenBody>), Problem> {
    let logged_in = parts
        .log_in
        .execute(&body.username, Password::new(body.password))
        .await?;
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", logged_in.token)).map_err(Problem::internal)?;
    bearer.set_sensitive(true);
    let body = TokenBody {
        token: logged_in.token,
        token_type: "Bearer",
        expires_in: logged_in.expires_in.as_secs(),
    };
    // RFC 6749, section 5.1: what carries a token is not kept by caches.
    let headers = [
        (AUTHORIZATION, bearer),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Json(body)))
}

/// Keys are published well before they sign, so a cache does no harm; one minute spares us crowds.
pub(super) async fn jwks(
    State(parts): State<Arc<Parts>>,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Jwks>), Problem> {
    let jwks = parts.ring.jwks().await?;
    let headers = [(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"))];
    Ok((headers, Json(jwks)))
}
