//! What the services agree on.
//!
//! Ids, money, time, randomness, the language of the ledger, the messages on the queues, the ports
//! through which services call each other, and what is counted and traced on the way. Nothing here does I/O: every crate may depend on this one, and
//! this one depends on none of ours.

pub mod clients;
pub mod email;
pub mod ids;
pub mod ledger;
pub mod messages;
pub mod metrics;
pub mod money;
pub mod operators;
pub mod random;
pub mod time;
pub mod traces;

mod schema;

pub use ids::{DepositId, OrderId, ServiceName, UserId};
pub use money::{Amount, Asset, AssetKind, BasisPoints, Price, Rounding};
pub use random::{Entropy, SeededEntropy, SystemEntropy};
pub use schema::PositiveDecimal;
pub use time::{Clock, ManualClock, SystemClock};
