//! The whole system from outside: real HTTP, a real database, and a world that behaves as the test says.

#![allow(
    clippy::unwrap_used,
    reason = "a test or a helper that cannot set its scene has failed"
)]

mod abuse;
mod adversary;
mod audit;
mod bench;
mod black_box;
mod clients;
mod complaints;
mod crash;
mod demo;
mod ending;
mod events;
mod faults;
mod idempotency;
mod mail;
mod metrics;
mod openapi;
mod ops;
mod postman;
mod program;
mod races;
mod refusals;
mod refused_starts;
mod rehearsal;
mod replicas;
mod restart;
#[path = "../../../notification/tests/it/server.rs"]
mod server;
mod simulate;
mod states;
mod tour;
mod traces;
