//! How columns become values.

use std::fmt::Display;

use contracts::ledger::{Leg, Origin, Owner, StatementLine, Transfer, TransferId};
use contracts::{Amount, Asset};
use storage::postgres::{Numeric, TxError, from_micros};
use tokio_postgres::Row;

/// A stored value that this program cannot have written.
pub(super) fn bad(what: impl Display) -> TxError {
    TxError::Value(what.to_string())
}

/// A transfer from ten columns, the first of which is not looked at.
pub(super) fn to_transfer(row: &Row) -> Result<Transfer, TxError> {
    Ok(Transfer {
        id: to_id(row, 1)?,
        debit: to_owner(row, 4)?,
        credit: to_owner(row, 5)?,
        amount: to_amount(row, 6, 7)?,
        reason: row.try_get(8)?,
        actor: row.try_get(9)?,
    })
}

pub(super) fn to_line(row: &Row) -> Result<StatementLine, TxError> {
    let TransferId { origin, leg } = to_id(row, 2)?;
    Ok(StatementLine {
        entry_id: row.try_get(0)?,
        time: from_micros(row.try_get(1)?)?,
        origin,
        leg,
        amount: to_amount(row, 6, 7)?,
        counter_account: to_owner(row, 8)?,
        balance_after: to_amount(row, 6, 9)?,
        reason: row.try_get(5)?,
    })
}

/// A name from three columns.
fn to_id(row: &Row, first: usize) -> Result<TransferId, TxError> {
    let origin = to_origin(row.try_get(first)?, row.try_get(first + 1)?)?;
    let leg = u8::try_from(row.try_get::<_, i16>(first + 2)?).ok();
    let leg = leg
        .and_then(Leg::from_number)
        .ok_or_else(|| bad("not the number of a leg"))?;
    Ok(TransferId { origin, leg })
}

pub(super) fn to_origin(kind: &str, number: i64) -> Result<Origin, TxError> {
    Origin::from_parts(kind, number).ok_or_else(|| bad("not what a transfer belongs to"))
}

fn to_owner(row: &Row, column: usize) -> Result<Owner, TxError> {
    row.try_get::<_, &str>(column)?.parse().map_err(bad)
}

/// An amount from the columns of its asset and its units.
fn to_amount(row: &Row, asset: usize, units: usize) -> Result<Amount, TxError> {
    let Numeric(units) = row.try_get(units)?;
    Ok(Amount::new(units, to_asset(row.try_get(asset)?)?))
}

pub(super) fn to_asset(code: &str) -> Result<Asset, TxError> {
    Asset::from_code(code).ok_or_else(|| bad("not the code of an asset"))
}
