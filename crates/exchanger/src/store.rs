//! Where exchanger's commands lie.

pub mod sqlite;
