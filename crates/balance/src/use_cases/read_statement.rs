//! Reading what was booked in a wallet, page by page.

use contracts::UserId;
use contracts::ledger::StatementLine;
use storage::StoreError;
use thiserror::Error;

use crate::ports::{LedgerStore, MAX_LINES};

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReadStatementError {
    /// The user has no wallet.
    #[error("the user has no wallet")]
    NoWallet,
    /// The books do not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The newest `limit` bookings with an `entry_id` below `before`, newest first: that of the last line of the page before; below
/// what is no line of this wallet there may be none. A limit beyond 1 … [`MAX_LINES`] is brought there.
///
/// # Errors
/// [`ReadStatementError`].
pub async fn read_statement(
    ledger: &dyn LedgerStore,
    user: UserId,
    before: Option<i64>,
    limit: usize,
) -> Result<Vec<StatementLine>, ReadStatementError> {
    let limit = limit.clamp(1, MAX_LINES);
    let lines = ledger.statement(user, before, limit).await?;
    lines.ok_or(ReadStatementError::NoWallet)
}
