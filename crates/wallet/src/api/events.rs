//! `GET /orders/{user_id}/{order_id}/events`: an order's log as server-sent events (WHATWG HTML, section 9.2).
//!
//! An event is an entry of the log: its number is the `id`, what happened the `event`, the order as it was then the
//! `data`. After the last entry of an order that has ended comes one event `end`, without an `id`, and the stream ends.
//! Whoever comes back with the `Last-Event-ID` received last is told what follows it; who has all of an order that has
//! ended is answered 204, upon which a browser stops coming back.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use contracts::messages::FailureCode;
use contracts::{Amount, OrderId};
use futures::stream;
use jiff::Timestamp;
use serde::Serialize;
use service_kit::auth::{AuthenticatedUser, TokenExpiry};
use service_kit::extract::{PathId, accepted};
use service_kit::http::Closing;
use service_kit::openapi::answers;
use service_kit::problem::{Problem, ProblemCode};
use utoipa::ToSchema;

use super::bodies::PriceBody;
use super::{COME_BACK_AFTER, problems};
use crate::domain::{Chapter, OrderState, OrderStatus};
use crate::use_cases::Wallet;
use crate::use_cases::follow_order::{Follow, FollowError, Follower, Told, follow_order};
use crate::use_cases::watch::NoRoom;

/// The header with the `id` received last.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells a proxy (nginx, by its documentation) that events are to be passed on as they come.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// The longest after which a client comes back whose stream was interrupted; each is told another time, at least half
/// of it, so that those who were cut off together do not come back together.
const RETRY: Duration = Duration::from_secs(2);
/// When a user who has too many streams open may try again.
const ANOTHER_STREAM_AFTER: Duration = Duration::from_secs(5);

/// Follow an order live.
///
/// Its log as server-sent events: an event per entry, its number the `id`, what happened the `event`, the order as it was
/// then the `data` (JSON); an event `end` when it has ended. Come back with `Last-Event-ID` for what follows.
#[utoipa::path(get, path = "/orders/{user_id}/{order_id}/events", operation_id = "follow_order", tag = "orders",
    params(("Last-Event-ID" = Option<i64>, Header, minimum = 0, description = "The `id` received last.")),
    responses(
        (status = 200, description = "The events; the schema is that of one.", content_type = "text/event-stream",
            body = StreamEvent),
        (status = 204, description = "It has ended, and all was told."),
        answers::NotFound, answers::NotAcceptable, answers::MalformedHeader, answers::TooManyRequests,
    ))]
pub(super) async fn follow(
    State(wallet): State<Arc<Wallet>>,
    AuthenticatedUser(user): AuthenticatedUser,
    TokenExpiry(expiry): TokenExpiry,
    PathId(order): PathId<OrderId>,
    closing: Closing,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    accepted(&headers, &["text/event-stream"])?;
    let follow = Follow {
        user,
        order,
        after: last_event_id(&headers)?,
        until: Timestamp::from_second(expiry).unwrap_or(Timestamp::MAX),
        closing,
    };
    match follow_order(&wallet, follow).await {
        Ok(follower) => Ok(respond(&wallet, follower)),
        Err(FollowError::AllTold) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(FollowError::NoOrder) => Err(problems::no_order()),
        Err(FollowError::NeverTold(id)) => Err(malformed(format!("the order has no event {id}"))),
        Err(FollowError::NoRoom(NoRoom::ForThisUser)) => Err(Problem::too_many_requests(ANOTHER_STREAM_AFTER)
            .with_detail("as many streams of this user are open as one user may have")),
        Err(FollowError::NoRoom(NoRoom::ForAnybody)) => Err(Problem::overloaded(COME_BACK_AFTER)),
        Err(FollowError::Store(error)) => Err(problems::store(error)),
    }
}

/// The number of the event received last: its one spelling, or nothing for none.
fn last_event_id(headers: &HeaderMap) -> Result<i64, Problem> {
    let mut values = headers.get_all(LAST_EVENT_ID).iter();
    let Some(value) = values.next() else { return Ok(0) };
    let number = value.to_str().ok().and_then(|text| {
        let number: i64 = text.parse().ok()?;
        (number >= 0 && number.to_string() == text).then_some(number)
    });
    let number = number.filter(|_| values.next().is_none());
    number.ok_or_else(|| malformed("Last-Event-ID must be sent once, with the `id` of an event".to_owned()))
}

fn malformed(detail: String) -> Problem {
    Problem::new(ProblemCode::MalformedHeader).with_detail(detail)
}

fn respond(wallet: &Wallet, follower: Follower) -> Response {
    let retry = Event::default().retry(wallet.ports.entropy.jitter(RETRY));
    // One event at a time, when the connection has room for it.
    let events = stream::unfold((Some(retry), follower), |(first, mut follower)| async move {
        let event = match first {
            Some(event) => event,
            None => event(follower.order(), follower.next().await?),
        };
        Some((Ok::<_, Infallible>(event), (None, follower)))
    });
    let keep_alive = KeepAlive::new().interval(wallet.ports.settings.streams.keep_alive);
    let headers = [(CACHE_CONTROL, "no-store"), (X_ACCEL_BUFFERING, "no")];
    (headers, Sse::new(events).keep_alive(keep_alive)).into_response()
}

fn event(order_id: OrderId, told: Told) -> Event {
    let (event, body) = match told {
        Told::Chapter(chapter) => {
            let event = Event::default()
                .id(chapter.entry.seq.to_string())
                .event(chapter.entry.event.fact.as_str());
            (event, serde_json::to_string(&ChapterBody::from(*chapter)))
        }
        Told::End(state) => {
            let body = EndBody {
                order_id,
                state,
                status: state.status(),
            };
            (Event::default().event("end"), serde_json::to_string(&body))
        }
        Told::Interrupted(why) => return Event::default().comment(why),
    };
    // JSON has no line breaks, so it is one line of data.
    event.data(body.expect("a body of texts and numbers is always JSON"))
}

/// One event of the stream, as its lines say it; for the document.
#[derive(Debug, ToSchema)]
#[schema(examples(json!({"id": "2", "event": "held", "data": "{\"order_id\":1,\"seq\":2}"})))]
#[expect(dead_code, reason = "events are written line by line; this says what they look like")]
struct StreamEvent {
    /// The entry's number; the event `end` has none.
    #[schema(pattern = "^[1-9][0-9]*$")]
    id: Option<String>,
    /// What happened, or `end`.
    event: String,
    /// JSON: the order as it was then.
    data: String,
}

/// An entry of the log, with the order as it was then. An event's `data`.
#[derive(Debug, Serialize)]
struct ChapterBody {
    order_id: OrderId,
    seq: i64,
    event: &'static str,
    state: OrderState,
    status: OrderStatus,
    time: Timestamp,
    cause: String,
    requested: Option<Amount>,
    filled: Option<Amount>,
    price: Option<PriceBody>,
    fee: Option<Amount>,
    failure_code: Option<FailureCode>,
}

impl From<Chapter> for ChapterBody {
    fn from(chapter: Chapter) -> Self {
        let Chapter {
            order_id,
            entry,
            requested,
            trade,
            failure,
        } = chapter;
        Self {
            order_id,
            seq: entry.seq,
            event: entry.event.fact.as_str(),
            state: entry.to,
            status: entry.to.status(),
            time: entry.at,
            cause: entry.event.cause,
            requested,
            filled: trade.as_ref().map(|trade| trade.filled),
            price: trade
                .as_ref()
                .map(|trade| PriceBody::new(&trade.price, trade.value.asset())),
            fee: trade.as_ref().map(|trade| trade.fee),
            failure_code: failure,
        }
    }
}

/// How the order ended: the `data` of the last event.
#[derive(Debug, Serialize)]
struct EndBody {
    order_id: OrderId,
    state: OrderState,
    status: OrderStatus,
}
