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
mod snapshot;
mod tie_out;
mod transit;

use std::path::Path;
use std::time::Duration;

use contracts::SystemEntropy;
use futures::FutureExt as _;
use thiserror::Error;

pub use self::attention::Attention;
pub(crate) use self::attention::{WITH_COMMANDS, WITH_LETTERS};
pub use self::report::{Finding, MAX_FINDINGS, OrderCounts, Report};
pub use self::snapshot::ReadError;
use self::snapshot::{PostgresSnapshot, Snapshot, SqliteSnapshot};
use self::tie_out::TieOut;

/// How many orders or deposits are looked at together.
const PAGE: usize = 1_000;

/// Why a database cannot be audited.
#[derive(Debug, Error)]
pub enum AuditError {
    /// It cannot be opened or read, or it is no database of this version.
    #[error("the database {database} cannot be audited: {error}")]
    Database {
        /// Which one.
        database: String,
        /// Why.
        error: ReadError,
    },
    /// It lacks tables, or has unknown ones.
    #[error(transparent)]
    Schema(#[from] storage::migrations::SchemaError),
    /// Its server is not there, or does not let us read it.
    #[error(transparent)]
    Server(#[from] storage::postgres::ConnectError),
}

/// Audits the embedded database at `path`. `on_progress` hears how many orders have been looked at, page by page.
///
/// # Errors
/// [`AuditError`]. Books that are wrong are no error but findings.
pub fn audit(path: &Path, mut on_progress: impl FnMut(u64) + Send) -> Result<Report, AuditError> {
    let failed = |error| AuditError::Database {
        database: path.display().to_string(),
        error,
    };
    let connection = storage::sqlite::reader(path).map_err(|error| failed(error.into()))?;
    let mut snapshot = SqliteSnapshot::begin(connection).map_err(|error| failed(error.into()))?;
    storage::sqlite::check(snapshot.connection(), &crate::system::migrations())?;
    let report = check(&mut snapshot, &mut on_progress).now_or_never();
    report.expect("what reads a file waits for nobody").map_err(failed)
}

/// Audits the database on the server at `url`, for which a login is enough that may take the role of auditors and do nothing
/// else. Waits for a server that is not there yet, for `patience`. `on_progress` as for [`audit()`].
///
/// # Errors
/// [`AuditError`]. Books that are wrong are no error but findings.
pub async fn audit_server(
    url: &str,
    patience: Duration,
    mut on_progress: impl FnMut(u64) + Send,
) -> Result<Report, AuditError> {
    let mut tx = storage::postgres::auditor(url, patience, &SystemEntropy).await?;
    storage::postgres::check_snapshot(&mut tx, &crate::system::postgres_migrations()).await?;
    let mut snapshot = PostgresSnapshot(tx);
    let report = check(&mut snapshot, &mut on_progress).await;
    snapshot.0.roll_back().await;
    report.map_err(|error| AuditError::Database {
        database: "on the server".to_owned(),
        error,
    })
}

async fn check(snapshot: &mut dyn Snapshot, on_progress: &mut (dyn FnMut(u64) + Send)) -> Result<Report, ReadError> {
    let mut report = Report::new(snapshot.check_books().await?);
    let (mut hot_wallet, mut in_transit) = (TieOut::of_the_hot_wallet(), TieOut::in_transit());
    hot_wallet.add_all(&snapshot.funding().await?);
    // Corrections are made by hand: their number is a person's patience.
    hot_wallet.add_all(&snapshot.adjustments().await?);
    report.attention = Attention::read(snapshot).await?;
    coins::check(snapshot, &mut report).await?;
    deposits::check(snapshot, &mut report).await?;
    orders::check(snapshot, &mut report, (&mut hot_wallet, &mut in_transit), on_progress).await?;
    for tie_out in [hot_wallet, in_transit] {
        let actual = snapshot.balances_of(tie_out.owner()).await?;
        tie_out.compare(&actual, &mut report);
    }
    Ok(report)
}
