//! What is under way between services: counts read in a transaction that is handed in, so that they fit whatever else is
//! read from the same snapshot. Each looks at what is under way alone, so it is cheap at any time.

use contracts::ServiceName;

use super::outbox::count;
use super::{Tx, TxError};
use crate::outbox::Destination;

/// How many commands of `service` are not at their end. Only services with commands can have any.
///
/// # Errors
/// What the database says; for a service without commands, that there is no such table.
pub async fn open_commands(tx: &mut Tx, service: ServiceName) -> Result<u64, TxError> {
    // The condition repeats that of the partial index.
    let sql = format!("SELECT count(*) FROM {service}.commands WHERE state = 'open'");
    count(&tx.query(&sql, &[]).await?)
}

/// How many effects of `service` are on their way to `destination`.
///
/// # Errors
/// What the database says; for a service without an outbox, that there is no such table.
pub async fn effects_under_way(tx: &mut Tx, service: ServiceName, destination: Destination) -> Result<u64, TxError> {
    let sql = format!("SELECT count(*) FROM {service}.outbox WHERE destination = $1");
    count(&tx.query(&sql, &[&destination.to_string()]).await?)
}
