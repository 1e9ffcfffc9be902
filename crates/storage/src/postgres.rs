//! The database that several processes share.
//!
//! Each service has a schema and a role of its own, and reaches the server through a pool of its own, under that role. A
//! transaction loads and locks, decides in Rust, and writes: the rows of a call are locked in the order of their keys, read
//! and written by one statement each (`unnest`), and the statements that need no answer of one another travel together. So
//! a call costs two or three round trips, whatever its batch.
//!
//! Times are microseconds since the epoch, as in the other database: the same whole number here and there, over the same
//! range, which one conformance suite compares and one audit reads. Amounts are `numeric(39,0)`.

mod acts;
mod attention;
mod auditor;
mod columns;
mod commands;
mod connect;
mod database;
mod desk;
mod error;
mod letters;
mod migrate;
mod outbox;
mod survey;
mod tx;
mod under_way;

pub use acts::{Acts, OPERATORS_SCHEMA};
pub use attention::{dead_commands, dead_letters};
pub use auditor::auditor;
pub use columns::{Numeric, from_micros, text};
pub use commands::{COMMANDS_SCHEMA, PostgresCommands};
pub use connect::{ConnectError, wait_for_server};
pub use database::{Connections, Database, Options, Tries};
pub use desk::{Desk, Work};
pub use error::TxError;
pub use letters::PostgresLetters;
pub use migrate::{check, check_snapshot, migrate};
pub use outbox::{OUTBOX_SCHEMA, PostgresOutbox, in_turns};
pub use survey::{survey_commands, survey_outbox};
pub use tx::{Param, Tx};
pub use under_way::{effects_under_way, open_commands};
