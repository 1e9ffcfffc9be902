//! Durable state, for every service alike.
//!
//! - [`sqlite`]: the embedded database: one writer thread that commits whatever waits as one group, a few
//!   readers beside it.
//! - [`postgres`]: the database that several processes share: pooled connections under a role for each service.
//! - [`migrations`]: ordered, embedded schema changes, checked at start.
//! - [`outbox`]: effects that leave a service, stored in the transaction that causes them.
//! - [`survey`]: how much waits, for whoever watches.
//! - [`commands`]: the command store, the common machine of `exchanger`, `bc_gateway` and `notification`.
//!
//! What it keeps true: nothing is told to anybody before it is on disk, and whatever is on disk is told.

pub mod commands;
mod error;
pub mod letters;
pub mod migrations;
pub mod outbox;
pub mod postgres;
pub mod sqlite;
pub mod survey;

pub use error::StoreError;
