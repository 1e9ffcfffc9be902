//! How columns become values.

use std::fmt::Display;

use contracts::clients::WithdrawCommand;
use contracts::{Amount, Asset, OrderId, UserId};
use storage::commands::State;
use storage::postgres::{Numeric, TxError, from_micros};
use tokio_postgres::Row;

use crate::domain::movement::Movement;
use crate::ports::{Address, OpenSweep, SignedTransfer, StoredTransfer, Unfinished};

/// A stored value that this program cannot have written.
pub(super) fn bad(what: impl Display) -> TxError {
    TxError::Value(what.to_string())
}

/// A nonce, or another count, as a column.
pub(super) fn number(count: u64) -> Result<i64, TxError> {
    i64::try_from(count).map_err(bad)
}

/// The nonce, or another count, in a column.
pub(super) fn to_number(column: i64) -> Result<u64, TxError> {
    u64::try_from(column).map_err(bad)
}

pub(super) fn to_user(column: i64) -> Result<UserId, TxError> {
    UserId::try_new(column).map_err(bad)
}

pub(super) fn to_asset(code: &str) -> Result<Asset, TxError> {
    Asset::from_code(code).ok_or_else(|| bad("not the code of an asset"))
}

pub(super) fn to_address(text: &str) -> Result<Address, TxError> {
    Address::try_new(text).map_err(bad)
}

/// An amount from the columns of its asset and its units.
pub(super) fn to_amount(row: &Row, asset: usize, units: usize) -> Result<Amount, TxError> {
    let Numeric(units) = row.try_get(units)?;
    Ok(Amount::new(units, to_asset(row.try_get(asset)?)?))
}

pub(super) fn to_transfer(row: &Row) -> Result<StoredTransfer, TxError> {
    Ok(StoredTransfer {
        order_id: OrderId::try_new(row.try_get(0)?).map_err(bad)?,
        step: row.try_get::<_, &str>(1)?.parse().map_err(bad)?,
        from: to_user(row.try_get(2)?)?,
        to: to_user(row.try_get(3)?)?,
        amount: to_amount(row, 4, 5)?,
        nonce: to_number(row.try_get(6)?)?,
        hash: row.try_get(7)?,
    })
}

pub(super) fn to_open_sweep(row: &Row) -> Result<OpenSweep, TxError> {
    Ok(OpenSweep {
        id: row.try_get(0)?,
        user_id: to_user(row.try_get(1)?)?,
        amount: to_amount(row, 2, 3)?,
        transfer: SignedTransfer {
            nonce: to_number(row.try_get(4)?)?,
            hash: row.try_get(5)?,
            bytes: row.try_get(6)?,
        },
        tries: u32::try_from(row.try_get::<_, i64>(7)?).unwrap_or(u32::MAX),
    })
}

pub(super) fn to_unfinished(row: &Row) -> Result<Unfinished, TxError> {
    // Content that is no command is why a command is dead: it must not hide the others.
    let command: Option<WithdrawCommand> = serde_json::from_str(row.try_get(3)?).ok();
    let since: Option<i64> = row.try_get(7)?;
    Ok(Unfinished {
        number: row.try_get(0)?,
        order_id: OrderId::try_new(row.try_get(1)?).map_err(bad)?,
        step: row.try_get::<_, &str>(2)?.parse().map_err(bad)?,
        movement: command.as_ref().map(Movement::of),
        state: State::from_name(row.try_get(4)?).ok_or_else(|| bad("not a state of a command"))?,
        tries: u32::try_from(row.try_get::<_, i64>(5)?).unwrap_or(u32::MAX),
        last_reason: row.try_get(6)?,
        answer_missing_since: since.map(from_micros).transpose()?,
        created_at: from_micros(row.try_get(8)?)?,
    })
}
