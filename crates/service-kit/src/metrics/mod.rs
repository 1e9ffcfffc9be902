//! What this process shows to Prometheus: `GET /metrics` on the internal listener, without a token, beside the probes.
//!
//! There are two kinds of figures. What happens on the path of a request is counted where it happens, by
//! [`contracts::metrics`], which has no names; a service names its own in its `src/metrics.rs`, the wiring those of
//! storage and transport, and both [`Registry::value`] them. What stands in tables is read when somebody looks, by a
//! [`Survey`], in bounded queries beside the writer, and remembered for a while, so that looking often costs nothing.
//!
//! What it keeps true:
//!
//! - nothing is global: a registry is made for a system and handed in, so that several systems live in one process;
//! - a label's values are few and known beforehand: never an id, a name, a path or a secret;
//! - a survey that fails is a figure that says so, and takes only its own figures away; the page is there all the same;
//! - floats are in one file, [`exposition`](self), behind every figure, and nothing ever comes back from there.

mod exposition;
mod family;
mod http;
mod process;
mod reference;
mod registry;
mod survey;

pub use family::{Family, Kind};
pub use http::{HttpMetrics, ListenerMetrics};
pub use process::{Process, disk};
pub use registry::{Registry, Scrape};
pub use survey::{Figures, Survey};

/// Where times of milliseconds to seconds are divided, in microseconds: answers, commits.
pub const LATENCIES: &[u64] = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 5_000_000, 10_000_000,
];
