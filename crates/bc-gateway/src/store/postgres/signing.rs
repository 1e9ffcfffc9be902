//! The commit of signed bytes, and what is reserved for it: lock, look up, decide, write.
//!
//! The decision is made on what is seen under the lock of the paying user: who comes second sees the nonce moved on and
//! signs anew. What is written is written by statements that name what was seen (the nonce, the claims' epochs), each of
//! which must change as many rows as it should.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use contracts::{Amount, Asset, UserId};
use jiff::Timestamp;
use storage::commands::CommandKey;
use storage::postgres::{Numeric, Param, PostgresCommands, Tx, TxError};

use super::lock;
use super::rows::{bad, number, to_address, to_amount, to_asset, to_number, to_user};
use super::statements::{
    COUNT_RESERVATION, INSERT_ADDRESSES, INSERT_NONCE, INSERT_TRANSFERS, INSERT_UNCOUNTED, LOOK_UP, MARK, MOVE_NONCE,
    RELEASE, RESERVE,
};
use crate::domain::progress::Progress;
use crate::domain::purse::{Purse, newest};
use crate::ports::{
    Address, CoinReservation, Commitment, Funds, Reservation, SignedBatch, SignedCommand, SignedTransfer,
};

/// What [`LOOK_UP`] is asked about.
struct Question<'a> {
    claims: Vec<(CommandKey, i64)>,
    chain: &'a str,
    address: &'a str,
    from: UserId,
    /// Whose addresses and marks are of interest.
    users: Vec<i64>,
    /// What the chain says of the hot wallet.
    answers: BTreeMap<Asset, Funds>,
}

/// What there is, as long as the locks are held.
#[derive(Default)]
struct Seen {
    claims: HashSet<CommandKey>,
    next_nonce: Option<u64>,
    addresses: BTreeMap<UserId, Address>,
    marked: BTreeSet<(UserId, Asset)>,
    purse: Purse,
    /// What is reserved for the commands themselves. The purse is without it.
    own: HashMap<CommandKey, Amount>,
}

/// Commits what of a batch can be committed; see [`TransferStore::commit`](crate::ports::TransferStore::commit).
pub(super) async fn commit(
    commands: &PostgresCommands,
    tx: &mut Tx,
    now: Timestamp,
    batch: &SignedBatch,
) -> Result<Vec<Commitment>, TxError> {
    let from = batch.from.user_id;
    let users: BTreeSet<UserId> = batch.commands.iter().map(|command| command.to.user_id).collect();
    let users: BTreeSet<UserId> = users.into_iter().chain([from]).collect();
    lock(tx, users.iter().copied()).await?;
    let answers = if from == UserId::HOT_WALLET {
        newest(batch.commands.iter().map(|command| command.funds))
    } else {
        BTreeMap::new()
    };
    let question = Question {
        claims: batch
            .commands
            .iter()
            .map(|command| (command.key, command.epoch))
            .collect(),
        chain: batch.chain,
        address: batch.from.address.as_str(),
        from,
        users: users.into_iter().map(UserId::get).collect(),
        answers,
    };
    let mut seen = look_up(tx, &question).await?;
    let fresh = seen.next_nonce.is_none();
    let known: BTreeSet<UserId> = seen.addresses.keys().copied().collect();
    let mut outcomes = decide(batch, &mut seen)?;
    let written = outcomes.iter().filter(|outcome| **outcome == Commitment::Written);
    let written = &batch.commands[..written.count()];
    outcomes.resize(batch.commands.len(), Commitment::Outdated);
    if written.is_empty() {
        return Ok(outcomes);
    }
    let used = u64::try_from(written.len()).map_err(bad)?;
    move_nonce(tx, &batch.from.address, batch.first_nonce, used, fresh)?;
    let parties = || written.iter().map(|command| &command.to).chain([&batch.from]);
    let new: BTreeMap<UserId, &Address> = parties()
        .filter(|party| !known.contains(&party.user_id))
        .map(|party| (party.user_id, &party.address))
        .collect();
    assign(tx, now, batch.chain, new);
    write_transfers(tx, now, from, written)?;
    write_effects(tx, now, from, written, &seen.marked);
    let progress = |command: &SignedCommand| Progress::Signed(command.transfer.clone()).to_json();
    let progress = written
        .iter()
        .map(|command| (command.key, command.epoch, progress(command)));
    commands.checkpoint_locked(tx, now, progress);
    Ok(outcomes)
}

/// What becomes of the commands up to the first one that is not written.
fn decide(batch: &SignedBatch, seen: &mut Seen) -> Result<Vec<Commitment>, TxError> {
    if seen.next_nonce.is_some_and(|next| next != batch.first_nonce) {
        return Ok(Vec::new());
    }
    if !is_assigned(seen, batch.from.user_id, &batch.from.address) {
        return Ok(vec![Commitment::WrongSeed; batch.commands.len()]);
    }
    let mut outcomes = Vec::with_capacity(batch.commands.len());
    for command in &batch.commands {
        let outcome = decide_one(command, seen)?;
        outcomes.push(outcome);
        if outcome != Commitment::Written {
            break;
        }
    }
    Ok(outcomes)
}

fn decide_one(command: &SignedCommand, seen: &mut Seen) -> Result<Commitment, TxError> {
    if !is_assigned(seen, command.to.user_id, &command.to.address) {
        return Ok(Commitment::WrongSeed);
    }
    if let Some(own) = seen.own.remove(&command.key) {
        seen.purse.put(own).map_err(bad)?;
    }
    if !seen.purse.pay(command.amount).map_err(bad)? {
        return Ok(Commitment::CoinsMissing);
    }
    // Of a name that comes twice, the first is written, and the claim is used up.
    if !seen.claims.remove(&command.key) {
        return Ok(Commitment::Fenced);
    }
    Ok(Commitment::Written)
}

/// Whether the address is the user's, who gets it if they have none yet.
fn is_assigned(seen: &mut Seen, user: UserId, address: &Address) -> bool {
    let assigned = seen.addresses.entry(user).or_insert_with(|| address.clone());
    assigned == address
}

/// Keeps coins for a command; see [`TransferStore::reserve`](crate::ports::TransferStore::reserve).
pub(super) async fn reserve(
    commands: &PostgresCommands,
    tx: &mut Tx,
    now: Timestamp,
    reservation: &CoinReservation,
) -> Result<Reservation, TxError> {
    let CoinReservation {
        key,
        epoch,
        from,
        amount,
    } = *reservation;
    lock(tx, [from]).await?;
    let question = Question {
        claims: vec![(key, epoch)],
        chain: "",
        address: "",
        from,
        users: Vec::new(),
        answers: BTreeMap::new(),
    };
    let mut seen = look_up(tx, &question).await?;
    if !seen.purse.pay(amount).map_err(bad)? {
        return Ok(Reservation::CoinsMissing);
    }
    if !seen.claims.contains(&key) {
        return Ok(Reservation::Fenced);
    }
    let (order, step, asset) = (key.order_id.get(), key.step.as_str(), amount.asset().code());
    let params: Vec<Param> = vec![
        Box::new(order),
        Box::new(step),
        Box::new(from.get()),
        Box::new(asset),
        Box::new(Numeric(amount.units())),
        Box::new(now.as_microsecond()),
    ];
    tx.write(RESERVE, params, Some(1));
    tx.write(COUNT_RESERVATION, vec![Box::new(from.get()), Box::new(asset)], Some(1));
    commands.checkpoint_locked(tx, now, [(key, epoch, Progress::Paying.to_json())]);
    Ok(Reservation::Reserved)
}

async fn look_up(tx: &mut Tx, question: &Question<'_>) -> Result<Seen, TxError> {
    let (keys, epochs): (Vec<CommandKey>, Vec<i64>) = question.claims.iter().copied().unzip();
    let (orders, steps) = columns(keys.iter());
    let assets: Vec<&str> = question.answers.keys().map(|asset| asset.code()).collect();
    let nonces = question.answers.values().map(|funds| number(funds.nonce));
    let nonces = nonces.collect::<Result<Vec<i64>, _>>()?;
    let rows = tx
        .query(
            LOOK_UP,
            &[
                &orders,
                &steps,
                &epochs,
                &question.address,
                &question.chain,
                &question.users,
                &question.from.get(),
                &assets,
                &nonces,
            ],
        )
        .await?;
    let mut seen = Seen::default();
    for funds in question.answers.values() {
        seen.purse.put(funds.coins).map_err(bad)?;
    }
    for row in &rows {
        let (number, name): (i64, &str) = (row.try_get(1)?, row.try_get(2)?);
        let key = || {
            keys.iter()
                .find(|key| (key.order_id.get(), key.step.as_str()) == (number, name))
        };
        let key = || key().copied().ok_or_else(|| bad("a command that nobody asked for"));
        match row.try_get(0)? {
            "claim" => {
                seen.claims.insert(key()?);
            }
            "nonce" => seen.next_nonce = Some(to_number(number)?),
            "address" => {
                seen.addresses.insert(to_user(number)?, to_address(name)?);
            }
            "marked" => {
                seen.marked.insert((to_user(number)?, to_asset(row.try_get(4)?)?));
            }
            "signed" => {
                let signed = to_amount(row, 4, 3)?.checked_neg().map_err(bad)?;
                seen.purse.put(signed).map_err(bad)?;
            }
            "free" => seen.purse.put(to_amount(row, 4, 3)?).map_err(bad)?,
            "own" => {
                seen.own.insert(key()?, to_amount(row, 4, 3)?);
            }
            other => return Err(bad(format!("`{other}` was not looked for"))),
        }
    }
    Ok(seen)
}

/// Uses up nonces of an address, the first of which was seen to be the next one.
pub(super) fn move_nonce(tx: &mut Tx, address: &Address, first: u64, used: u64, fresh: bool) -> Result<(), TxError> {
    let next = first.checked_add(used).ok_or_else(|| bad("beyond the last nonce"))?;
    let mut params: Vec<Param> = vec![Box::new(address.as_str().to_owned()), Box::new(number(next)?)];
    let sql = if fresh {
        INSERT_NONCE
    } else {
        params.push(Box::new(number(first)?));
        MOVE_NONCE
    };
    tx.write(sql, params, Some(1));
    Ok(())
}

/// Assigns addresses to users who have none.
pub(super) fn assign<'a>(
    tx: &mut Tx,
    now: Timestamp,
    chain: &'static str,
    new: impl IntoIterator<Item = (UserId, &'a Address)>,
) {
    let new = new
        .into_iter()
        .map(|(user, address)| (user.get(), address.as_str().to_owned()));
    let (users, addresses): (Vec<i64>, Vec<String>) = new.unzip();
    if users.is_empty() {
        return;
    }
    let count = users.len() as u64;
    let params: Vec<Param> = vec![
        Box::new(chain),
        Box::new(users),
        Box::new(addresses),
        Box::new(now.as_microsecond()),
    ];
    tx.write(INSERT_ADDRESSES, params, Some(count));
}

fn write_transfers(tx: &mut Tx, now: Timestamp, from: UserId, written: &[SignedCommand]) -> Result<(), TxError> {
    let (orders, steps) = columns(written.iter().map(|command| &command.key));
    let nonce = |SignedCommand { transfer, .. }: &SignedCommand| {
        let SignedTransfer { nonce, .. } = transfer;
        number(*nonce)
    };
    let params: Vec<Param> = vec![
        Box::new(orders),
        Box::new(steps),
        Box::new(
            written
                .iter()
                .map(|command| command.to.user_id.get())
                .collect::<Vec<_>>(),
        ),
        Box::new(
            written
                .iter()
                .map(|command| command.amount.asset().code())
                .collect::<Vec<_>>(),
        ),
        Box::new(
            written
                .iter()
                .map(|command| Numeric(command.amount.units()))
                .collect::<Vec<_>>(),
        ),
        Box::new(written.iter().map(nonce).collect::<Result<Vec<_>, _>>()?),
        Box::new(
            written
                .iter()
                .map(|command| command.transfer.hash.clone())
                .collect::<Vec<_>>(),
        ),
        Box::new(from.get()),
        Box::new(now.as_microsecond()),
    ];
    tx.write(INSERT_TRANSFERS, params, Some(written.len() as u64));
    Ok(())
}

/// What the transfers will have done to customers' coins, and what they were reserved for.
fn write_effects(
    tx: &mut Tx,
    now: Timestamp,
    from: UserId,
    written: &[SignedCommand],
    marked: &BTreeSet<(UserId, Asset)>,
) {
    let effects = written.iter().flat_map(|command| {
        let SignedCommand { key, to, amount, .. } = command;
        let (units, asset) = (amount.units(), amount.asset());
        [(from, -units), (to.user_id, units)].map(|(user, change)| (user, *key, asset, change))
    });
    let effects: Vec<_> = effects.filter(|(user, ..)| *user != UserId::HOT_WALLET).collect();
    if !effects.is_empty() {
        let (orders, steps) = columns(effects.iter().map(|(_, key, ..)| key));
        let params: Vec<Param> = vec![
            Box::new(effects.iter().map(|(user, ..)| user.get()).collect::<Vec<_>>()),
            Box::new(orders),
            Box::new(steps),
            Box::new(effects.iter().map(|(.., asset, _)| asset.code()).collect::<Vec<_>>()),
            Box::new(effects.iter().map(|(.., change)| Numeric(*change)).collect::<Vec<_>>()),
        ];
        tx.write(INSERT_UNCOUNTED, params, Some(effects.len() as u64));
    }
    let unmarked: BTreeSet<(UserId, Asset)> = effects
        .iter()
        .map(|(user, _, asset, _)| (*user, *asset))
        .filter(|address| !marked.contains(address))
        .collect();
    if !unmarked.is_empty() {
        let (users, assets): (Vec<i64>, Vec<&str>) =
            unmarked.iter().map(|(user, asset)| (user.get(), asset.code())).unzip();
        let params: Vec<Param> = vec![Box::new(users), Box::new(assets), Box::new(now.as_microsecond())];
        tx.write(MARK, params, Some(unmarked.len() as u64));
    }
    if from != UserId::HOT_WALLET {
        let (orders, steps) = columns(written.iter().map(|command| &command.key));
        tx.write(RELEASE, vec![Box::new(orders), Box::new(steps)], None);
    }
}

/// Keys as two columns.
fn columns<'a>(keys: impl Iterator<Item = &'a CommandKey>) -> (Vec<i64>, Vec<&'static str>) {
    keys.map(|key| (key.order_id.get(), key.step.as_str())).unzip()
}
