//! What happens to every request before its route is asked: in one place, so that the order can be read.

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ::http::header::{CACHE_CONTROL, CONNECTION};
use ::http::{HeaderValue, Method, StatusCode};
use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse as _, Response};
use axum::routing::Route;
use contracts::traces::{self, Span, TraceContext, within};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use tower::Service;
use tower::layer::layer_fn;
use tracing::Instrument as _;

use super::awaited::Sender;
use crate::metrics::ListenerMetrics;
use crate::problem::{Problem, ProblemCode};
use crate::settings::Settings;

/// When a shed client may come back.
const SHED_FOR: Duration = Duration::from_secs(1);

/// Bounds on requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Requests worked on at the same time; one more is answered 503 at once.
    pub max_in_flight: NonZeroUsize,
    /// How long one may take, reading its body included; then 408 if the body is what is missing, else 503, and whether
    /// it had an effect is unknown.
    pub timeout: Duration,
}

impl From<&Settings> for RequestLimits {
    fn from(settings: &Settings) -> Self {
        Self {
            max_in_flight: settings.max_in_flight,
            timeout: settings.request_timeout,
        }
    }
}

struct Guard {
    in_flight: Semaphore,
    timeout: Duration,
    metrics: Arc<ListenerMetrics>,
}

/// Guards all routes and fallbacks of `router`: a span with method and route around every request, and a line at
/// `debug` with status and milliseconds at its end; all of them counted in `metrics`; shedding before token and body are
/// looked at; a time limit; and a panic costs one answer, not the process.
///
/// To be called once all routes and fallbacks are there. Probes are merged afterwards: a full service is still alive.
pub fn guard<S>(router: Router<S>, limits: RequestLimits, metrics: &Arc<ListenerMetrics>) -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let permits = limits.max_in_flight.get().min(Semaphore::MAX_PERMITS);
    let guard = Arc::new(Guard {
        in_flight: Semaphore::new(permits),
        timeout: limits.timeout,
        metrics: Arc::clone(metrics),
    });
    router.layer(layer_fn(move |route| Guarded {
        guard: Arc::clone(&guard),
        route,
    }))
}

/// A route behind the guard: a service of its own, because `from_fn` copies and boxes what is behind it for each request.
#[derive(Clone)]
struct Guarded {
    guard: Arc<Guard>,
    route: Route,
}

impl Service<Request> for Guarded {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request>::poll_ready(&mut self.route, cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let guard = Arc::clone(&self.guard);
        // The route, not the path: what a client writes into a path does not belong into logs.
        let template = request.extensions().get::<MatchedPath>().cloned();
        let method = request.method().clone();
        let traced = traced(&request, template.as_ref());
        let sender = Sender::default();
        // Nothing of it happens before it is polled.
        let answer = self.route.call(sender.clone().watched(request));
        Box::pin(async move {
            let mut in_flight = guard.metrics.begin(template.as_ref().map(MatchedPath::as_str), &method);
            // Status and time belong to the event: the span is the one of all requests of this route.
            let span = in_flight.span();
            let started = Instant::now();
            let answering = async {
                let cause = traced.as_ref().map(Span::context);
                let mut response = within(cause, guarded(&guard, answer, &sender)).await;
                // Balances and tokens are nobody else's; a handler that knows better says so itself.
                response
                    .headers_mut()
                    .entry(CACHE_CONTROL)
                    .or_insert(HeaderValue::from_static("no-store"));
                let took = started.elapsed();
                in_flight.answer(response.status(), took);
                let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                tracing::debug!(status = response.status().as_u16(), ms, "answered");
                describe(traced, response.status());
                response
            };
            Ok(answering.instrument(span).await)
        })
    }
}

/// The span of a request, below the one that its client names: what is no `traceparent` is ignored. So is one that is not to
/// be collected: our own processes name none, and a stranger must not keep an order out of the traces. One that is collected
/// goes on, so that a company's front end finds its clicks in here; all that a stranger spoils by it is how their own requests
/// are drawn.
fn traced(request: &Request, template: Option<&MatchedPath>) -> Option<Span> {
    if !traces::are_collected() {
        return None;
    }
    let named = request.headers().get("traceparent");
    let cause = named
        .and_then(|named| named.to_str().ok())
        .and_then(TraceContext::parse)
        .filter(|cause| cause.is_sampled());
    // The template, as in logs and metrics.
    Span::serving(known(request.method()), template.map(MatchedPath::as_str), cause)
}

/// The method, unless a client has invented it.
fn known(method: &Method) -> Option<&'static str> {
    match *method {
        Method::GET => Some("GET"),
        Method::POST => Some("POST"),
        Method::PATCH => Some("PATCH"),
        Method::PUT => Some("PUT"),
        Method::DELETE => Some("DELETE"),
        Method::HEAD => Some("HEAD"),
        Method::OPTIONS => Some("OPTIONS"),
        _ => None,
    }
}

fn describe(traced: Option<Span>, status: StatusCode) {
    let Some(mut span) = traced else { return };
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.fail();
    }
}

async fn guarded(
    guard: &Guard,
    answer: impl Future<Output = Result<Response, Infallible>>,
    sender: &Sender,
) -> Response {
    // Held until the answer is ready: a request that is dropped on the way gives its place back as well.
    let Ok(_permit) = guard.in_flight.try_acquire() else {
        guard.metrics.shed.one();
        return Problem::overloaded(SHED_FOR).into_response();
    };
    // What a handler leaves behind when it panics is its own state, dropped with it; shared state is behind locks
    // and channels that survive a panic.
    let answered = AssertUnwindSafe(answer).catch_unwind();
    match tokio::time::timeout(guard.timeout, answered).await {
        Ok(Ok(Ok(response))) => response,
        // The panic hook has logged it, with its place.
        Ok(Err(_)) => {
            guard.metrics.panicked.one();
            Problem::new(ProblemCode::Internal).into_response()
        }
        // No handler does anything before it has the whole body; and what is still to come of it is no request.
        Err(_) if sender.is_awaited() => ([(CONNECTION, "close")], Problem::new(ProblemCode::SlowBody)).into_response(),
        Err(_) => {
            guard.metrics.timed_out.one();
            Problem::new(ProblemCode::Timeout)
                .with_cause("the request took too long")
                .into_response()
        }
    }
}
