//! How work travels between services and workers.
//!
//! - [`queue`]: the queue port; [`local`]: its adapter inside one process; [`nats`]: its adapter between processes.
//! - [`dispatcher`]: carries outbox rows to their destinations, at once after the commit or from the table.
//! - [`command_worker`]: drives a service's command store: wakes, claims, hands to the service's decision, settles.
//! - [`http`]: the client ports between processes.
//! - [`metrics`]: what they count.
//! - [`adversary`]: doubles, shuffles and delays what any of them delivers, for tests.
//! - [`steps`]: what sweeps do about a clock that is set back.
//!
//! What it keeps true: whatever travels may be lost, doubled or late without any harm but time, because the
//! databases hold the truth and every receiver is idempotent. Everything is bounded.

pub mod adversary;
pub mod command_worker;
pub mod dispatcher;
mod gather;
pub mod http;
pub mod local;
pub mod metrics;
pub mod nats;
pub mod queue;
pub mod steps;

/// What a panic said.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
