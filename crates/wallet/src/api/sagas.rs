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
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SagasQuery {
    state: Option<String>,
    min_age_seconds: Option<u64>,
    #[serde(default)]
    limit: PageLimit,
    cursor: Option<i64>,
}

/// `GET /sagas`
pub(super) async fn list(
    State(wallet): State<Arc<Wallet>>,
    QueryParams(query): QueryParams<SagasQuery>,
) -> Result<Json<Page<SagaBody>>, Problem> {
    let state = query.state.as_deref().map(state).transpose()?;
    let created_until = query.min_age_seconds.map(|age| earlier(wallet.now(), age));
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
