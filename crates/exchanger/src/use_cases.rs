//! What exchanger does: take commands in, and carry them out.

pub mod execute;
pub mod submit;
