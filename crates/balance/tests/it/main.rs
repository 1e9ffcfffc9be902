//! The ledger: its decisions against a model on paper, its store through the port, its routes over HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot arrange its scene has failed")]

mod api;
mod audit;
mod client;
mod conformance;
mod decisions;
mod given;
mod model;
mod port;
mod postgres;
mod properties;
mod races;
mod restarts;
mod survey;
mod upgrades;
mod walk;
