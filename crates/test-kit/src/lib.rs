//! What tests share: the system under test, clients that speak the business, and the proof at the end.
//!
//! - [`api`]: a customer's view, over real HTTP;
//! - [`process`]: the real program as a child process, to be killed at will;
//! - [`system`]: the same system inside the test's process, with a venue and a chain that behave as told.

pub mod api;
pub mod process;
pub mod system;
