//! What is decided without asking anybody: who sends what to whom, what comes next, which key is whose.

pub mod custody;
pub(crate) mod hex;
pub mod movement;
pub mod progress;
pub mod purse;
pub mod ruling;
pub mod sweep;
pub mod transfer;
