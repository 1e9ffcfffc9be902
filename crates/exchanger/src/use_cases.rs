//! What exchanger does: take commands in, and carry them out.

mod ask;
pub mod execute;
mod operate;
pub mod submit;
