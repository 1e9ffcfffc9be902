//! What decides about orders and deposits: pure, shared by every store adapter, and replayed by the audit.
//!
//! - [`order`]: what an order is, and the states it can be in;
//! - [`saga`]: the one function that moves it, [`saga::advance`];
//! - [`mod@replay`]: the proof that an order's log gives its state;
//! - [`story`]: that log, told entry by entry with the amounts known by then;
//! - [`effects`]: the commands that a state asks for; [`notice`]: what the user is told in the end;
//! - [`deposit`]: fiat on its way in.

pub mod deposit;
pub mod effects;
pub mod notice;
pub mod order;
pub mod replay;
pub mod saga;
pub mod story;

pub use deposit::{Deposit, DepositStatus};
pub use effects::{Command, Notice, command};
pub use order::{InvalidTerms, MAX_UNITS, Order, OrderState, OrderStatus, Stage, Terms};
pub use replay::{LogEntry, ReplayError, replay};
pub use saga::{Advance, DEFINITION, Effect, Event, Fact, MAX_RELEASE_REFUSALS, Moved, Saga, Why, advance};
pub use story::{Chapter, Story};
