//! The way to the venue: [`simulated`] is a venue to develop and test on, [`server`] puts it behind HTTP for services that run
//! apart, and [`remote`] is how they reach it.

pub mod remote;
pub mod server;
pub mod simulated;
