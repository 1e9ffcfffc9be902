//! Counting the coins at customers' addresses, and sweeping what is nobody's any more.
//!
//! A signed transfer only leaves a note of what it will have done, and marks its parties. The count takes in the notes of
//! what has ended since, so its cost follows the number of new transfers and not the number of all.

use contracts::UserId;
use jiff::Timestamp;
use storage::postgres::{Numeric, Tx, TxError};

use super::rows::{number, to_address, to_amount, to_number, to_user};
use super::signing::{assign, move_nonce};
use super::statements::{
    BRING_USERS_FORWARD, COUNT, FINISH_SWEEP, INSERT_SWEEP, LATE_USERS, LINE, SEEN, SWEPT_USER, TAKE_IN,
};
use super::{USERS, lock};
use crate::ports::{CountedCoins, NewSweep};

/// The most transfers of one address that one count takes in; the rest is for the next.
const MAX_TRANSFERS: i64 = 1_000;

/// The most users whose addresses are brought forward at once.
const TURN: i64 = 100;

/// Looks at the addresses that waited longest.
pub(super) async fn count(tx: &mut Tx, now: Timestamp, limit: i64) -> Result<Vec<CountedCoins>, TxError> {
    let line = tx.query(LINE, &[&limit, &USERS]).await?;
    if line.is_empty() {
        return Ok(Vec::new());
    }
    let users = line.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let assets = line
        .iter()
        .map(|row| row.try_get(1))
        .collect::<Result<Vec<&str>, _>>()?;
    let mut once = users.clone();
    once.sort_unstable();
    once.dedup();
    let now = now.as_microsecond();
    tx.query(TAKE_IN, &[&once, &MAX_TRANSFERS, &now]).await?;
    let counted = tx.query(COUNT, &[&users, &assets, &now]).await?;
    counted
        .iter()
        .map(|row| {
            Ok(CountedCoins {
                user_id: to_user(row.try_get(0)?)?,
                coins: to_amount(row, 1, 2)?,
                reservations: to_number(row.try_get(3)?)?,
                settled: row.try_get(4)?,
            })
        })
        .collect()
}

/// Stores a sweep if what it was decided on is still so.
pub(super) async fn begin_sweep(tx: &mut Tx, now: Timestamp, sweep: &NewSweep) -> Result<Option<i64>, TxError> {
    let NewSweep {
        chain,
        from,
        counted,
        reservations,
        amount,
        transfer,
    } = sweep;
    lock(tx, [from.user_id]).await?;
    let (user, asset, address) = (from.user_id.get(), counted.asset().code(), from.address.as_str());
    let seen = tx.query(SEEN, &[&user, &asset, &address, chain]).await?;
    let Some(seen) = seen.first() else {
        return Ok(None);
    };
    let Numeric(coins) = seen.try_get(1)?;
    let next: Option<u64> = seen.try_get::<_, Option<i64>>(3)?.map(to_number).transpose()?;
    let assigned = seen.try_get::<_, Option<&str>>(4)?.map(to_address).transpose()?;
    let unchanged = seen.try_get::<_, bool>(0)?
        && (coins, to_number(seen.try_get(2)?)?) == (counted.units(), *reservations)
        && next.is_none_or(|next| next == transfer.nonce)
        && assigned.as_ref().is_none_or(|assigned| *assigned == from.address);
    if !unchanged {
        return Ok(None);
    }
    let (units, nonce, at) = (Numeric(amount.units()), number(transfer.nonce)?, now.as_microsecond());
    let asset = amount.asset().code();
    let stored = tx
        .query(
            INSERT_SWEEP,
            &[&user, &asset, &units, &nonce, &transfer.hash, &transfer.bytes, &at],
        )
        .await?;
    move_nonce(tx, &from.address, transfer.nonce, 1, next.is_none())?;
    if assigned.is_none() {
        assign(tx, now, chain, [(from.user_id, &from.address)]);
    }
    stored.first().map(|row| Ok(row.try_get(0)?)).transpose()
}

/// Takes a confirmed sweep's coins off the count, once.
pub(super) async fn finish_sweep(tx: &mut Tx, now: Timestamp, id: i64) -> Result<(), TxError> {
    let swept = tx.query(SWEPT_USER, &[&id]).await?;
    let user = swept.first().map(|row| to_user(row.try_get(0)?)).transpose()?;
    let Some(user) = user else { return Ok(()) };
    lock(tx, [user]).await?;
    tx.write(FINISH_SWEEP, vec![Box::new(id), Box::new(now.as_microsecond())], None);
    Ok(())
}

/// Lets no address of some users have been looked at later than `now`. How many it were; none when there are no more.
pub(super) async fn bring_forward(tx: &mut Tx, now: i64) -> Result<Option<u64>, TxError> {
    let late = tx.query(LATE_USERS, &[&now, &TURN]).await?;
    if late.is_empty() {
        return Ok(None);
    }
    let users = late.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let locked = users
        .iter()
        .map(|user| to_user(*user))
        .collect::<Result<Vec<UserId>, _>>()?;
    lock(tx, locked).await?;
    let brought = tx.query(BRING_USERS_FORWARD, &[&users, &now]).await?;
    Ok(Some(u64::try_from(brought.len()).unwrap_or(u64::MAX)))
}
