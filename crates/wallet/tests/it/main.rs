//! The wallet's tests: the sagas as pure functions, the store through its ports, the service over fakes of its
//! neighbours.

#![allow(clippy::unwrap_used, reason = "a test that cannot arrange its scene has failed")]

mod admission;
mod apart;
mod api;
mod commands;
mod conformance;
mod deposits;
mod diagrams;
mod events;
mod freezes;
mod keys;
mod letters;
mod operators;
mod orders;
mod postgres;
mod recovery;
mod saga_properties;
mod saga_table;
mod samples;
mod sqlite;
mod statement;
mod upgrades;
mod world;
