//! The audit's reads, as functions over a connection: so that an auditor checks the ledger and every other service's
//! rows on one and the same snapshot, and so that a database can be audited that no process serves.
//!
//! Whoever wants several of these to fit together calls them inside one read transaction.

mod accounts;
mod chains;
mod lists;

use contracts::ledger::Origin;
use rusqlite::Connection;
use rusqlite::types::Type;
use storage::sqlite::bad_column;

use self::accounts::Accounts;
pub use self::lists::{balances_of, funding, transfers_of_adjustments, transfers_of_deposits, transfers_of_orders};
use crate::domain::{BooksReport, Violation};

const USERS_WITHOUT_WALLET: &str = "SELECT a.id FROM balance_accounts a WHERE a.owner GLOB 'user:*' AND NOT EXISTS
     (SELECT 1 FROM balance_wallets w WHERE w.user_id = CAST(substr(a.owner, 6) AS INTEGER))";

const REFUSED_AND_BOOKED: &str = "SELECT r.origin_kind, r.origin_id FROM balance_refusals r
     JOIN balance_transfers t ON t.origin_kind = r.origin_kind AND t.origin_id = r.origin_id AND t.leg = r.leg";

const EMPTY_ADJUSTMENTS: &str = "SELECT a.id FROM balance_adjustments a WHERE NOT EXISTS
     (SELECT 1 FROM balance_transfers t WHERE t.origin_kind = 'adjustment' AND t.origin_id = a.id)";

const STRAY_ADJUSTMENTS: &str = "SELECT t.entry_id FROM balance_transfers t WHERE t.origin_kind = 'adjustment'
     AND NOT EXISTS (SELECT 1 FROM balance_adjustments a WHERE a.id = t.origin_id)";

/// Checks the whole books: every balance is the sum of its transfers, transfer by transfer, from zero on; the balances
/// of every asset add up to zero; nobody who must stay solvent was ever below zero; refused holds are not booked.
///
/// All of it on one snapshot: the transaction `connection` is in, else one of its own. The transfers are read in the
/// order of booking, once for every million accounts; memory is a few bytes for each account and does not depend on
/// the number of transfers.
///
/// # Errors
/// What SQLite says. Books that are wrong are no error but violations.
pub fn check_books(connection: &Connection) -> rusqlite::Result<BooksReport> {
    let own = connection
        .is_autocommit()
        .then(|| connection.unchecked_transaction())
        .transpose()?;
    let mut report = BooksReport::default();
    let accounts = Accounts::read(connection, &mut report)?;
    chains::check(connection, &accounts, &mut report)?;
    check_neighbours(connection, &mut report)?;
    own.map_or(Ok(()), rusqlite::Transaction::finish)?;
    Ok(report)
}

/// What lies beside the transfers and must agree with them.
fn check_neighbours(connection: &Connection, report: &mut BooksReport) -> rusqlite::Result<()> {
    each(connection, USERS_WITHOUT_WALLET, |row| {
        report.add(Violation::Account {
            id: row.get(0)?,
            detail: "its user has no wallet",
        });
        Ok(())
    })?;
    each(connection, REFUSED_AND_BOOKED, |row| {
        let origin = Origin::from_parts(row.get_ref(0)?.as_str()?, row.get(1)?);
        let origin = origin.ok_or_else(|| bad_column(0, Type::Text, "not what a transfer belongs to"))?;
        report.add(Violation::RefusedHoldBooked { origin });
        Ok(())
    })?;
    each(connection, EMPTY_ADJUSTMENTS, |row| {
        report.add(Violation::EmptyAdjustment { id: row.get(0)? });
        Ok(())
    })?;
    each(connection, STRAY_ADJUSTMENTS, |row| {
        report.add(Violation::Transfer {
            entry_id: row.get(0)?,
            detail: "it belongs to an adjustment that is not there",
        });
        Ok(())
    })
}

/// Runs `look` over the rows of a query without keeping them.
pub(super) fn each(
    connection: &Connection,
    sql: &str,
    mut look: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(())?;
    while let Some(row) = rows.next()? {
        look(row)?;
    }
    Ok(())
}
