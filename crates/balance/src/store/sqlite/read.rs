//! Reading: wallets, statements, and how columns become values.

use std::collections::BTreeMap;

use contracts::clients::WalletBalances;
use contracts::ledger::{Leg, Origin, Owner, StatementLine};
use contracts::{Amount, Asset, UserId};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row};
use storage::sqlite::{AmountBlob, bad_column, from_micros};

use super::statements::{ACCOUNTS_OF, FIND_WALLET, READ_LINE};

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
    for Account { balance, .. } in accounts_of(connection, &Owner::wallet(user))? {
        balances.insert(balance.asset(), balance);
    }
    Ok(WalletBalances {
        user_id: user,
        balances: balances.into_values().collect(),
    })
}

/// An account as stored.
pub(super) struct Account {
    pub(super) row: i64,
    pub(super) balance: Amount,
    /// The newest entry that touched it, or [`NO_ENTRY`].
    pub(super) newest_entry: i64,
}

/// The end of every chain of entries.
pub(super) const NO_ENTRY: i64 = 0;

/// An owner's accounts. At most one for each asset there is.
pub(super) fn accounts_of(connection: &Connection, owner: &Owner) -> rusqlite::Result<Vec<Account>> {
    connection
        .prepare_cached(ACCOUNTS_OF)?
        .query_map([owner.to_string()], |row| {
            Ok(Account {
                row: row.get(0)?,
                balance: to_amount(row, 1, 2)?,
                newest_entry: row.get(3)?,
            })
        })?
        .collect()
}

/// The newest entry of an owner of these accounts.
pub(super) fn newest_of(accounts: &[Account]) -> i64 {
    let newest = accounts.iter().map(|account| account.newest_entry).max();
    newest.unwrap_or(NO_ENTRY)
}

/// The newest `limit` lines below the line `before`, along the chain: one row is read for each. What is no line of the
/// wallet has nothing below it.
pub(super) fn read_statement(
    connection: &Connection,
    user: UserId,
    before: Option<i64>,
    limit: usize,
) -> rusqlite::Result<Vec<StatementLine>> {
    let owner = Owner::wallet(user);
    let name = owner.to_string();
    let mut entry = connection.prepare_cached(READ_LINE)?;
    let mut next = match before {
        None => newest_of(&accounts_of(connection, &owner)?),
        Some(line) => entry
            .query_row([line], |row| Ok(side_of(row, &name)?.map(|side| side.previous)))
            .optional()?
            .flatten()
            .unwrap_or(NO_ENTRY),
    };
    let mut lines = Vec::new();
    while next != NO_ENTRY && lines.len() < limit {
        let (line, previous) = entry.query_row([next], |row| to_line(row, &name))?;
        lines.push(line);
        next = previous;
    }
    Ok(lines)
}

/// How an entry looks from one of its sides.
struct Side {
    leaves: bool,
    counter_owner: usize,
    balance_after: usize,
    previous: i64,
}

/// The side of an entry that belongs to this owner, if one does.
fn side_of(row: &Row<'_>, owner: &str) -> rusqlite::Result<Option<Side>> {
    const SIDES: [(bool, usize, usize); 2] = [(true, 8, 11), (false, 11, 8)];
    for (leaves, own, other) in SIDES {
        if row.get_ref(own)?.as_str()? == owner {
            return Ok(Some(Side {
                leaves,
                counter_owner: other,
                balance_after: own + 1,
                previous: row.get(own + 2)?,
            }));
        }
    }
    Ok(None)
}

fn to_line(row: &Row<'_>, owner: &str) -> rusqlite::Result<(StatementLine, i64)> {
    let side = side_of(row, owner)?.ok_or_else(|| bad_column(8, Type::Text, "not an entry of this owner"))?;
    let amount = to_amount(row, 6, 7)?;
    let change = if side.leaves {
        amount.checked_neg().map_err(|error| bad_column(7, Type::Blob, error))?
    } else {
        amount
    };
    let line = StatementLine {
        entry_id: row.get(0)?,
        time: from_micros(1, row.get(1)?)?,
        origin: to_origin(row, 2, 3)?,
        leg: to_leg(row, 4)?,
        amount: change,
        counter_account: to_owner(row, side.counter_owner)?,
        balance_after: Amount::new(row.get::<_, AmountBlob>(side.balance_after)?.0, amount.asset()),
        reason: row.get(5)?,
    };
    Ok((line, side.previous))
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
