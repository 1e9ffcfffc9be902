//! A span: something that took time, with its cause.

use std::borrow::Cow;

use jiff::Timestamp;

use super::orders::{cause_of, note};
use super::{TRACES, TraceContext, are_collected};
use crate::messages::{Queue, Step};
use crate::metrics::Stopwatch;
use crate::time::later;
use crate::{OrderId, ServiceName};

/// Which side of which exchange a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Answers a request.
    Server,
    /// Asks another service.
    Client,
    /// Sends a message.
    Producer,
    /// Works on a message.
    Consumer,
}

/// A fact about a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A name.
    Text(Cow<'static, str>),
    /// A number.
    Number(i64),
}

impl From<&'static str> for Attribute {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for Attribute {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for Attribute {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its place.
    pub context: TraceContext,
    /// The span that caused it.
    pub parent: Option<u64>,
    /// Which side of which exchange it is.
    pub kind: Kind,
    /// What was done.
    pub name: Cow<'static, str>,
    /// When it began.
    pub began: Timestamp,
    /// When it ended; never before it began, whatever the clock did.
    pub ended: Timestamp,
    /// What is known of it.
    pub attributes: Vec<(&'static str, Attribute)>,
    /// Whether it failed, by us.
    pub failed: bool,
}

/// A span under way. It ends when it is dropped.
#[derive(Debug)]
pub struct Span {
    ended: Option<Ended>,
    context: TraceContext,
    since: Stopwatch,
}

impl Span {
    /// Begins a span, where spans are made.
    #[must_use]
    pub fn begin(kind: Kind, name: impl Into<Cow<'static, str>>, parent: Option<TraceContext>) -> Option<Self> {
        let traces = TRACES.get()?;
        let context = TraceContext::below(parent, &*traces.entropy);
        let began = traces.clock.now();
        let ended = context.is_sampled().then(|| Ended {
            context,
            parent: parent.map(TraceContext::span_id),
            kind,
            name: name.into(),
            began,
            ended: began,
            attributes: Vec::new(),
            failed: false,
        });
        Some(Self {
            ended,
            context,
            since: Stopwatch::start(),
        })
    }

    /// A request that is answered: by its method, if that is a known one, and its route's template.
    #[must_use]
    pub fn serving(method: Option<&'static str>, route: Option<&str>, cause: Option<TraceContext>) -> Option<Self> {
        if !are_collected() {
            return None;
        }
        let known = method.unwrap_or("HTTP");
        let name = route.map_or_else(|| Cow::Borrowed(known), |route| format!("{known} {route}").into());
        let mut span = Self::begin(Kind::Server, name, cause)?;
        span.set("http.request.method", method.unwrap_or("_OTHER"));
        if let Some(route) = route {
            span.set("http.route", route.to_owned());
        }
        Some(span)
    }

    /// A message of an order's `step` on its way to `queue`. `stored` is the cause that was stored with it.
    #[must_use]
    pub fn publishing(queue: Queue, order: OrderId, step: Option<Step>, stored: Option<TraceContext>) -> Option<Self> {
        if !are_collected() {
            return None;
        }
        let cause = stored.or_else(|| cause_of(order));
        let mut span = Self::begin(Kind::Producer, format!("publish {queue}"), cause)?;
        span.messaging(queue, "publish", "send");
        span.of(order, step);
        Some(span)
    }

    /// An order's `step` being worked on by the worker on `queue`.
    #[must_use]
    pub fn processing(queue: Queue, order: OrderId, step: Step) -> Option<Self> {
        if !are_collected() {
            return None;
        }
        let mut span = Self::begin(Kind::Consumer, format!("process {queue}"), cause_of(order))?;
        span.messaging(queue, "process", "process");
        span.of(order, Some(step));
        Some(span)
    }

    /// An order's `step` on its way to another service.
    #[must_use]
    pub fn calling(service: ServiceName, order: OrderId, step: Option<Step>) -> Option<Self> {
        if !are_collected() {
            return None;
        }
        let method = if service == ServiceName::Balance {
            "post"
        } else {
            "submit"
        };
        let mut span = Self::begin(Kind::Client, format!("{service}/{method}"), cause_of(order))?;
        span.set("rpc.system", "cambist");
        span.set("rpc.service", service.to_string());
        span.set("rpc.method", method);
        span.of(order, step);
        Some(span)
    }

    /// Its place, for those that it causes.
    #[must_use]
    pub const fn context(&self) -> TraceContext {
        self.context
    }

    /// Says something of it. Never a secret, an amount, or what a client wrote.
    pub fn set(&mut self, key: &'static str, value: impl Into<Attribute>) {
        if let Some(ended) = &mut self.ended {
            ended.attributes.push((key, value.into()));
        }
    }

    /// It failed, and that is not its client's fault.
    pub fn fail(&mut self) {
        if let Some(ended) = &mut self.ended {
            ended.failed = true;
        }
    }

    fn messaging(&mut self, queue: Queue, name: &'static str, kind: &'static str) {
        self.set("messaging.system", "cambist");
        self.set("messaging.destination.name", queue.as_str());
        self.set("messaging.operation.name", name);
        self.set("messaging.operation.type", kind);
    }

    fn of(&mut self, order: OrderId, step: Option<Step>) {
        self.set("order_id", order.get());
        if let Some(step) = step {
            self.set("step", step.as_str());
        }
        note(order, self.context);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let (Some(traces), Some(mut ended)) = (TRACES.get(), self.ended.take()) {
            ended.ended = later(ended.began, self.since.elapsed());
            traces.collector.take(ended);
        }
    }
}
