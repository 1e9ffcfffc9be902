//! Venues: the adapters to the outside.

pub mod simulated;
