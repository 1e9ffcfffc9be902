//! Where this service keeps its state.

pub mod audit;
pub mod postgres;
pub mod sqlite;
