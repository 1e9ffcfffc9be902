//! `GET /sagas`, for operators: the orders that are not at their end, oldest first.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use service_kit::extract::{Page, PageLimit, PageQuery, QueryParams};
use service_kit::problem::{Problem, ProblemCode};

use super::bodies::SagaBody;
use super::problems;
use crate::domain::OrderState;
use crate::ports::{SagaFilter, StateFilter};
use crate::use_cases::Wallet;
use crate::use_cases::list_sagas::list_sagas;

/// Which sagas: a state by its name, `stuck` for all that are stuck; a least age in seconds.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SagasQuery {
    /// A state by its name, or `stuck` for all that are stuck.
    #[param(
        pattern = "^(created|exchanging|withdrawing|reversing|releasing|stuck(_(exchanging|withdrawing|reversing|releasing))?)$"
    )]
    state: Option<String>,
    /// Only those that were placed at least so many seconds ago.
    #[param(minimum = 0, maximum = 4_294_967_295_i64)]
    min_age_seconds: Option<u32>,
    /// How many items.
    #[serde(default)]
    #[param(inline)]
    limit: PageLimit,
    /// The `next_cursor` of the page before; none for the first page.
    cursor: Option<i64>,
}

/// List the sagas that are not at their end, the oldest first.
#[utoipa::path(get, path = "/sagas", operation_id = "list_sagas", params(SagasQuery),
    responses((status = 200, description = "A page.", body = Page<SagaBody>)))]
pub(super) async fn list(
    State(wallet): State<Arc<Wallet>>,
    QueryParams(query): QueryParams<SagasQuery>,
) -> Result<Json<Page<SagaBody>>, Problem> {
    let state = query.state.as_deref().map(state).transpose()?;
    let created_until = query.min_age_seconds.map(|age| earlier(wallet.now(), age.into()));
    let filter = SagaFilter { state, created_until };
    let page = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let page = list_sagas(&wallet, filter, page).await.map_err(problems::store)?;
    Ok(Json(page.map(SagaBody::from)))
}

fn state(name: &str) -> Result<StateFilter, Problem> {
    if name == "stuck" {
        return Ok(StateFilter::Stuck);
    }
    let state: Option<OrderState> = name.parse().ok();
    state
        .filter(|state| !state.is_end())
        .map(StateFilter::Is)
        .ok_or_else(|| {
            let open: Vec<_> = OrderState::ALL
                .into_iter()
                .filter(|state| !state.is_end())
                .map(OrderState::as_str)
                .collect();
            let detail = format!("a state is stuck or one of {}", open.join(", "));
            Problem::new(ProblemCode::MalformedQuery).with_detail(detail)
        })
}

fn earlier(now: Timestamp, seconds: u64) -> Timestamp {
    let age = SignedDuration::try_from(Duration::from_secs(seconds)).unwrap_or(SignedDuration::MAX);
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}
