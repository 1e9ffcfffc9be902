//! Where this service keeps its state.

pub mod sqlite;
