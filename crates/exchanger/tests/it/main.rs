//! What exchanger promises, tried through its ports: a real store, a real simulated venue, books that check themselves, and
//! a clock that the tests own. Each file in `suites` is compiled once for every database, as a module of it, and finds there
//! the stores that it tests.

#![allow(
    clippy::unwrap_used,
    reason = "a test or a helper that cannot set its scene has failed"
)]
#![allow(clippy::duplicate_mod, reason = "one suite of tests, run on every database")]

mod api;
mod booking;
mod books;
mod crashes;
mod decisions;
mod disk;
mod fate;
mod listener;
mod manners;
mod market;
mod model;
mod objections;
mod paths;
mod port;
mod postgres;
mod remote;
mod reversals;
mod rulings;
mod scene;
mod sqlite;
mod submissions;
mod upgrades;
mod worker;
