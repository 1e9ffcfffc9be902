//! Transfers by what they belong to, so that every other service's rows can be tied to the books item by item.

use contracts::Amount;
use contracts::ledger::{Origin, Owner};
use storage::postgres::{Numeric, Tx, TxError, from_micros};
use tokio_postgres::Row;

use super::super::rows::{to_asset, to_transfer};
use super::super::statements::{BALANCES_OF, TRANSFERS_OF};
use crate::domain::PostedTransfer;

/// The transfers of the orders `from` … `to`, both included, in the order of (order id, leg). An auditor who goes
/// through all orders asks for a bounded range at a time: an order has at most one transfer for each leg.
///
/// # Errors
/// What the database says, or a column this program cannot have written.
pub async fn transfers_of_orders(tx: &mut Tx, from: i64, to: i64) -> Result<Vec<PostedTransfer>, TxError> {
    transfers_of(tx, "order", from, to).await
}

/// The same for deposits.
///
/// # Errors
/// As [`transfers_of_orders`].
pub async fn transfers_of_deposits(tx: &mut Tx, from: i64, to: i64) -> Result<Vec<PostedTransfer>, TxError> {
    transfers_of(tx, "deposit", from, to).await
}

/// The same for corrections by hand.
///
/// # Errors
/// As [`transfers_of_orders`].
pub async fn transfers_of_adjustments(tx: &mut Tx, from: i64, to: i64) -> Result<Vec<PostedTransfer>, TxError> {
    transfers_of(tx, "adjustment", from, to).await
}

/// The house's first capital: none or up to two transfers.
///
/// # Errors
/// As [`transfers_of_orders`].
pub async fn funding(tx: &mut Tx) -> Result<Vec<PostedTransfer>, TxError> {
    let (kind, number) = Origin::Funding.parts();
    transfers_of(tx, kind, number, number).await
}

/// An owner's balances, one for each asset it ever had.
///
/// # Errors
/// As [`transfers_of_orders`].
pub async fn balances_of(tx: &mut Tx, owner: &Owner) -> Result<Vec<Amount>, TxError> {
    let rows = tx.query(BALANCES_OF, &[&owner.to_string()]).await?;
    rows.iter()
        .map(|row| {
            let Numeric(units) = row.try_get(1)?;
            Ok(Amount::new(units, to_asset(row.try_get(0)?)?))
        })
        .collect()
}

async fn transfers_of(tx: &mut Tx, kind: &str, from: i64, to: i64) -> Result<Vec<PostedTransfer>, TxError> {
    let rows = tx.query(TRANSFERS_OF, &[&kind, &from, &to]).await?;
    rows.iter().map(to_posted).collect()
}

fn to_posted(row: &Row) -> Result<PostedTransfer, TxError> {
    let transfer = to_transfer(row)?;
    let asset = transfer.amount.asset();
    let balance = |column| {
        let Numeric(units) = row.try_get(column)?;
        Ok::<_, TxError>(Amount::new(units, asset))
    };
    Ok(PostedTransfer {
        entry_id: row.try_get(0)?,
        transfer,
        debit_balance_after: balance(10)?,
        credit_balance_after: balance(11)?,
        posted_at: from_micros(row.try_get(12)?)?,
    })
}
