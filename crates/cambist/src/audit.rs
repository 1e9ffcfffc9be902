//! The audit: proves on one snapshot of a database that the books balance and that no order is unexplained.
//!
//! It reads every service's rows through that service's own reads, and compares what no service can compare alone:
//! the ledger's transfers with what the orders say, the orders with their logs, the hot wallet and what is in transit with all of them.
//! It changes nothing, and may run beside a process that is at work. Memory is bounded: orders and deposits are read
//! page by page, findings are listed up to a limit and counted beyond it.

mod attention;
mod coins;
mod deposits;
mod expected;
mod legs;
mod neighbours;
mod nets;
mod orders;
mod report;
mod tie_out;
mod transit;

use std::path::Path;

use rusqlite::Connection;
use thiserror::Error;

pub use self::attention::Attention;
pub(crate) use self::attention::{WITH_COMMANDS, WITH_LETTERS};
pub use self::report::{Finding, MAX_FINDINGS, OrderCounts, Report};
use self::tie_out::TieOut;

/// How many orders or deposits are looked at together.
const PAGE: usize = 1_000;

/// Why a database cannot be audited.
#[derive(Debug, Error)]
pub enum AuditError {
    /// It cannot be opened or read, or it is no database of this version.
    #[error("the database {path} cannot be audited: {error}")]
    Database {
        /// The file.
        path: String,
        /// Why.
        error: rusqlite::Error,
    },
    /// It lacks tables, or has unknown ones.
    #[error(transparent)]
    Schema(#[from] storage::migrations::SchemaError),
}

/// Audits the database at `path`. `on_progress` hears how many orders have been looked at, page by page.
///
/// # Errors
/// [`AuditError`]. Books that are wrong are no error but findings.
pub fn audit(path: &Path, mut on_progress: impl FnMut(u64)) -> Result<Report, AuditError> {
    let failed = |error| AuditError::Database {
        path: path.display().to_string(),
        error,
    };
    let connection = storage::sqlite::reader(path).map_err(failed)?;
    storage::sqlite::check(&connection, &crate::system::migrations())?;
    // One read transaction: all services are seen as of the same commit.
    let snapshot = connection.unchecked_transaction().map_err(failed)?;
    check(&snapshot, &mut on_progress).map_err(failed)
}

fn check(snapshot: &Connection, on_progress: &mut dyn FnMut(u64)) -> rusqlite::Result<Report> {
    let mut report = Report::new(balance::store::sqlite::audit::check_books(snapshot)?);
    let (mut hot_wallet, mut in_transit) = (TieOut::of_the_hot_wallet(), TieOut::in_transit());
    hot_wallet.add_all(&balance::store::sqlite::audit::funding(snapshot)?);
    // Corrections are made by hand: their number is a person's patience.
    hot_wallet.add_all(&balance::store::sqlite::audit::transfers_of_adjustments(
        snapshot,
        1,
        i64::MAX,
    )?);
    report.attention = Attention::read(snapshot)?;
    coins::check(snapshot, &mut report)?;
    deposits::check(snapshot, &mut report)?;
    orders::check(snapshot, &mut report, (&mut hot_wallet, &mut in_transit), on_progress)?;
    for tie_out in [hot_wallet, in_transit] {
        let actual = balance::store::sqlite::audit::balances_of(snapshot, tie_out.owner())?;
        tie_out.compare(&actual, &mut report);
    }
    Ok(report)
}
