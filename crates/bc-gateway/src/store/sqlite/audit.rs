//! What an auditor wants to know, read from a connection that is handed in: all of it from one snapshot.

use std::collections::BTreeMap;

use contracts::clients::WithdrawCommand;
use contracts::{Amount, Asset, OrderId, UserId};
use rusqlite::{Connection, Row, params};
use storage::commands::State;

use super::statements::{amount, bad, user_from};
use crate::domain::movement::Movement;
use crate::domain::progress::beyond_recall;
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
            "SELECT state, result, progress, content FROM bc_gateway_commands
             WHERE order_id BETWEEN ? AND ? ORDER BY order_id, step",
        )?
        .query_map(params![first.get(), last.get()], to_fact)?
        .collect()
}

fn to_fact(row: &Row<'_>) -> rusqlite::Result<WithdrawalFact> {
    let command: WithdrawCommand = serde_json::from_str(&row.get::<_, String>(3)?).map_err(|error| bad(3, error))?;
    let result = row
        .get::<_, Option<String>>(1)?
        .map(|text| serde_json::from_str(&text).map_err(|error| bad(1, error)))
        .transpose()?;
    Ok(WithdrawalFact {
        movement: Movement::of(&command),
        state: State::from_name(&row.get::<_, String>(0)?).ok_or_else(|| bad(0, "not a state of a command"))?,
        result,
        begun: beyond_recall(&row.get::<_, String>(2)?),
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
