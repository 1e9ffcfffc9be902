//! The tests of the gateway, by theme. Each has a world of its own: databases in a temporary folder, a clock that stands
//! still, a simulated chain with scripted manners, and a ledger made by hand. Each file in `suites` is compiled once for
//! every database, as a module of it, and finds there the stores that it tests.

#![allow(clippy::unwrap_used, reason = "a test that meets an error should fail there")]
#![allow(clippy::duplicate_mod, reason = "one suite of tests, run on every database")]

mod api;
mod chain;
mod coins;
mod compensate;
mod crash;
mod disk;
mod fuse;
mod illegible;
mod ledger;
mod nonces;
mod port;
mod postgres;
mod property;
mod refused;
mod remote;
mod rulings;
mod service;
mod sqlite;
mod stores;
mod sweep;
mod transit;
mod withdraw;
mod world;
