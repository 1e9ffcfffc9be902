//! Spans on their way to a collector: OTLP over HTTP (<https://opentelemetry.io/docs/specs/otlp/>), as protobuf.
//!
//! On a thread of its own, so that it takes nothing from those who do the work. What it keeps true: whoever ends a span never
//! waits; what waits to be sent is bounded; what cannot be sent in time is dropped and counted; the end of the process waits
//! for a bounded time.

use std::sync::{Arc, mpsc as blocking};
use std::thread;
use std::time::Duration;

use contracts::metrics::Counter;
use contracts::traces::{self, Attribute, Ended, Kind};
use contracts::{SystemClock, SystemEntropy};
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::TelemetryError;
use crate::metrics::{Family, Registry};
use crate::settings::ServiceUrl;

/// The most spans that wait to be sent, and the most in one request.
const MAX_WAITING: usize = 8_192;
const MAX_BATCH: usize = 1_024;
/// How long a span waits for company.
const COMPANY: Duration = Duration::from_millis(500);
/// How long the collector may take for one request.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the end of the process waits until all is sent.
const LAST_PATIENCE: Duration = Duration::from_secs(2);

const SPANS: Family = Family::counter(
    "cambist_trace_spans_total",
    &["outcome"],
    "Spans that were `exported` to the collector of `otlp_endpoint`, or `dropped` because it does not take them, or not fast \
     enough. Nothing waits for a span.",
);
static EXPORTED: Counter = Counter::new();
static DROPPED: Counter = Counter::new();

pub(super) fn register_metrics(registry: &mut Registry) {
    registry.value(&SPANS, &["exported"], || EXPORTED.get());
    registry.value(&SPANS, &["dropped"], || DROPPED.get());
}

fn dropped(spans: usize) {
    DROPPED.add(u64::try_from(spans).unwrap_or(u64::MAX));
}

/// Sends spans until it is dropped; then sends what waits, for two seconds at most.
#[derive(Debug)]
pub(super) struct Exporting {
    stop: CancellationToken,
    ended: blocking::Receiver<()>,
}

impl Drop for Exporting {
    fn drop(&mut self) {
        self.stop.cancel();
        // Bounded by itself; a little longer, for a machine that is slow.
        let _ = self.ended.recv_timeout(LAST_PATIENCE * 2);
    }
}

struct Waiting(mpsc::Sender<Ended>);

impl traces::Collector for Waiting {
    fn take(&self, span: Ended) {
        if self.0.try_send(span).is_err() {
            dropped(1);
        }
    }
}

/// From now on spans are made, and sent to the collector at `endpoint`, as those of `process`.
pub(super) fn export(endpoint: &ServiceUrl, process: &str) -> Result<Exporting, TelemetryError> {
    let wrong = |error: &dyn std::fmt::Display| TelemetryError::Traces(error.to_string());
    // Neither a proxy nor another place: as between services.
    let http = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .map_err(|error| wrong(&error))?;
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(http)
        .with_endpoint(format!("{endpoint}/v1/traces"))
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(PATIENCE)
        .build()
        .map_err(|error| wrong(&error))?;
    let mut resource = Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    // The field's own variable counts more, where somebody has set it.
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_service_name(process.to_owned());
    }
    exporter.set_resource(&resource.build());

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| wrong(&error))?;
    let (spans, waiting) = mpsc::channel(MAX_WAITING);
    let (end, ended) = blocking::channel();
    let stop = CancellationToken::new();
    let sending = send_all(exporter, waiting, stop.clone());
    thread::Builder::new()
        .name("traces".to_owned())
        .spawn(move || {
            runtime.block_on(sending);
            drop(end);
        })
        .map_err(|error| wrong(&error))?;
    if traces::collect(Waiting(spans), Arc::new(SystemClock), Arc::new(SystemEntropy)) {
        Ok(Exporting { stop, ended })
    } else {
        stop.cancel();
        Err(TelemetryError::Traces("they are collected already".to_owned()))
    }
}

/// Until `stop`, and then for as long as there is time.
async fn send_all(exporter: SpanExporter, mut waiting: mpsc::Receiver<Ended>, stop: CancellationToken) {
    let end = async {
        stop.cancelled().await;
        // sleep: what is to be sent within this time is sent meanwhile
        tokio::time::sleep(LAST_PATIENCE).await;
    };
    let mut sender = Sender {
        exporter,
        scope: InstrumentationScope::builder("cambist")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
        reachable: true,
        under_way: 0,
    };
    let sending = async {
        loop {
            let batch = next(&mut waiting, &stop).await;
            if batch.is_empty() {
                return;
            }
            sender.send(batch).await;
        }
    };
    tokio::select! {
        () = sending => {}
        () = end => {}
    }
    // What was cut off.
    dropped(sender.under_way + waiting.len());
    waiting.close();
}

/// Spans that came together; none when there will be none any more.
async fn next(waiting: &mut mpsc::Receiver<Ended>, stop: &CancellationToken) -> Vec<Ended> {
    let mut batch = Vec::new();
    if stop
        .run_until_cancelled(waiting.recv_many(&mut batch, MAX_BATCH))
        .await
        .is_some()
    {
        let until = Instant::now() + COMPANY;
        let company = async {
            while batch.len() < MAX_BATCH {
                let room = MAX_BATCH - batch.len();
                if waiting.recv_many(&mut batch, room).await == 0 {
                    return;
                }
            }
        };
        let _ = stop.run_until_cancelled(timeout_at(until, company)).await;
    }
    // At the end, all that is there.
    while stop.is_cancelled() && batch.len() < MAX_BATCH {
        match waiting.try_recv() {
            Ok(span) => batch.push(span),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        }
    }
    batch
}

struct Sender {
    exporter: SpanExporter,
    scope: InstrumentationScope,
    /// Whether the last request got through: said once.
    reachable: bool,
    /// How many spans are in the request that is under way.
    under_way: usize,
}

impl Sender {
    async fn send(&mut self, batch: Vec<Ended>) {
        self.under_way = batch.len();
        let spans = batch.into_iter().map(|span| self.written(span)).collect();
        let failure = match timeout(PATIENCE, self.exporter.export(spans)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("no answer in time".to_owned()),
        };
        let spans = std::mem::take(&mut self.under_way);
        let was_reachable = std::mem::replace(&mut self.reachable, failure.is_none());
        match failure {
            None => {
                EXPORTED.add(u64::try_from(spans).unwrap_or(u64::MAX));
                if !was_reachable {
                    tracing::info!("traces are taken again");
                }
            }
            Some(reason) => {
                dropped(spans);
                if was_reachable {
                    tracing::warn!(
                        reason,
                        "traces are not taken by the collector; they are dropped until they are"
                    );
                }
            }
        }
    }

    /// A span in the exporter's words.
    fn written(&self, span: Ended) -> SpanData {
        let flags = TraceFlags::SAMPLED;
        let (trace, id) = (span.context.trace_id(), span.context.span_id());
        SpanData {
            span_context: SpanContext::new(TraceId::from(trace), SpanId::from(id), flags, false, TraceState::NONE),
            parent_span_id: span.parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: matches!(span.kind, Kind::Server | Kind::Consumer),
            span_kind: match span.kind {
                Kind::Server => SpanKind::Server,
                Kind::Client => SpanKind::Client,
                Kind::Producer => SpanKind::Producer,
                Kind::Consumer => SpanKind::Consumer,
            },
            name: span.name,
            start_time: span.began.into(),
            end_time: span.ended.into(),
            attributes: span.attributes.into_iter().map(attribute).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if span.failed { Status::error("") } else { Status::Unset },
            instrumentation_scope: self.scope.clone(),
        }
    }
}

fn attribute((key, value): (&'static str, Attribute)) -> KeyValue {
    match value {
        Attribute::Text(text) => KeyValue::new(key, text),
        Attribute::Number(number) => KeyValue::new(key, number),
    }
}
