//! Cambist: the backend behind a "Buy bitcoin" button, wired together.
//!
//! The services know nothing of each other; this crate hands each its stores, its ports and its settings, and is the
//! only one that knows which adapter stands behind which port:
//!
//! - [`cli`]: what the program is asked to do; [`commands`]: what it then does;
//! - [`system`]: the six services in one process, on the embedded database;
//! - [`simulators`]: the outside world, as a process of its own;
//! - [`mod@bench`]: measures how many orders a second a machine completes;
//! - [`audit`]: proves on a database that the books balance and that no order is unexplained;
//! - [`event_stream`]: reads the events of an order, for the demo;
//! - [`secrets`]: what `up` makes at its first start.

pub mod audit;
pub mod bench;
pub mod cli;
pub mod commands;
pub mod event_stream;
pub mod secrets;
pub mod simulators;
pub mod system;
