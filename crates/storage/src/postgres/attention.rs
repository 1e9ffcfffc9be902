//! What waits for a person: counts for an auditor, read in a transaction that is handed in, so that they fit whatever else
//! is read from the same snapshot.

use contracts::ServiceName;

use super::outbox::count;
use super::{Tx, TxError};

/// How many dead letters `service` has that wait for a person: messages that nobody could make sense of. Only services
/// with an outbox ([`super::OUTBOX_SCHEMA`]) can have any.
///
/// # Errors
/// What the database says; for a service without an outbox, that there is no such table.
pub async fn dead_letters(tx: &mut Tx, service: ServiceName) -> Result<u64, TxError> {
    let sql = format!("SELECT count(*) FROM {service}.dead_letters WHERE replayed_at IS NULL");
    count(&tx.query(&sql, &[]).await?)
}

/// How many commands of `service` are [`State::Dead`](crate::commands::State::Dead): they cannot be worked on until a person
/// has looked. Only services with commands ([`super::COMMANDS_SCHEMA`]) can have any.
///
/// # Errors
/// What the database says; for a service without commands, that there is no such table.
pub async fn dead_commands(tx: &mut Tx, service: ServiceName) -> Result<u64, TxError> {
    // Spelled out: a parameter might not find the index.
    let sql = format!("SELECT count(*) FROM {service}.commands WHERE state = 'dead'");
    count(&tx.query(&sql, &[]).await?)
}
