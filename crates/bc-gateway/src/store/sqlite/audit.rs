//! What an auditor wants to know, read from a connection that is handed in: all of it from one snapshot.

use std::collections::BTreeMap;

use contracts::{Amount, Asset, OrderId, UserId};
use rusqlite::{Connection, Row, params};
use storage::commands::CommandKey;

use super::statements::{amount, bad, user_from};
use crate::store::audit::Stored;
pub use crate::store::audit::{ExpectedCoins, WithdrawalFact};

/// The withdrawals of the orders `first` to `last`, both included, ascending by order and step. The caller bounds the
/// range.
///
/// # Errors
/// What SQLite says, or a row that this program cannot have written.
pub fn withdrawals_of_orders(
    connection: &Connection,
    first: OrderId,
    last: OrderId,
) -> rusqlite::Result<Vec<WithdrawalFact>> {
    connection
        .prepare_cached(
            "SELECT order_id, step, state, result, progress, content, EXISTS (SELECT 1 FROM bc_gateway_reservations r
                 WHERE r.order_id = c.order_id AND r.step = c.step)
             FROM bc_gateway_commands c WHERE order_id BETWEEN ? AND ? ORDER BY order_id, step",
        )?
        .query_map(params![first.get(), last.get()], to_fact)?
        .collect()
}

fn to_fact(row: &Row<'_>) -> rusqlite::Result<WithdrawalFact> {
    let text = |column| row.get_ref(column)?.as_str().map_err(|error| bad(column, error));
    let stored = Stored {
        state: text(2)?,
        result: row.get_ref(3)?.as_str_or_null().map_err(|error| bad(3, error))?,
        progress: text(4)?,
        content: text(5)?,
        reserved: row.get(6)?,
    };
    Ok(WithdrawalFact {
        key: CommandKey {
            order_id: OrderId::try_new(row.get(0)?).map_err(|error| bad(0, error))?,
            step: text(1)?.parse().map_err(|error| bad(1, error))?,
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
/// What SQLite says, a row that this program cannot have written, or a sum beyond 128 bits.
pub fn expected_coins(connection: &Connection) -> rusqlite::Result<Vec<ExpectedCoins>> {
    let mut sheet = Sheet::default();
    let mut transfers = connection.prepare_cached(
        "SELECT t.from_user, t.to_user, t.asset, t.amount, c.state = 'done'
         FROM bc_gateway_transfers t JOIN bc_gateway_commands c USING (order_id, step) WHERE c.state <> 'failed'",
    )?;
    let mut rows = transfers.query(())?;
    while let Some(row) = rows.next()? {
        sheet.enter(user_from(row, 0)?, user_from(row, 1)?, amount(row, 2, 3)?, row.get(4)?)?;
    }
    let mut sweeps =
        connection.prepare_cached("SELECT user_id, asset, amount, state = 'confirmed' FROM bc_gateway_sweeps")?;
    let mut rows = sweeps.query(())?;
    while let Some(row) = rows.next()? {
        sheet.enter(user_from(row, 0)?, UserId::HOT_WALLET, amount(row, 1, 2)?, row.get(3)?)?;
    }
    Ok(sheet.0.into_values().collect())
}

#[derive(Default)]
struct Sheet(BTreeMap<(UserId, Asset), ExpectedCoins>);

impl Sheet {
    fn enter(&mut self, from: UserId, to: UserId, amount: Amount, confirmed: bool) -> rusqlite::Result<()> {
        let sum = |old: Amount, change: Amount| old.checked_add(change).map_err(|error| bad(0, error));
        let taken = amount.checked_neg().map_err(|error| bad(0, error))?;
        let source = self.line(from, amount.asset());
        if confirmed {
            source.coins = sum(source.coins, taken)?;
        } else {
            source.leaving = sum(source.leaving, amount)?;
        }
        let destination = self.line(to, amount.asset());
        if confirmed {
            destination.coins = sum(destination.coins, amount)?;
        } else {
            destination.arriving = sum(destination.arriving, amount)?;
        }
        Ok(())
    }

    fn line(&mut self, user_id: UserId, asset: Asset) -> &mut ExpectedCoins {
        let none = Amount::zero(asset);
        self.0.entry((user_id, asset)).or_insert(ExpectedCoins {
            user_id,
            coins: none,
            arriving: none,
            leaving: none,
        })
    }
}
