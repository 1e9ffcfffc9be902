//! What this crate promises, tried from the outside: real listeners, real sockets, handed-in clocks.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot set its scene has failed the test"
)]

mod bodies;
mod internal_callers;
mod limits;
mod listener;
mod openapi;
mod pages_and_keys;
mod probes;
mod problems;
mod rate_limits;
mod references;
mod settings;
mod settings_secrets;
mod settings_smtp;
mod shutdown;
mod support;
mod telemetry;
mod token_keys;
mod tokens;
