//! The wallet's store on PostgreSQL, for several processes: [`PostgresWallet`] is all its ports; [`audit`] reads the facts
//! that the audit checks.
//!
//! What a call reads and then changes is locked before it is read: orders and deposits by their rows, in the order of their
//! numbers; users, of whose requests there is no row yet, by `wallet.lock_users`, before anything else. What is due is taken
//! past the locks of others. Work that comes one by one, each with a request that waits, is done together
//! ([`Desk`]).

mod accept;
pub mod audit;
mod deposits;
mod freezes;
mod keys;
mod moves;
mod operators;
mod orders;
mod reads;
mod rows;
mod survey;

use contracts::ServiceName;
use storage::StoreError;
use storage::migrations::Migrations;
use storage::postgres::{Acts, Database, Desk, OPERATORS_SCHEMA, OUTBOX_SCHEMA, PostgresOutbox, TxError};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use self::accept::Accepting;
use self::freezes::AskingForFreezes;
use self::moves::Moving;
use self::rows::count;
pub use self::survey::SagaSurvey;

/// The wallet's schema on PostgreSQL, in order.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::Wallet)
        .then("orders", include_str!("../../migrations/postgres/0001_orders.sql"))
        .then("outbox", OUTBOX_SCHEMA)
        .then("operators", OPERATORS_SCHEMA)
}

/// Orders, deposits, freezes and keys on PostgreSQL. Clones share the connections, and work together.
#[derive(Clone)]
pub struct PostgresWallet {
    database: Database,
    outbox: PostgresOutbox,
    acts: Acts,
    accepting: Desk<Accepting>,
    moving: Desk<Moving>,
    asking: Desk<AskingForFreezes>,
}

impl PostgresWallet {
    /// The orders and deposits in `database`, which has [`migrations`] applied and is this service's. Their effects leave
    /// through `outbox`.
    #[must_use]
    pub fn new(database: Database, outbox: PostgresOutbox) -> Self {
        let (of_new, of_moved) = (outbox.clone(), outbox.clone());
        Self {
            accepting: Desk::new(database.clone(), Accepting { outbox: of_new }),
            moving: Desk::new(database.clone(), Moving { outbox: of_moved }),
            asking: Desk::new(database.clone(), AskingForFreezes),
            database,
            outbox,
            acts: Acts::new(ServiceName::Wallet),
        }
    }
}

/// Locks users: whatever is looked up after it about them stays true until the transaction ends.
const LOCK_USERS: &str = "SELECT wallet.lock_users($1)::text";

/// The most rows that one statement makes due: few enough for it to end in time, however many there are.
const TURN: i64 = 1_000;

/// A bound on rows as PostgreSQL takes it.
fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Makes rows due by `make`, a thousand at a time, and counts by `all` how many there are. What is done stays done when a
/// later turn fails.
async fn make_due(database: &Database, make: &str, all: &str, now: i64) -> Result<u64, StoreError> {
    // Each turn goes on where the last one ended: what that made due is not looked at again.
    let mut from = now.saturating_add(1);
    loop {
        let params: [&(dyn ToSql + Sync); 3] = [&now, &TURN, &from];
        let made = database.query(make, &params).await?;
        match latest(&made)? {
            Some(latest) if count(&made)? == TURN.unsigned_abs() => from = latest,
            Some(_) | None => break,
        }
    }
    Ok(count(&database.query(all, &[]).await?)?)
}

/// When the last row of a turn was due; `None` of an empty one.
fn latest(made: &[Row]) -> Result<Option<i64>, TxError> {
    let row = made.first().ok_or_else(|| rows::bad("nothing was counted"))?;
    Ok(row.try_get(1)?)
}
