//! How orders, log entries and deposits lie in rows. What cannot be read is an error that says what it is, never a guess.

use std::fmt::Display;
use std::str::FromStr;

use contracts::clients::Side;
use contracts::messages::Trade;
use contracts::{Amount, Asset, DepositId, OrderId, Price, UserId};
use jiff::Timestamp;
use storage::postgres::{Numeric, TxError, from_micros};
use tokio_postgres::Row;

use crate::domain::{Deposit, DepositStatus, Event, LogEntry, Order, OrderState, Saga, Terms};

/// The columns of [`order`], in its order.
macro_rules! order_columns {
    () => {
        "order_id, user_id, client_reference, side, asset, currency, requested, definition, state, revision, held, \
         promised, filled, value, fee, returned, price, chain_transaction, refusals, failure_code, tries, \
         next_attempt_at, created_at, updated_at"
    };
}
pub(super) use order_columns;

/// How many they are.
pub(super) const ORDER_COLUMNS: usize = 24;

/// The columns of [`log_entry`], in its order.
macro_rules! event_columns {
    () => {
        "seq, time, from_state, to_state, event, cause, actor"
    };
}
pub(super) use event_columns;

/// The columns of [`deposit`], in its order.
macro_rules! deposit_columns {
    () => {
        "deposit_id, user_id, currency, amount, reference, status, tries, created_at, booked_at"
    };
}
pub(super) use deposit_columns;

/// A stored value that this program cannot have written.
pub(super) fn bad(what: impl Display) -> TxError {
    TxError::Value(what.to_string())
}

/// An order from the columns that begin with `first`.
pub(super) fn order(row: &Row, first: usize) -> Result<Order, TxError> {
    let at = |column: usize| first + column;
    let side: Side = parsed(row, at(3))?;
    let (asset, currency): (Asset, Asset) = (parsed(row, at(4))?, parsed(row, at(5))?);
    let held_asset = match side {
        Side::Buy => currency,
        Side::Sell => asset,
    };
    let terms = Terms {
        side,
        asset,
        currency,
        hold: amount(row, at(6), held_asset)?,
    };
    let price: Option<Price> = optional(row, at(16))?;
    let trade = match price {
        None => None,
        Some(price) => Some(Trade {
            filled: amount(row, at(12), asset)?,
            value: amount(row, at(13), currency)?,
            fee: amount(row, at(14), currency)?,
            returned: amount(row, at(15), held_asset)?,
            price,
        }),
    };
    let saga = Saga {
        definition: u16::try_from(row.try_get::<_, i32>(at(7))?).map_err(bad)?,
        terms,
        state: parsed(row, at(8))?,
        held: row.try_get(at(10))?,
        promised: row.try_get(at(11))?,
        trade,
        transaction: row.try_get(at(17))?,
        refusals: number(row, at(18))?,
        failure: optional(row, at(19))?,
    };
    Ok(Order {
        id: order_id(row, at(0))?,
        user_id: user_id(row, at(1))?,
        client_reference: row.try_get(at(2))?,
        saga,
        revision: row.try_get(at(9))?,
        tries: number(row, at(20))?,
        next_attempt_at: time(row, at(21))?,
        created_at: time(row, at(22))?,
        updated_at: time(row, at(23))?,
    })
}

/// An entry from the columns that begin with `first`.
pub(super) fn log_entry(row: &Row, first: usize) -> Result<LogEntry, TxError> {
    let at = |column: usize| first + column;
    Ok(LogEntry {
        seq: row.try_get(at(0))?,
        at: time(row, at(1))?,
        from: optional::<OrderState>(row, at(2))?,
        to: parsed(row, at(3))?,
        event: Event {
            fact: serde_json::from_str(row.try_get(at(4))?)?,
            cause: row.try_get(at(5))?,
            actor: row.try_get(at(6))?,
        },
    })
}

/// A deposit from the columns that begin with `first`.
pub(super) fn deposit(row: &Row, first: usize) -> Result<Deposit, TxError> {
    let at = |column: usize| first + column;
    let currency: Asset = parsed(row, at(2))?;
    let booked_at: Option<i64> = row.try_get(at(8))?;
    Ok(Deposit {
        id: DepositId::try_new(row.try_get(at(0))?).map_err(bad)?,
        user_id: user_id(row, at(1))?,
        amount: amount(row, at(3), currency)?,
        reference: row.try_get(at(4))?,
        status: DepositStatus::from_name(row.try_get(at(5))?).ok_or_else(|| bad("not the status of a deposit"))?,
        tries: number(row, at(6))?,
        created_at: time(row, at(7))?,
        booked_at: booked_at.map(from_micros).transpose()?,
    })
}

pub(super) fn order_id(row: &Row, column: usize) -> Result<OrderId, TxError> {
    OrderId::try_new(row.try_get(column)?).map_err(bad)
}

pub(super) fn user_id(row: &Row, column: usize) -> Result<UserId, TxError> {
    UserId::try_new(row.try_get(column)?).map_err(bad)
}

pub(super) fn parsed<T: FromStr<Err: Display>>(row: &Row, column: usize) -> Result<T, TxError> {
    row.try_get::<_, &str>(column)?.parse().map_err(bad)
}

pub(super) fn time(row: &Row, column: usize) -> Result<Timestamp, TxError> {
    from_micros(row.try_get(column)?)
}

/// The column of the only row that a count gives.
pub(super) fn count(rows: &[Row]) -> Result<u64, TxError> {
    let row = rows.first().ok_or_else(|| bad("nothing was counted"))?;
    Ok(row.try_get::<_, i64>(0)?.unsigned_abs())
}

fn optional<T: FromStr<Err: Display>>(row: &Row, column: usize) -> Result<Option<T>, TxError> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(str::parse).transpose().map_err(bad)
}

fn amount(row: &Row, column: usize, asset: Asset) -> Result<Amount, TxError> {
    let Numeric(units) = row.try_get(column)?;
    Ok(Amount::new(units, asset))
}

/// A small number, which no column type of the server is made for.
fn number(row: &Row, column: usize) -> Result<u32, TxError> {
    u32::try_from(row.try_get::<_, i64>(column)?).map_err(bad)
}
