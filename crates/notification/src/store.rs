//! Where notifications lie.

pub mod sqlite;
