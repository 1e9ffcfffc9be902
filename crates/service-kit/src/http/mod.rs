//! The HTTP server around the routes: everything a stranger can do to it has a limit.
//!
//! [`serve`] bounds connections, headers and idleness; [`guard`] bounds how many requests are worked on and for how
//! long, before a token or a body is looked at; [`rate_limited`] bounds what one address may ask.

mod awaited;
mod closing;
mod guard;
mod patient;
mod rate_limit;
mod serve;

pub use closing::Closing;
pub use guard::{RequestLimits, guard};
pub use rate_limit::{RateLimit, rate_limited};
pub use serve::{ServeLimits, serve};
