//! What exchanger does: take commands in, and carry them out.

pub mod execute;
mod operate;
pub mod submit;
