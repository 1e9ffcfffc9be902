//! Where notifications lie.

pub mod audit;
pub mod postgres;
pub mod sqlite;
