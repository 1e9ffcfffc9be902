//! Orders, sagas and deposits: the heart of the system.

pub mod domain;
pub mod ports;
pub mod store;
