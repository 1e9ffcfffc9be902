//! Counting the coins at customers' addresses, and reserving those at the hot wallet's.
//!
//! The hot wallet's coins are the chain's to count; what is signed is taken off its answers ([`hot_purse`]). Customers' coins
//! are not counted on the order path: a signed transfer only marks its parties. The count takes in what has been
//! confirmed since, so its cost follows the number of new transfers and not the number of all.

use contracts::{Amount, Asset, UserId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};
use storage::commands::CommandKey;
use storage::sqlite::{AmountBlob, micros};

use super::statements::{amount, bad, nonce_column, number_from, user_from};
use super::to_transfer;
use crate::domain::purse::{Purse, newest};
use crate::ports::{CoinReservation, CountedCoins, SignedCommand, StoredTransfer};

/// The most transfers of one address that one count takes in; the rest is for the next.
const MAX_TRANSFERS: i64 = 1_000;

/// The transfers of an address that are over and not counted yet. `bc_gateway_commands` is this service's own table of
/// commands; a done command is a confirmed transfer, a failed one (which only an operator can make of a signed one) is none.
const NEW_TRANSFERS: &str = "
    SELECT t.order_id, t.step, t.from_user, t.to_user, t.asset, t.amount, t.nonce, t.hash, c.state = 'done'
    FROM bc_gateway_transfers t JOIN bc_gateway_commands c USING (order_id, step)
    WHERE t.counted = 0 AND t.to_user = ?1 AND t.to_user <> 1 AND (c.state = 'done' OR c.state = 'failed')
    UNION ALL
    SELECT t.order_id, t.step, t.from_user, t.to_user, t.asset, t.amount, t.nonce, t.hash, c.state = 'done'
    FROM bc_gateway_transfers t JOIN bc_gateway_commands c USING (order_id, step)
    WHERE t.counted = 0 AND t.from_user = ?1 AND t.from_user <> 1 AND (c.state = 'done' OR c.state = 'failed')
    LIMIT ?2";

/// A command that has ended signs nothing more.
const RELEASE_ENDED: &str = "
    UPDATE bc_gateway_reservations SET released = 1 WHERE released = 0 AND from_user = ?1 AND EXISTS
    (SELECT 1 FROM bc_gateway_commands c WHERE c.order_id = bc_gateway_reservations.order_id
     AND c.step = bc_gateway_reservations.step AND (c.state = 'done' OR c.state = 'failed'))";

/// Puts a customer's address in the line of those to be looked at.
pub(super) fn mark(tx: &Connection, now: Timestamp, user: UserId, asset: Asset) -> rusqlite::Result<()> {
    if user == UserId::HOT_WALLET {
        return Ok(());
    }
    tx.prepare_cached(
        "INSERT INTO bc_gateway_coins (user_id, asset, coins, marked, checked_at) VALUES (?, ?, ?, 1, ?)
         ON CONFLICT (user_id, asset) DO UPDATE SET marked = 1 WHERE marked = 0",
    )?
    .execute(params![user.get(), asset.code(), AmountBlob(0), micros(now)])?;
    Ok(())
}

/// The counted coins.
pub(super) fn of(connection: &Connection, user: UserId, asset: Asset) -> rusqlite::Result<Amount> {
    Ok(seen(connection, user, asset)?.0)
}

/// The counted coins, and how often any of them were reserved.
pub(super) fn seen(connection: &Connection, user: UserId, asset: Asset) -> rusqlite::Result<(Amount, u64)> {
    let seen = connection
        .prepare_cached("SELECT coins, reservations FROM bc_gateway_coins WHERE user_id = ? AND asset = ?")?
        .query_row(params![user.get(), asset.code()], |row| {
            Ok((row.get::<_, AmountBlob>(0)?.0, number_from(row, 1)?))
        })
        .optional()?;
    let (units, reservations) = seen.unwrap_or_default();
    Ok((Amount::new(units, asset), reservations))
}

/// Changes a customer's count; the hot wallet has none.
pub(super) fn add(tx: &Connection, user: UserId, change: Amount) -> rusqlite::Result<()> {
    if user == UserId::HOT_WALLET {
        return Ok(());
    }
    let sum = of(tx, user, change.asset())?
        .checked_add(change)
        .map_err(|error| bad(0, error))?;
    tx.prepare_cached("UPDATE bc_gateway_coins SET coins = ? WHERE user_id = ? AND asset = ?")?
        .execute(params![AmountBlob(sum.units()), user.get(), change.asset().code()])?;
    Ok(())
}

/// Takes in the transfers of an address that ended since the last count, and releases what ended without one.
pub(super) fn take_in(tx: &Connection, user: UserId) -> rusqlite::Result<()> {
    let fresh: Vec<(StoredTransfer, bool)> = tx
        .prepare_cached(NEW_TRANSFERS)?
        .query_map(params![user.get(), MAX_TRANSFERS], |row| {
            Ok((to_transfer(row)?, row.get(8)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut counted =
        tx.prepare_cached("UPDATE bc_gateway_transfers SET counted = 1 WHERE order_id = ? AND step = ?")?;
    for (transfer, confirmed) in fresh {
        counted.execute(params![transfer.order_id.get(), transfer.step.as_str()])?;
        if !confirmed {
            continue;
        }
        add(tx, transfer.to, transfer.amount)?;
        add(
            tx,
            transfer.from,
            transfer.amount.checked_neg().map_err(|error| bad(5, error))?,
        )?;
    }
    tx.prepare_cached(RELEASE_ENDED)?.execute([user.get()])?;
    Ok(())
}

/// Keeps coins for a command; what it needs is there.
pub(super) fn reserve(tx: &Connection, now: Timestamp, reservation: &CoinReservation) -> rusqlite::Result<()> {
    let CoinReservation { key, from, amount, .. } = reservation;
    tx.prepare_cached(
        "INSERT INTO bc_gateway_reservations (order_id, step, from_user, asset, amount, reserved_at)
         VALUES (?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        key.order_id.get(),
        key.step.as_str(),
        from.get(),
        amount.asset().code(),
        AmountBlob(amount.units()),
        micros(now)
    ])?;
    // There is a row: it says that the coins are there.
    tx.prepare_cached("UPDATE bc_gateway_coins SET reservations = reservations + 1 WHERE user_id = ? AND asset = ?")?
        .execute(params![from.get(), amount.asset().code()])?;
    Ok(())
}

/// Coins were reserved for this command.
pub(super) fn was_reserved(connection: &Connection, key: CommandKey) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM bc_gateway_reservations WHERE order_id = ? AND step = ?)")?
        .query_row(params![key.order_id.get(), key.step.as_str()], |row| row.get(0))
}

/// The coins are signed away: the transfer is their claim from now on.
pub(super) fn release(tx: &Connection, key: CommandKey) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE bc_gateway_reservations SET released = 1 WHERE order_id = ? AND step = ?")?
        .execute(params![key.order_id.get(), key.step.as_str()])?;
    Ok(())
}

/// Whether nothing of an address is under way, reserved, or waits to be counted.
pub(super) fn are_settled(connection: &Connection, user: UserId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT NOT EXISTS (SELECT 1 FROM bc_gateway_transfers WHERE counted = 0 AND to_user = ?1 AND to_user <> 1)
             AND NOT EXISTS (SELECT 1 FROM bc_gateway_transfers WHERE counted = 0 AND from_user = ?1 AND from_user <> 1)
             AND NOT EXISTS (SELECT 1 FROM bc_gateway_reservations WHERE released = 0 AND from_user = ?1)
             AND NOT EXISTS (SELECT 1 FROM bc_gateway_sweeps WHERE user_id = ?1 AND state = 'signed')",
        )?
        .query_row([user.get()], |row| row.get(0))
}

/// Whether `wanted` coins are at a customer's address that nothing has a claim on: nothing signed, and no reservation but
/// that of `key`, which wants them.
pub(super) fn suffice(tx: &Connection, user: UserId, wanted: Amount, key: CommandKey) -> rusqlite::Result<bool> {
    take_in(tx, user)?;
    let (user_id, asset) = (user.get(), wanted.asset().code());
    let free = less(
        tx,
        of(tx, user, wanted.asset())?,
        "SELECT asset, amount FROM bc_gateway_transfers
         WHERE counted = 0 AND from_user = ?1 AND from_user <> 1 AND asset = ?2",
        params![user_id, asset],
    )?;
    let free = less(
        tx,
        free,
        "SELECT asset, amount FROM bc_gateway_sweeps WHERE state = 'signed' AND user_id = ?1 AND asset = ?2",
        params![user_id, asset],
    )?;
    let free = less(
        tx,
        free,
        "SELECT asset, amount FROM bc_gateway_reservations
         WHERE released = 0 AND from_user = ?1 AND asset = ?2 AND NOT (order_id = ?3 AND step = ?4)",
        params![user_id, asset, key.order_id.get(), key.step.as_str()],
    )?;
    free.compare(wanted)
        .map(std::cmp::Ordering::is_ge)
        .map_err(|error| bad(1, error))
}

/// `coins` less the amounts that a query finds.
fn less(tx: &Connection, coins: Amount, claims: &str, of: impl Params) -> rusqlite::Result<Amount> {
    let mut statement = tx.prepare_cached(claims)?;
    let mut rows = statement.query(of)?;
    let mut left = coins;
    while let Some(row) = rows.next()? {
        left = left.checked_sub(amount(row, 0, 1)?).map_err(|error| bad(1, error))?;
    }
    Ok(left)
}

/// What of the hot wallet's coins is left for `commands`, by the newest of their answers. Its cost follows the number of
/// transfers that were not confirmed at the time of that answer.
pub(super) fn hot_purse(tx: &Connection, commands: &[SignedCommand]) -> rusqlite::Result<Purse> {
    let mut purse = Purse::default();
    for (asset, funds) in newest(commands.iter().map(|command| command.funds)) {
        let free = less(
            tx,
            funds.coins,
            "SELECT asset, amount FROM bc_gateway_transfers WHERE from_user = ? AND nonce >= ? AND asset = ?",
            params![UserId::HOT_WALLET.get(), nonce_column(funds.nonce)?, asset.code()],
        )?;
        purse.put(free).map_err(|error| bad(1, error))?;
    }
    Ok(purse)
}

/// Looks at the addresses that waited longest.
pub(super) fn count(tx: &Connection, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<CountedCoins>> {
    let to_address = |row: &Row<'_>| {
        let asset: Asset = row.get::<_, String>(1)?.parse().map_err(|error| bad(1, error))?;
        Ok((user_from(row, 0)?, asset))
    };
    let line: Vec<(UserId, Asset)> = tx
        .prepare_cached("SELECT user_id, asset FROM bc_gateway_coins WHERE marked = 1 ORDER BY checked_at LIMIT ?")?
        .query_map([i64::try_from(limit).unwrap_or(i64::MAX)], to_address)?
        .collect::<rusqlite::Result<_>>()?;
    let mut checked =
        tx.prepare_cached("UPDATE bc_gateway_coins SET checked_at = ?, marked = ? WHERE user_id = ? AND asset = ?")?;
    let mut counts = Vec::with_capacity(line.len());
    for (user, asset) in line {
        take_in(tx, user)?;
        let (coins, reservations) = seen(tx, user, asset)?;
        let settled = are_settled(tx, user)?;
        // Empty and quiet: it comes back into the line with its next transfer.
        let marked = !(settled && coins.is_zero());
        checked.execute(params![micros(now), marked, user.get(), asset.code()])?;
        counts.push(CountedCoins {
            user_id: user,
            coins,
            reservations,
            settled,
        });
    }
    Ok(counts)
}
