//! The stores, through their ports, on every database.
//!
//! Each file in `suites` is compiled once for every database, as a module of it, and finds there the store that it tests.

#![allow(clippy::unwrap_used, reason = "a test that cannot arrange its scene has failed")]
#![allow(clippy::duplicate_mod, reason = "one suite of tests, run on every database")]

mod crash;
mod desk;
mod disk_full;
mod given;
mod group_commit;
mod outbox_together;
mod postgres;
mod readers;
mod sqlite;
