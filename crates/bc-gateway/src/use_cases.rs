//! What this service does, one verb per file.

mod operate;
pub mod sign;
pub mod submit;
pub mod sweep;
pub mod transfer;
