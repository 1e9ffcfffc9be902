//! `/freezes`, for operators. Users feel it where they are let in: in [`super::enter`].

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use contracts::UserId;
use contracts::operators::Act;
use jiff::Timestamp;
use serde::Serialize;
use service_kit::extract::{JsonBody, Page, PageQuery, PathId};
use service_kit::internal::Caller;
use service_kit::openapi::answers;
use service_kit::operators::{ReasonBody, instruction, replayed_header};
use service_kit::problem::Problem;
use utoipa::ToSchema;

use super::problems;
use crate::ports::{Freeze, Frozen};
use crate::use_cases::Wallet;
use crate::use_cases::freeze::{FreezeError, freeze, freeze_of, unfreeze};

/// A freeze.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Freeze, examples(json!({"user_id": 2, "operator": "operator:ann", "reason": "asked by the user",
    "since": "2026-01-02T03:04:05Z"})))]
pub(super) struct FreezeBody {
    user_id: UserId,
    operator: String,
    reason: String,
    since: Timestamp,
}

impl From<Freeze> for FreezeBody {
    fn from(freeze: Freeze) -> Self {
        Self {
            user_id: freeze.user_id,
            operator: freeze.instruction.operator,
            reason: freeze.instruction.reason,
            since: freeze.since,
        }
    }
}

/// Whether a user is frozen, and what was done before.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserFreeze, examples(json!({"user_id": 2, "frozen": false, "freeze": null, "acts": []})))]
pub(super) struct UserFreezeBody {
    user_id: UserId,
    frozen: bool,
    freeze: Option<FreezeBody>,
    acts: Vec<Act>,
}

/// Freeze a user.
#[utoipa::path(post, path = "/freezes/{user_id}", operation_id = "freeze_user",
    request_body = ReasonBody,
    responses(
        (status = 201, description = "Frozen now.", body = FreezeBody),
        (status = 200, description = "Frozen before; nothing changed.", body = FreezeBody),
        answers::NotFound,
    ))]
pub(super) async fn create(
    State(wallet): State<Arc<Wallet>>,
    PathId(user): PathId<UserId>,
    caller: Caller,
    body: JsonBody<ReasonBody>,
) -> Result<(StatusCode, HeaderMap, Json<FreezeBody>), Problem> {
    let instruction = instruction(&caller, "/reason", &body.value.reason)?;
    let (status, freeze) = match freeze(&wallet, user, instruction).await {
        Ok(Frozen::Now(freeze)) => (StatusCode::CREATED, freeze),
        Ok(Frozen::Before(freeze)) => (StatusCode::OK, freeze),
        Err(FreezeError::NoUser) => return Err(Problem::not_found("there is no such user")),
        Err(FreezeError::HotWallet) => {
            return Err(Problem::invalid("", "user 1 is the hot wallet, and logs in nowhere"));
        }
        Err(FreezeError::Store(error)) => return Err(problems::store(error)),
        Err(FreezeError::Client(error)) => return Err(error.into()),
    };
    let headers = replayed_header(status == StatusCode::OK);
    Ok((status, headers, Json(freeze.into())))
}

/// Lift a freeze.
#[utoipa::path(post, path = "/freezes/{user_id}/lift", operation_id = "unfreeze_user",
    request_body = ReasonBody,
    responses((status = 200, description = "Not frozen any more.", body = UserFreezeBody)))]
pub(super) async fn lift(
    State(wallet): State<Arc<Wallet>>,
    PathId(user): PathId<UserId>,
    caller: Caller,
    body: JsonBody<ReasonBody>,
) -> Result<(HeaderMap, Json<UserFreezeBody>), Problem> {
    let instruction = instruction(&caller, "/reason", &body.value.reason)?;
    let lifted = unfreeze(&wallet, user, instruction).await.map_err(problems::store)?;
    let body = look(&wallet, user).await?;
    Ok((replayed_header(!lifted), Json(body)))
}

/// Say whether a user is frozen, and what was done before.
#[utoipa::path(get, path = "/freezes/{user_id}", operation_id = "read_freeze",
    responses((status = 200, description = "The state of the user.", body = UserFreezeBody)))]
pub(super) async fn read(
    State(wallet): State<Arc<Wallet>>,
    PathId(user): PathId<UserId>,
) -> Result<Json<UserFreezeBody>, Problem> {
    look(&wallet, user).await.map(Json)
}

/// List the users who are frozen.
#[utoipa::path(get, path = "/freezes", operation_id = "list_freezes", params(PageQuery),
    responses((status = 200, description = "A page.", body = Page<FreezeBody>)))]
pub(super) async fn list(
    State(wallet): State<Arc<Wallet>>,
    query: PageQuery,
) -> Result<Json<Page<FreezeBody>>, Problem> {
    let freezes = wallet.ports.freezes.freezes(query.cursor, query.limit.rows()).await;
    let page = Page::cut(freezes.map_err(problems::store)?, query.limit, |freeze| {
        freeze.user_id.get()
    });
    Ok(Json(page.map(FreezeBody::from)))
}

async fn look(wallet: &Wallet, user_id: UserId) -> Result<UserFreezeBody, Problem> {
    let (freeze, acts) = freeze_of(wallet, user_id).await.map_err(problems::store)?;
    Ok(UserFreezeBody {
        user_id,
        frozen: freeze.is_some(),
        freeze: freeze.map(FreezeBody::from),
        acts,
    })
}
