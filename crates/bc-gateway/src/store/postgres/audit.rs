//! What an auditor wants to know, read from a snapshot that is handed in.

use contracts::{Amount, OrderId};
use storage::commands::CommandKey;
use storage::postgres::{Numeric, Tx, TxError};
use tokio_postgres::Row;

use super::rows::{bad, to_asset, to_user};
use crate::store::audit::{ExpectedCoins, Stored, WithdrawalFact};

/// Steps are sorted by their bytes, as the other database does, whatever the language of this one.
const WITHDRAWALS: &str = "SELECT order_id, step, state, result, progress, content,
         EXISTS (SELECT 1 FROM bc_gateway.reservations AS reservation
             WHERE reservation.order_id = command.order_id AND reservation.step = command.step)
     FROM bc_gateway.commands AS command WHERE order_id BETWEEN $1 AND $2 ORDER BY order_id, step COLLATE \"C\"";

const EXPECTED_COINS: &str = "WITH moved AS (
         SELECT from_user, to_user, asset, amount, state = 'done' AS confirmed
         FROM bc_gateway.transfers JOIN bc_gateway.commands USING (order_id, step) WHERE state <> 'failed'
         UNION ALL
         SELECT user_id, 1, asset, amount, state = 'confirmed' FROM bc_gateway.sweeps),
     side AS (
         SELECT from_user AS user_id, asset, amount AS leaving, 0 AS arriving, confirmed FROM moved
         UNION ALL
         SELECT to_user, asset, 0, amount, confirmed FROM moved)
     SELECT user_id, asset, coalesce(sum(arriving - leaving) FILTER (WHERE confirmed), 0),
         coalesce(sum(arriving) FILTER (WHERE NOT confirmed), 0), coalesce(sum(leaving) FILTER (WHERE NOT confirmed), 0)
     FROM side GROUP BY user_id, asset";

/// The withdrawals of the orders `first` to `last`, both included, ascending by order and step. The caller bounds the
/// range.
///
/// # Errors
/// What the database says, or a row that this program cannot have written.
pub async fn withdrawals_of_orders(tx: &mut Tx, first: OrderId, last: OrderId) -> Result<Vec<WithdrawalFact>, TxError> {
    let rows = tx.query(WITHDRAWALS, &[&first.get(), &last.get()]).await?;
    rows.iter().map(to_fact).collect()
}

fn to_fact(row: &Row) -> Result<WithdrawalFact, TxError> {
    let stored = Stored {
        state: row.try_get(2)?,
        result: row.try_get(3)?,
        progress: row.try_get(4)?,
        content: row.try_get(5)?,
        reserved: row.try_get(6)?,
    };
    Ok(WithdrawalFact {
        key: CommandKey {
            order_id: OrderId::try_new(row.try_get(0)?).map_err(bad)?,
            step: row.try_get::<_, &str>(1)?.parse().map_err(bad)?,
        },
        withdrawal: stored.read(),
    })
}

/// What is expected at every address that was ever used, ascending by user and asset. A line for each: for auditors,
/// not for the order path.
///
/// The sum of `coins` over all addresses is zero for each asset, because every transfer is between two of them.
///
/// # Errors
/// What the database says, a row that this program cannot have written, or a sum beyond 128 bits.
pub async fn expected_coins(tx: &mut Tx) -> Result<Vec<ExpectedCoins>, TxError> {
    let rows = tx.query(EXPECTED_COINS, &[]).await?;
    let mut expected = rows.iter().map(to_expected).collect::<Result<Vec<_>, _>>()?;
    expected.sort_by_key(|line| (line.user_id, line.coins.asset()));
    Ok(expected)
}

fn to_expected(row: &Row) -> Result<ExpectedCoins, TxError> {
    let asset = to_asset(row.try_get(1)?)?;
    let amount = |column: usize| {
        let Numeric(units) = row.try_get(column)?;
        Ok::<_, TxError>(Amount::new(units, asset))
    };
    Ok(ExpectedCoins {
        user_id: to_user(row.try_get(0)?)?,
        coins: amount(2)?,
        arriving: amount(3)?,
        leaving: amount(4)?,
    })
}
