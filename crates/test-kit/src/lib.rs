//! What tests share: the system under test, clients that speak the business, and the proof at the end.
//!
//! - [`api`]: a customer's view, over real HTTP;
//! - [`customers`]: many of them at once, who retry until they have their answer, and remember what they were told;
//! - [`reckoning`]: what a customer was told against what the system says in the end, to the last unit;
//! - [`process`]: the real program as a child process, to be killed at will;
//! - [`following`]: orders followed by their events;
//! - [`system`]: the same system inside the test's process, with a venue and a chain that behave as told;
//! - [`traces`]: a collector of traces;
//! - [`waiting`]: waiting with an end.

pub mod api;
pub mod customers;
pub mod following;
mod letters;
pub mod process;
pub mod reckoning;
mod scene;
pub mod system;
pub mod traces;
pub mod waiting;
