//! A venue behind HTTP, for services that run apart: what [`super::remote`] talks to.
//!
//! Orders and questions travel as the port has them, arrays of 1 to 100, and so do the answers; `answers[i]` is of
//! `orders[i]`, and those of one request come together. What the venue itself does not answer, or not in time, is `unknown`
//! here as well: a fault that is simulated looks like one on either side of the wire, and whatever travels with a slow order is
//! answered before its caller stops waiting.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use contracts::ServiceName;
use contracts::clients::MAX_COMMANDS;
use futures::future::join_all;
use service_kit::extract::{BATCH_BODY_LIMIT, JsonBody};
use service_kit::internal::{Allowed, InternalTokens};
use service_kit::openapi::{Routes, routes};
use service_kit::problem::Problem;
use tokio::time::timeout;

use crate::ports::{Answer, ClientOrderId, Venue, VenueOrder};

/// Who may trade: the service that keeps the orders' names, and people who look for themselves.
const CALLERS: &[Allowed] = &[Allowed::Service(ServiceName::Exchanger), Allowed::Operator];

/// The venue, and how long each of its answers is waited for.
#[derive(Clone)]
struct Counter {
    venue: Arc<dyn Venue>,
    patience: Duration,
}

impl Counter {
    async fn bounded(&self, answer: impl Future<Output = Answer>) -> Answer {
        timeout(self.patience, answer)
            .await
            .unwrap_or_else(|_| Answer::Unknown {
                reason: format!("the venue did not answer within {} ms", self.patience.as_millis()),
            })
    }
}

/// `POST /orders` and `POST /queries`. Each answer of the venue is waited for as long as `patience`, which is to be shorter than
/// that of the callers.
pub fn routes(venue: Arc<dyn Venue>, patience: Duration, tokens: &Arc<InternalTokens>) -> Routes {
    Routes::new()
        .with(routes!(place))
        .with(routes!(find))
        .allowed(tokens, CALLERS)
        .with_state(Counter { venue, patience })
}

/// Place orders, 1 to 100.
///
/// Each is executed at once or cancelled, and once for its name. One of which the answer says `unknown`, or of which no answer
/// comes, may have been executed.
#[utoipa::path(post, path = "/orders", operation_id = "place", request_body = Vec<VenueOrder>,
    responses((status = 200, description = "An answer each, in their order.", body = Vec<Answer>)))]
async fn place(
    State(counter): State<Counter>,
    body: JsonBody<Vec<VenueOrder>, BATCH_BODY_LIMIT>,
) -> Result<Json<Vec<Answer>>, Problem> {
    check(body.value.len())?;
    let answer = |order| counter.bounded(counter.venue.place(order));
    Ok(Json(join_all(body.value.iter().map(answer)).await))
}

/// Ask what became of orders, 1 to 100, by the names they were placed under.
///
/// Changes nothing. `not_found` says at which time of the venue's there was none *yet*.
#[utoipa::path(post, path = "/queries", operation_id = "find",
    request_body(content = Vec<String>, example = json!(["cambist-5eed0001-1-exchange-1"])),
    responses((status = 200, description = "An answer each, in their order.", body = Vec<Answer>)))]
async fn find(
    State(counter): State<Counter>,
    body: JsonBody<Vec<ClientOrderId>, BATCH_BODY_LIMIT>,
) -> Result<Json<Vec<Answer>>, Problem> {
    check(body.value.len())?;
    let answer = |id| counter.bounded(counter.venue.find(id));
    Ok(Json(join_all(body.value.iter().map(answer)).await))
}

fn check(items: usize) -> Result<(), Problem> {
    if (1..=MAX_COMMANDS).contains(&items) {
        Ok(())
    } else {
        Err(Problem::invalid("", format!("an array has 1 to {MAX_COMMANDS} items")))
    }
}
