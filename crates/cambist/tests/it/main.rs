//! The whole system from outside: real HTTP, a real database, and a world that behaves as the test says.

#![allow(
    clippy::unwrap_used,
    reason = "a test or a helper that cannot set its scene has failed"
)]

mod abuse;
mod audit;
mod bench;
mod clients;
mod complaints;
mod crash;
mod demo;
mod ending;
mod events;
mod idempotency;
mod mail;
mod metrics;
mod openapi;
mod ops;
mod program;
mod races;
mod refusals;
mod rehearsal;
mod restart;
#[path = "../../../notification/tests/it/server.rs"]
mod server;
mod simulate;
mod states;
mod tour;
