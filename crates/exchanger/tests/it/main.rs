//! What exchanger promises, tried through its ports: a real store, a real simulated venue, books that check themselves, and
//! a clock that the tests own.

#![allow(
    clippy::unwrap_used,
    reason = "a test or a helper that cannot set its scene has failed"
)]

mod api;
mod booking;
mod books;
mod crashes;
mod decisions;
mod fate;
mod manners;
mod market;
mod model;
mod objections;
mod paths;
mod port;
mod reversals;
mod rulings;
mod scene;
mod submissions;
mod upgrades;
mod worker;
