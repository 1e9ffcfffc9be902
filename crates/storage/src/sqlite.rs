//! The embedded database.
//!
//! One file, one writer thread, a few readers: what was acknowledged survives a power cut.

mod acts;
mod attention;
mod columns;
mod commands;
mod database;
mod desk;
mod letters;
mod migrate;
mod outbox;
mod readers;
mod survey;
mod under_way;
mod writer;

pub use acts::{Acts, OPERATORS_SCHEMA};
pub use attention::{dead_commands, dead_letters};
pub use columns::{AmountBlob, bad_column, from_micros, micros};
pub use commands::{COMMANDS_SCHEMA, DEAD_COMMANDS_INDEX, SqliteCommands};
pub use database::{Database, Durability, OpenError, Options, reader};
pub use desk::Desk;
pub use letters::SqliteLetters;
pub use migrate::{check, migrate};
pub use outbox::{OUTBOX_SCHEMA, OUTBOX_TIMES, OUTBOX_TOGETHER, OutboxRows, SqliteOutbox};
pub use readers::Readers;
pub use survey::{survey_commands, survey_outbox};
pub use under_way::{effects_under_way, open_commands};
pub use writer::{Tx, Writer, WriterMetrics};
