//! How work travels, over real stores: nothing is lost but time, whoever dies, hangs or panics.

#![allow(clippy::unwrap_used, reason = "a test that cannot arrange its scene has failed")]

mod adversary;
mod command_worker;
mod conformance;
mod couriers;
mod dispatcher;
mod given;
mod handlers;
mod http;
mod local;
mod nats;
mod nats_faults;
mod nats_start;
mod queue_courier;
mod queues;
mod spans;
mod watched;
mod worker_shutdown;
mod wrong_clocks;
