//! Where orders and deposits are kept: one adapter per database, the decisions of `domain` in all of them.

pub mod audit;
mod changes;
pub mod postgres;
pub mod sqlite;
mod survey;
