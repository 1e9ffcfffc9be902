//! Where exchanger's commands lie.

pub mod audit;
pub mod postgres;
pub mod sqlite;
