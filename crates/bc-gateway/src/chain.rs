//! The way to the chain: [`bounded`] puts a limit on every call, [`simulated`] is a chain to develop and test on.

mod bounded;
pub mod simulated;

pub(crate) use bounded::Bounded;
