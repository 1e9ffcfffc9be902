//! What anybody may ask.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use contracts::UserId;
use contracts::clients::Jwks;
use serde::{Deserialize, Serialize};
use service_kit::extract::JsonBody;
use service_kit::http::RateLimit;
use service_kit::openapi::{Routes, answers, routes};
use service_kit::problem::Problem;
use utoipa::ToSchema;

use crate::Parts;
use crate::domain::user::{Password, Registration};

/// `/register` and `/login` share one bucket per address: both cost a hash.
pub(crate) fn routes(parts: Arc<Parts>, limit: &Arc<RateLimit>) -> Routes {
    Routes::new()
        .with(routes!(register))
        .with(routes!(log_in))
        .rate_limited(limit)
        .merge(Routes::new().with(routes!(jwks)))
        .with_state(parts)
}

/// Who registers.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Registration, examples(json!({
    "username": "ada", "first_name": "Ada", "last_name": "Lovelace", "email": "ada@example.com", "password": "correct horse"
})))]
struct RegisterBody {
    /// The name to log in with. Compared without regard to case; `hot_wallet` is taken.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9_.-]{2,31}$")]
    username: String,
    /// Not blank.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    first_name: String,
    /// Not blank.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    last_name: String,
    /// Where notifications go; at most 254 visible ASCII characters.
    #[schema(max_length = 254, pattern = "^[!-~]+@[!-~]+$")]
    email: String,
    /// 8 to 128 bytes of UTF-8.
    #[schema(min_length = 2, max_length = 128, format = Password)]
    password: String,
}

/// Who was registered.
#[derive(Serialize, ToSchema)]
#[schema(examples(json!({"id": 2})))]
struct Registered {
    id: UserId,
}

/// Register.
///
/// The first who does is user 2: user 1 is the house's own wallet.
#[utoipa::path(post, path = "/register", operation_id = "register", tag = "accounts",
    request_body = RegisterBody,
    responses(
        (status = 201, description = "Registered.", body = Registered, links(
            ("log_in" = (operation_id = "log_in", description = "Get an access token.", request_body = json!({
                "username": "$request.body#/username", "password": "$request.body#/password"
            }))),
            ("open_wallet" = (operation_id = "open_wallet", description = "Open the wallet.",
                parameters(("user_id" = "$response.body#/id")))),
        )),
        answers::AlreadyExists,
    ))]
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

/// Who logs in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Credentials, examples(json!({"username": "ada", "password": "correct horse"})))]
struct LogInBody {
    username: String,
    #[schema(format = Password)]
    password: String,
}

/// An access token.
#[derive(Serialize, ToSchema)]
#[schema(as = AccessToken, examples(json!({"token": "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.e30.c2ln",
    "token_type": "Bearer", "expires_in": 900})))]
struct TokenBody {
    /// The JWT.
    token: String,
    /// `Bearer`.
    #[schema(pattern = "^Bearer$")]
    token_type: &'static str,
    /// For how many seconds it is valid.
    expires_in: u64,
}

/// Log in.
///
/// The answer is the same for a user who does not exist and for a wrong password. An account with too many failures is
/// closed for a while (429).
#[utoipa::path(post, path = "/login", operation_id = "log_in", tag = "accounts",
    request_body = LogInBody,
    responses(
        (status = 200, description = "Logged in.", body = TokenBody,
            headers(("Authorization" = String, description = "`Bearer` and the token, to be sent with every request."))),
        answers::WrongCredentials,
    ))]
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

/// The keys that access tokens are signed with.
///
/// A JSON Web Key Set (RFC 7517) of Ed25519 keys (RFC 8037).
#[utoipa::path(get, path = "/.well-known/jwks.json", operation_id = "read_jwks", tag = "accounts",
    responses((status = 200, description = "The keys.", body = Jwks)))]
// Keys are published well before they sign, so a cache does no harm; one minute spares us crowds.
pub(super) async fn jwks(
    State(parts): State<Arc<Parts>>,
) -> Result<([(HeaderName, HeaderValue); 1], Json<Jwks>), Problem> {
    let jwks = parts.ring.jwks().await?;
    let headers = [(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"))];
    Ok((headers, Json(jwks)))
}
