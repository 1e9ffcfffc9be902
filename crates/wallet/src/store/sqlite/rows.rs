//! How orders, log entries and deposits lie in rows. What cannot be read is an error that names its column, never a
//! guess.

use std::error::Error;
use std::str::FromStr;

use contracts::clients::Side;
use contracts::messages::Trade;
use contracts::{Amount, Asset, DepositId, OrderId, Price, UserId};
use jiff::Timestamp;
use rusqlite::Row;
use rusqlite::types::Type;
use storage::sqlite::{AmountBlob, bad_column, from_micros};

use crate::domain::{Deposit, DepositStatus, Event, LogEntry, Order, OrderState, Saga, Terms};

/// The columns of [`order`], in its order.
macro_rules! order_columns {
    () => {
        "order_id, user_id, client_reference, side, asset, currency, requested, definition, state, revision, held, \
         filled, value, fee, returned, price, chain_transaction, refusals, failure_code, tries, next_attempt_at, \
         created_at, updated_at, promised"
    };
}
pub(super) use order_columns;

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

pub(super) fn order(row: &Row<'_>) -> rusqlite::Result<Order> {
    let side: Side = text(row, 3)?;
    let (asset, currency): (Asset, Asset) = (text(row, 4)?, text(row, 5)?);
    let held_asset = match side {
        Side::Buy => currency,
        Side::Sell => asset,
    };
    let terms = Terms {
        side,
        asset,
        currency,
        hold: amount(row, 6, held_asset)?,
    };
    let price: Option<Price> = optional_text(row, 15)?;
    let trade = match price {
        None => None,
        Some(price) => Some(Trade {
            filled: amount(row, 11, asset)?,
            value: amount(row, 12, currency)?,
            fee: amount(row, 13, currency)?,
            returned: amount(row, 14, held_asset)?,
            price,
        }),
    };
    let saga = Saga {
        definition: row.get(7)?,
        terms,
        state: text(row, 8)?,
        held: row.get(10)?,
        promised: row.get(23)?,
        trade,
        transaction: row.get(16)?,
        refusals: row.get(17)?,
        failure: optional_text(row, 18)?,
    };
    Ok(Order {
        id: order_id(row, 0)?,
        user_id: user_id(row, 1)?,
        client_reference: row.get(2)?,
        saga,
        revision: row.get(9)?,
        tries: row.get(19)?,
        next_attempt_at: time(row, 20)?,
        created_at: time(row, 21)?,
        updated_at: time(row, 22)?,
    })
}

pub(super) fn log_entry(row: &Row<'_>) -> rusqlite::Result<LogEntry> {
    let fact = serde_json::from_str(row.get_ref(4)?.as_str()?).map_err(|error| bad_column(4, Type::Text, error))?;
    Ok(LogEntry {
        seq: row.get(0)?,
        at: time(row, 1)?,
        from: optional_text::<OrderState>(row, 2)?,
        to: text(row, 3)?,
        event: Event {
            fact,
            cause: row.get(5)?,
            actor: row.get(6)?,
        },
    })
}

pub(super) fn deposit(row: &Row<'_>) -> rusqlite::Result<Deposit> {
    let currency: Asset = text(row, 2)?;
    let status = DepositStatus::from_name(row.get_ref(5)?.as_str()?)
        .ok_or_else(|| bad_column(5, Type::Text, "not the status of a deposit"))?;
    let booked_at: Option<i64> = row.get(8)?;
    Ok(Deposit {
        id: deposit_id(row, 0)?,
        user_id: user_id(row, 1)?,
        amount: amount(row, 3, currency)?,
        reference: row.get(4)?,
        status,
        tries: row.get(6)?,
        created_at: time(row, 7)?,
        booked_at: booked_at.map(|micros| from_micros(8, micros)).transpose()?,
    })
}

pub(super) fn order_id(row: &Row<'_>, column: usize) -> rusqlite::Result<OrderId> {
    OrderId::try_new(row.get(column)?).map_err(|error| bad_column(column, Type::Integer, error))
}

pub(super) fn deposit_id(row: &Row<'_>, column: usize) -> rusqlite::Result<DepositId> {
    DepositId::try_new(row.get(column)?).map_err(|error| bad_column(column, Type::Integer, error))
}

pub(super) fn user_id(row: &Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    UserId::try_new(row.get(column)?).map_err(|error| bad_column(column, Type::Integer, error))
}

pub(super) fn text<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<T>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    let text = row.get_ref(column)?.as_str()?;
    text.parse()
        .map_err(|error: T::Err| bad_column(column, Type::Text, error))
}

fn optional_text<T>(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<T>>
where
    T: FromStr<Err: Error + Send + Sync + 'static>,
{
    let text = row.get_ref(column)?.as_str_or_null()?;
    text.map(str::parse)
        .transpose()
        .map_err(|error: T::Err| bad_column(column, Type::Text, error))
}

fn amount(row: &Row<'_>, column: usize, asset: Asset) -> rusqlite::Result<Amount> {
    let AmountBlob(units) = row.get(column)?;
    Ok(Amount::new(units, asset))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    from_micros(column, row.get(column)?)
}
