//! Reads a user's bookings, newest first, page by page.

use contracts::UserId;
use contracts::clients::ClientError;
use contracts::ledger::StatementLine;
use service_kit::extract::{Page, PageQuery};

use super::Wallet;

/// A page of the statement; `None` when the user has no wallet.
pub(crate) async fn read_transactions(
    wallet: &Wallet,
    user: UserId,
    query: PageQuery,
) -> Result<Option<Page<StatementLine>>, ClientError> {
    let balance = &wallet.ports.balance;
    let limit = query.limit.get();
    let Some(mut lines) = balance.statement(user, query.cursor, limit).await? else {
        return Ok(None);
    };
    // The ledger gives a hundred at most, so whether there is more after a full page is asked for itself.
    let last = lines.last().map(|line| line.entry_id);
    if lines.len() == limit {
        lines.extend(balance.statement(user, last, 1).await?.unwrap_or_default());
    }
    Ok(Some(Page::cut(lines, query.limit, |line| line.entry_id)))
}
