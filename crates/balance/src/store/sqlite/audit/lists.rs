//! Transfers by what they belong to, so that every other service's rows can be tied to the books item by item.

use contracts::Amount;
use contracts::ledger::{Origin, Owner, Transfer, TransferId};
use rusqlite::{Connection, Row, params};
use storage::sqlite::{AmountBlob, from_micros};

use super::super::read::{accounts_of, to_amount, to_leg, to_origin, to_owner};
use super::super::statements::TRANSFERS_OF;
use crate::domain::PostedTransfer;

/// The transfers of the orders `from` … `to`, both included, in the order of (order id, leg). An auditor who goes
/// through all orders asks for a bounded range at a time: an order has at most one transfer for each leg.
///
/// # Errors
/// What SQLite says, or a column this program cannot have written.
pub fn transfers_of_orders(connection: &Connection, from: i64, to: i64) -> rusqlite::Result<Vec<PostedTransfer>> {
    transfers_of(connection, "order", from, to)
}

/// The same for deposits.
///
/// # Errors
/// As [`transfers_of_orders`].
pub fn transfers_of_deposits(connection: &Connection, from: i64, to: i64) -> rusqlite::Result<Vec<PostedTransfer>> {
    transfers_of(connection, "deposit", from, to)
}

/// The same for corrections by hand.
///
/// # Errors
/// As [`transfers_of_orders`].
pub fn transfers_of_adjustments(connection: &Connection, from: i64, to: i64) -> rusqlite::Result<Vec<PostedTransfer>> {
    transfers_of(connection, "adjustment", from, to)
}

/// The house's first capital: none or up to two transfers.
///
/// # Errors
/// As [`transfers_of_orders`].
pub fn funding(connection: &Connection) -> rusqlite::Result<Vec<PostedTransfer>> {
    let (kind, number) = Origin::Funding.parts();
    transfers_of(connection, kind, number, number)
}

/// An owner's balances, one for each asset it ever had.
///
/// # Errors
/// As [`transfers_of_orders`].
pub fn balances_of(connection: &Connection, owner: &Owner) -> rusqlite::Result<Vec<Amount>> {
    let accounts = accounts_of(connection, owner)?;
    Ok(accounts.into_iter().map(|account| account.balance).collect())
}

fn transfers_of(connection: &Connection, kind: &str, from: i64, to: i64) -> rusqlite::Result<Vec<PostedTransfer>> {
    connection
        .prepare_cached(TRANSFERS_OF)?
        .query_map(params![kind, from, to], to_posted)?
        .collect()
}

fn to_posted(row: &Row<'_>) -> rusqlite::Result<PostedTransfer> {
    let amount = to_amount(row, 5, 6)?;
    let balance = |column| {
        row.get::<_, AmountBlob>(column)
            .map(|units| Amount::new(units.0, amount.asset()))
    };
    let id = TransferId {
        origin: to_origin(row, 0, 1)?,
        leg: to_leg(row, 2)?,
    };
    Ok(PostedTransfer {
        entry_id: row.get(9)?,
        transfer: Transfer {
            id,
            debit: to_owner(row, 3)?,
            credit: to_owner(row, 4)?,
            amount,
            reason: row.get(7)?,
            actor: row.get(8)?,
        },
        debit_balance_after: balance(10)?,
        credit_balance_after: balance(11)?,
        posted_at: from_micros(12, row.get(12)?)?,
    })
}
