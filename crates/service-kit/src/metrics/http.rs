//! Requests by route, method and status: counted by the guard, which sees every request there is.
//!
//! A route's template is the label, never a path; all requests without a route are one. Looking a route's counters up
//! takes no lock and allocates nothing after its first request: the counters of each route and method have a slot in a
//! table that is large enough for all of them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::{Method, StatusCode};
use contracts::metrics::{Counter, Histogram};
use tracing::Span;

use super::LATENCIES;
use super::exposition::{Sample, Value};
use super::family::Family;
use super::registry::Registry;

const REQUESTS: Family = Family::counter(
    "cambist_http_requests_total",
    &["listener", "route", "method", "status"],
    "Requests that were answered, by the route's template, or `unmatched`. Those that were shed are among them, as 503.",
);
const DURATION: Family = Family::histogram(
    "cambist_http_request_duration_seconds",
    &["listener", "route", "method"],
    "How long a request took until its answer began. Orders wait for their hold, up to `hold_wait`.",
)
.in_seconds();
const IN_FLIGHT: Family = Family::gauge(
    "cambist_http_requests_in_flight",
    &["listener"],
    "Requests that are being worked on.",
);
const SHED: Family = Family::counter(
    "cambist_http_requests_shed_total",
    &["listener"],
    "Requests that were answered 503 unseen, because `max_in_flight` others were being worked on.",
);
const TIMED_OUT: Family = Family::counter(
    "cambist_http_requests_timed_out_total",
    &["listener"],
    "Requests that were answered 503 after `request_timeout`; whether they had an effect is unknown.",
);
const PANICKED: Family = Family::counter(
    "cambist_http_requests_panicked_total",
    &["listener"],
    "Requests that were answered 500 because their handler panicked: a mistake in the program; the log has its place.",
);
const ABANDONED: Family = Family::counter(
    "cambist_http_requests_abandoned_total",
    &["listener"],
    "Requests whose client had gone before the answer was ready.",
);

/// More routes and methods than there are; what does not fit in is `other`.
const SLOTS: usize = 1_024;
/// The statuses that are told apart; the rest is `other`.
const STATUSES: [u16; 24] = [
    200, 201, 202, 204, 304, 400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 415, 422, 423, 429, 431, 500, 501, 503,
    504,
];
/// The methods that are told apart.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::POST,
    Method::PATCH,
    Method::PUT,
    Method::DELETE,
    Method::HEAD,
    Method::OPTIONS,
];
const OTHER: &str = "other";
const UNMATCHED: &str = "unmatched";

/// The requests of both listeners.
#[derive(Debug, Clone, Default)]
pub struct HttpMetrics {
    /// For users.
    pub public: Arc<ListenerMetrics>,
    /// For services and operators.
    pub internal: Arc<ListenerMetrics>,
}

impl HttpMetrics {
    /// Shows them.
    ///
    /// # Panics
    /// As [`Registry::value`].
    pub fn register(&self, registry: &mut Registry) {
        for (name, listener) in [("public", &self.public), ("internal", &self.internal)] {
            let of = Arc::clone(listener);
            registry.source(&REQUESTS, move |samples| of.requests(name, samples));
            let of = Arc::clone(listener);
            registry.source(&DURATION, move |samples| of.durations(name, samples));
            let of = Arc::clone(listener);
            registry.value(&IN_FLIGHT, &[name], move || of.in_flight());
            let of = Arc::clone(listener);
            registry.value(&SHED, &[name], move || of.shed.get());
            let of = Arc::clone(listener);
            registry.value(&TIMED_OUT, &[name], move || of.timed_out.get());
            let of = Arc::clone(listener);
            registry.value(&PANICKED, &[name], move || of.panicked.get());
            let of = Arc::clone(listener);
            registry.value(&ABANDONED, &[name], move || of.abandoned.get());
        }
    }
}

/// The requests of one listener.
#[derive(Debug)]
pub struct ListenerMetrics {
    routes: Box<[OnceLock<Route>]>,
    overflow: Route,
    begun: Counter,
    ended: Counter,
    pub(crate) shed: Counter,
    pub(crate) timed_out: Counter,
    pub(crate) panicked: Counter,
    abandoned: Counter,
}

impl Default for ListenerMetrics {
    fn default() -> Self {
        Self {
            routes: (0..SLOTS).map(|_| OnceLock::new()).collect(),
            overflow: Route::new(OTHER, METHODS.len()),
            begun: Counter::new(),
            ended: Counter::new(),
            shed: Counter::new(),
            timed_out: Counter::new(),
            panicked: Counter::new(),
            abandoned: Counter::new(),
        }
    }
}

impl ListenerMetrics {
    /// A request arrives, for the route of this template if it has one.
    pub(crate) fn begin(&self, route: Option<&str>, method: &Method) -> InFlight<'_> {
        self.begun.one();
        let method = METHODS
            .iter()
            .position(|known| known == method)
            .unwrap_or(METHODS.len());
        InFlight {
            listener: self,
            route: self.route(route.unwrap_or(UNMATCHED), method),
            answered: false,
        }
    }

    fn in_flight(&self) -> u64 {
        // In this order: who ends in between must not make it fall below zero.
        let ended = self.ended.get();
        self.begun.get().saturating_sub(ended)
    }

    /// The slot of this route and method, taken at the first request.
    fn route(&self, template: &str, method: usize) -> &Route {
        let first = slot_of(template, method);
        let slots = self.routes.iter().cycle().skip(first).take(SLOTS);
        slots
            .map(|slot| slot.get_or_init(|| Route::new(template, method)))
            .find(|route| route.method == method && *route.template == *template)
            .unwrap_or(&self.overflow)
    }

    fn taken(&self) -> impl Iterator<Item = &Route> {
        let overflow = Some(&self.overflow).filter(|route| route.answered());
        self.routes.iter().filter_map(OnceLock::get).chain(overflow)
    }

    fn requests(&self, listener: &str, samples: &mut Vec<Sample>) {
        for route in self.taken() {
            for (place, count) in route.statuses.iter().enumerate().filter(|(_, count)| count.get() > 0) {
                let status = STATUSES.get(place).map_or(OTHER.to_owned(), ToString::to_string);
                let mut labels = route.labels(listener);
                labels.push(status);
                let value = Value::Whole(count.get().into());
                samples.push(Sample { labels, value });
            }
        }
    }

    fn durations(&self, listener: &str, samples: &mut Vec<Sample>) {
        samples.extend(self.taken().filter(|route| route.answered()).map(|route| Sample {
            labels: route.labels(listener),
            value: Value::Distribution(route.duration.distribution()),
        }));
    }
}

/// FNV-1a, 64 bits: short texts from our own program need no more.
fn slot_of(template: &str, method: usize) -> usize {
    let method = u8::try_from(method).unwrap_or(u8::MAX);
    let bytes = template.bytes().chain([method]);
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    usize::try_from(hash & 0xffff_ffff).unwrap_or(0) % SLOTS
}

fn name_of(method: usize) -> &'static str {
    METHODS.get(method).map_or(OTHER, Method::as_str)
}

/// The requests of one route and method.
#[derive(Debug)]
struct Route {
    template: Box<str>,
    method: usize,
    statuses: [Counter; STATUSES.len() + 1],
    duration: Histogram,
    /// What all its requests are logged in: their fields are the same, and writing them down costs more than all the rest.
    span: Span,
}

impl Route {
    fn new(template: &str, method: usize) -> Self {
        Self {
            template: template.into(),
            method,
            span: tracing::info_span!(parent: None, "request", method = name_of(method), route = template),
            statuses: std::array::from_fn(|_| Counter::new()),
            duration: Histogram::new(LATENCIES),
        }
    }

    fn answered(&self) -> bool {
        self.statuses.iter().any(|count| count.get() > 0)
    }

    fn labels(&self, listener: &str) -> Vec<String> {
        [listener, &*self.template, name_of(self.method)]
            .map(str::to_owned)
            .to_vec()
    }
}

/// A request that is being worked on. Dropped without an answer, it was abandoned.
pub(crate) struct InFlight<'a> {
    listener: &'a ListenerMetrics,
    route: &'a Route,
    answered: bool,
}

impl InFlight<'_> {
    /// What it is logged in: method and route, shared with all that have the same.
    pub(crate) fn span(&self) -> Span {
        self.route.span.clone()
    }

    /// Its answer is ready.
    pub(crate) fn answer(&mut self, status: StatusCode, took: Duration) {
        self.answered = true;
        let status = status.as_u16();
        let place = STATUSES
            .iter()
            .position(|known| *known == status)
            .unwrap_or(STATUSES.len());
        if let Some(count) = self.route.statuses.get(place) {
            count.one();
        }
        self.route.duration.record_time(took);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.listener.abandoned.one();
        }
        self.listener.ended.one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_and_method_has_counters_of_its_own_and_the_rest_has_one() {
        let listener = ListenerMetrics::default();
        for place in 0..2 * SLOTS {
            let template = format!("/wallet/{place}");
            listener
                .begin(Some(&template), &Method::GET)
                .answer(StatusCode::OK, Duration::ZERO);
        }
        listener
            .begin(Some("/wallet/7"), &Method::GET)
            .answer(StatusCode::OK, Duration::ZERO);
        let mut samples = Vec::new();
        listener.requests("public", &mut samples);
        assert_eq!(samples.len(), SLOTS + 1);
        let count = |template: &str| {
            let found = samples.iter().find(|sample| sample.labels[1] == template);
            found.map(|sample| sample.value.clone())
        };
        assert_eq!(count("/wallet/7"), Some(Value::Whole(2)));
        assert_eq!(count(OTHER), Some(Value::Whole(i128::try_from(SLOTS).unwrap())));
    }

    #[test]
    fn a_request_that_nobody_waits_for_any_more_ends_as_abandoned() {
        let listener = ListenerMetrics::default();
        let request = listener.begin(None, &Method::from_bytes(b"BREW").unwrap());
        assert_eq!(listener.in_flight(), 1);
        drop(request);
        assert_eq!((listener.in_flight(), listener.abandoned.get()), (0, 1));
        let mut samples = Vec::new();
        listener.requests("public", &mut samples);
        assert_eq!(samples, []);
    }

    #[test]
    fn strange_methods_and_statuses_are_others() {
        let listener = ListenerMetrics::default();
        let strange = Method::from_bytes(b"BREW").unwrap();
        listener
            .begin(None, &strange)
            .answer(StatusCode::IM_A_TEAPOT, Duration::ZERO);
        let mut samples = Vec::new();
        listener.requests("public", &mut samples);
        assert_eq!(samples[0].labels, ["public", UNMATCHED, OTHER, OTHER]);
    }
}
