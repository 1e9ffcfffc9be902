//! The way to the chain: [`bounded`] puts a limit on every call, [`simulated`] is a chain to develop and test on, [`server`]
//! puts it behind HTTP for services that run apart, and [`remote`] is how they reach it.

mod bounded;
pub mod remote;
pub mod server;
pub mod simulated;

pub(crate) use bounded::Bounded;
