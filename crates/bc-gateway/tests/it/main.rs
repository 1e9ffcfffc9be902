//! The tests of the gateway, by theme. Each has a world of its own: databases in a temporary folder, a clock that stands
//! still, a simulated chain with scripted manners, and a ledger made by hand.

#![allow(clippy::unwrap_used, reason = "a test that meets an error should fail there")]

mod api;
mod chain;
mod coins;
mod compensate;
mod crash;
mod fuse;
mod ledger;
mod nonces;
mod port;
mod property;
mod refused;
mod remote;
mod rulings;
mod service;
mod store;
mod sweep;
mod transit;
mod withdraw;
mod world;
