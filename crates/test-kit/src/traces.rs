//! A collector of traces: takes OTLP over HTTP as protobuf, as real ones do, and says what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long spans may take to arrive.
const PATIENCE: Duration = Duration::from_secs(60);

/// A span as the collector was told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its trace, in hexadecimal.
    pub trace: String,
    /// Itself.
    pub id: String,
    /// What caused it; empty for the first one.
    pub parent: String,
    /// What was done.
    pub name: String,
    /// What is known of it.
    pub attributes: BTreeMap<String, String>,
    /// The process that said so.
    pub process: String,
    /// How long it took; never negative.
    pub took: Duration,
}

impl Span {
    /// Whether it is of this order.
    #[must_use]
    pub fn is_of(&self, order_id: i64) -> bool {
        self.attributes.get("order_id") == Some(&order_id.to_string())
    }
}

/// A running collector. Ends when dropped.
#[derive(Debug)]
pub struct Collector {
    /// Its address, for `otlp_endpoint`.
    pub endpoint: String,
    spans: watch::Receiver<Vec<Span>>,
    serving: JoinHandle<()>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Collector {
    /// One that takes what it gets.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        let (told, spans) = watch::channel(Vec::new());
        let take = |State(told): State<watch::Sender<Vec<Span>>>, body: Bytes| async move {
            let Ok(request) = ExportTraceServiceRequest::decode(body) else {
                return StatusCode::BAD_REQUEST;
            };
            told.send_modify(|spans| spans.extend(read(request)));
            StatusCode::OK
        };
        let router = Router::new().route("/v1/traces", post(take)).with_state(told);
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        Self {
            endpoint,
            spans,
            serving,
        }
    }

    /// One that lets everybody in and never says a word.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn silent() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (_, spans) = watch::channel(Vec::new());
        let serving = tokio::spawn(async move {
            let mut guests = Vec::new();
            while let Ok((guest, _)) = listener.accept().await {
                guests.push(guest);
            }
        });
        Self {
            endpoint,
            spans,
            serving,
        }
    }

    /// All it was told of so far.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.spans.borrow().clone()
    }

    /// The spans of the one trace of an order, once all of these were done in it.
    ///
    /// # Panics
    /// When they do not come, when the order has more than one trace, or when the trace is in pieces.
    pub async fn trace_of(&self, order_id: i64, done: &[&str]) -> Vec<Span> {
        let all_there = |spans: &Vec<Span>| {
            let names: BTreeSet<&str> = trace_in(spans, order_id).map(|span| &*span.name).collect();
            done.iter().all(|name| names.contains(name))
        };
        let mut told = self.spans.clone();
        let there = timeout(PATIENCE, told.wait_for(all_there)).await.is_ok();
        let spans = self.spans();
        let trace: Vec<Span> = trace_in(&spans, order_id).cloned().collect();
        let names: Vec<&str> = trace.iter().map(|span| &*span.name).collect();
        assert!(there, "of {done:?} there is only {names:?} among {spans:?}");
        let traces: BTreeSet<&str> = of_order(&spans, order_id).map(|span| &*span.trace).collect();
        assert_eq!(traces.len(), 1, "order {order_id} has one trace: {traces:?}");
        let ids: BTreeSet<&str> = trace.iter().map(|span| &*span.id).collect();
        let pieces: BTreeSet<&str> = trace
            .iter()
            .map(|span| &*span.parent)
            .filter(|parent| !ids.contains(parent))
            .collect();
        assert_eq!(
            pieces.len(),
            1,
            "it hangs together, but for what caused all of it: {trace:?}"
        );
        trace
    }
}

fn of_order(spans: &[Span], order_id: i64) -> impl Iterator<Item = &Span> {
    spans.iter().filter(move |span| span.is_of(order_id))
}

/// All spans of the trace that the first one of an order is in.
fn trace_in(spans: &[Span], order_id: i64) -> impl Iterator<Item = &Span> {
    let trace = of_order(spans, order_id).next().map(|span| &span.trace);
    spans.iter().filter(move |span| Some(&span.trace) == trace)
}

fn read(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_process in request.resource_spans {
        let about = attributes(
            of_process
                .resource
                .map(|resource| resource.attributes)
                .unwrap_or_default(),
        );
        let process = about.get("service.name").cloned().unwrap_or_default();
        for span in of_process.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let took = span.end_time_unix_nano.checked_sub(span.start_time_unix_nano);
            spans.push(Span {
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                attributes: attributes(span.attributes),
                process: process.clone(),
                took: Duration::from_nanos(took.expect("no span ends before it begins")),
            });
        }
    }
    spans
}

fn attributes(said: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    };
    said.into_iter().map(|said| (said.key, text(said.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
