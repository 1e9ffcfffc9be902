//! Reading: wallets, statements, and how columns become values.

use std::collections::BTreeMap;

use contracts::clients::WalletBalances;
use contracts::ledger::{Leg, Origin, Owner, StatementLine};
use contracts::{Amount, Asset, UserId};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use storage::sqlite::{AmountBlob, bad_column, from_micros};

use super::statements::{ACCOUNTS_OF, CREDITS_OF, DEBITS_OF, FIND_WALLET};

/// Whether the user has a wallet. The hot wallet always exists.
pub(super) fn has_wallet(connection: &Connection, user: UserId) -> rusqlite::Result<bool> {
    if user == UserId::HOT_WALLET {
        return Ok(true);
    }
    connection.prepare_cached(FIND_WALLET)?.exists([user.get()])
}

/// The balances of a wallet that exists.
pub(super) fn read_wallet(connection: &Connection, user: UserId) -> rusqlite::Result<WalletBalances> {
    let mut balances = BTreeMap::from([Asset::BTC, Asset::USD].map(|asset| (asset, Amount::zero(asset))));
    for (_, balance) in accounts_of(connection, &Owner::wallet(user))? {
        balances.insert(balance.asset(), balance);
    }
    Ok(WalletBalances {
        user_id: user,
        balances: balances.into_values().collect(),
    })
}

/// An owner's accounts: row and balance. At most one for each asset there is.
pub(super) fn accounts_of(connection: &Connection, owner: &Owner) -> rusqlite::Result<Vec<(i64, Amount)>> {
    connection
        .prepare_cached(ACCOUNTS_OF)?
        .query_map([owner.to_string()], |row| Ok((row.get(0)?, to_amount(row, 1, 2)?)))?
        .collect()
}

/// The newest `limit` lines below `before`. Each of the wallet's accounts gives its newest from both sides, so at most
/// twice `limit` rows for each asset are read.
pub(super) fn read_statement(
    connection: &Connection,
    user: UserId,
    before: i64,
    limit: usize,
) -> rusqlite::Result<Vec<StatementLine>> {
    let rows = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut lines = Vec::new();
    for (account, balance) in accounts_of(connection, &Owner::wallet(user))? {
        for (sql, leaves) in [(DEBITS_OF, true), (CREDITS_OF, false)] {
            let mut statement = connection.prepare_cached(sql)?;
            let found = statement.query_map(params![account, before, rows], |row| {
                to_line(balance.asset(), leaves, row)
            })?;
            for line in found {
                lines.push(line?);
            }
        }
    }
    lines.sort_unstable_by_key(|line: &StatementLine| std::cmp::Reverse(line.entry_id));
    lines.truncate(limit);
    Ok(lines)
}

fn to_line(asset: Asset, leaves: bool, row: &Row<'_>) -> rusqlite::Result<StatementLine> {
    let amount = Amount::new(row.get::<_, AmountBlob>(5)?.0, asset);
    let amount = if leaves {
        amount.checked_neg().map_err(|error| bad_column(5, Type::Blob, error))?
    } else {
        amount
    };
    Ok(StatementLine {
        entry_id: row.get(0)?,
        time: from_micros(1, row.get(1)?)?,
        origin: to_origin(row, 2, 3)?,
        leg: to_leg(row, 4)?,
        amount,
        counter_account: to_owner(row, 6)?,
        balance_after: Amount::new(row.get::<_, AmountBlob>(7)?.0, asset),
        reason: row.get(8)?,
    })
}

pub(super) fn to_owner(row: &Row<'_>, column: usize) -> rusqlite::Result<Owner> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| bad_column(column, Type::Text, error))
}

/// An amount from the columns of its asset and its units.
pub(super) fn to_amount(row: &Row<'_>, asset: usize, units: usize) -> rusqlite::Result<Amount> {
    let known = Asset::from_code(row.get_ref(asset)?.as_str()?);
    let known = known.ok_or_else(|| bad_column(asset, Type::Text, "not the code of an asset"))?;
    Ok(Amount::new(row.get::<_, AmountBlob>(units)?.0, known))
}

pub(super) fn to_origin(row: &Row<'_>, kind: usize, number: usize) -> rusqlite::Result<Origin> {
    Origin::from_parts(row.get_ref(kind)?.as_str()?, row.get(number)?)
        .ok_or_else(|| bad_column(kind, Type::Text, "not what a transfer belongs to"))
}

pub(super) fn to_leg(row: &Row<'_>, column: usize) -> rusqlite::Result<Leg> {
    Leg::from_number(row.get(column)?).ok_or_else(|| bad_column(column, Type::Integer, "not the number of a leg"))
}
