//! Traces: what a request caused, over queues, processes and time, as spans of one trace each order.
//!
//! By W3C Trace Context (<https://www.w3.org/TR/trace-context/>) between processes and by OpenTelemetry's semantic
//! conventions in names and attributes, so that every collector reads them. Whoever does the work says here what it does;
//! who collects the spans is handed in once ([`collect`]), and sends them elsewhere (`service-kit`).
//!
//! What it keeps true: nothing is ever decided by a trace, and no work waits for one. Without a collector no span is made, no
//! text written and nothing looked up. No span holds a secret, an amount or what a client wrote. The causes of orders are
//! bounded in number and only in memory: what a process knew of them when it died it learns again from messages, or begins a
//! new trace with the order's id in it.

mod context;
mod orders;
mod span;

use std::sync::{Arc, OnceLock};

pub use self::context::{TraceContext, present, within};
use self::orders::Orders;
pub use self::orders::{cause_of, causes_of, learn, learn_all, note};
pub use self::span::{Attribute, Ended, Kind, Span};
use crate::{Clock, Entropy};

/// The header in which one internal request names the causes of several orders, where `traceparent` has room for one:
/// `17=00-…-…-01,18=00-…-…-01`.
pub const CAUSES_HEADER: &str = "cambist-traces";

/// Takes spans that have ended.
pub trait Collector: Send + Sync {
    /// Takes a span, or drops it. MUST return at once.
    fn take(&self, span: Ended);
}

struct Traces {
    collector: Box<dyn Collector>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    orders: Orders,
}

static TRACES: OnceLock<Traces> = OnceLock::new();

/// From now on spans are made, with the time of `clock` and names from `entropy`, and go to `collector`. A process has one
/// collector: whether it is this one.
pub fn collect(collector: impl Collector + 'static, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> bool {
    let traces = Traces {
        collector: Box::new(collector),
        clock,
        entropy,
        orders: Orders::default(),
    };
    TRACES.set(traces).is_ok()
}

/// Whether spans are made.
#[must_use]
pub fn are_collected() -> bool {
    TRACES.get().is_some()
}
