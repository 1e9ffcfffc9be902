//! Booking: lock and load, decide, write. Whatever the batch, one statement locks, one looks up and at most four write.
//!
//! Two callers who may be about the same thing meet at a lock, and the second looks only when it has it: at the rows of the
//! accounts, and, for what has no row yet, at the names of holds, because a hold that is refused here must not be booked
//! there. Everybody locks in one order. What nobody could lock, accounts and transfers that both are the first to write, is
//! unique: the second is told, and begins anew with what the first has done before its eyes.

use std::sync::Arc;

use contracts::ledger::{Leg, Owner, Posting, PostingOutcome, TransferId};
use contracts::{Amount, Asset, UserId};
use jiff::Timestamp;
use storage::StoreError;
use storage::postgres::{Numeric, Tx, TxError, Work};

use super::rows::{bad, to_transfer};
use super::statements::{INSERT_REFUSALS, INSERT_TRANSFERS, LOCK, LOOK_UP, OPEN_ACCOUNTS, UPDATE_ACCOUNTS};
use crate::domain::{AccountRef, Batch, Decision, View, decide};

/// The first part of the locks on names of holds: any number that no other lock in the database has.
const HOLDS: i32 = 0x6261_6c01;

/// What became of postings inside a transaction.
pub(super) struct Done {
    pub(super) outcomes: Vec<PostingOutcome>,
    /// The balances of the accounts in `also`, as far as there are such accounts, after all is written.
    pub(super) wallet: Vec<Amount>,
}

/// Books postings for all who wait. All touch the hot wallet's accounts: one transaction locks, loads and stores those once.
pub(super) struct Booking;

impl Work for Booking {
    type Call = (Timestamp, Vec<Posting>);
    type Answer = Vec<PostingOutcome>;

    fn items((_, postings): &Self::Call) -> usize {
        postings.len()
    }

    async fn together(
        &self,
        tx: &mut Tx,
        calls: &[Arc<Self::Call>],
    ) -> Result<Vec<Result<Vec<PostingOutcome>, StoreError>>, TxError> {
        let now = calls.iter().map(|call| call.0).max().unwrap_or(Timestamp::MIN);
        let done = book(tx, now, calls.iter().flat_map(|call| &call.1), None).await?;
        let mut outcomes = done.outcomes.into_iter();
        let parted = calls
            .iter()
            .map(|call| Ok(outcomes.by_ref().take(call.1.len()).collect()));
        Ok(parted.collect())
    }
}

/// Books postings inside a transaction, and locks all accounts of `also` for it.
pub(super) async fn book(
    tx: &mut Tx,
    now: Timestamp,
    postings: impl IntoIterator<Item = &Posting>,
    also: Option<&Owner>,
) -> Result<Done, TxError> {
    let batch = Batch::of(postings);
    let mut wanted = batch.accounts().to_vec();
    let every = also.into_iter().flat_map(|owner| {
        let every = Asset::KNOWN.iter();
        every.map(move |asset| AccountRef { owner, asset: *asset })
    });
    wanted.extend(every.filter(|account| !batch.accounts().contains(account)));
    let found = lock(tx, &wanted, batch.ids()).await?;
    let (loaded, others) = found.split_at(batch.accounts().len());
    let mut view = look_up(tx, &batch).await?;
    view.balances = loaded
        .iter()
        .map(|account| account.map_or(0, |(_, units)| units))
        .collect();
    let decision = decide(&batch, &view);
    let rows = loaded.iter().map(|account| account.map(|(row, _)| row)).collect();
    write(tx, now, &decision, rows).await?;

    let of_batch = decision.accounts.iter().zip(loaded);
    let of_batch = of_batch.filter(|(after, before)| after.touched || before.is_some());
    let of_batch = of_batch.map(|(after, _)| (after.account, after.balance));
    let others = wanted[loaded.len()..].iter().zip(others);
    let others = others.filter_map(|(account, found)| found.map(|(_, units)| (*account, units)));
    let wallet = of_batch
        .chain(others)
        .filter(|(account, _)| Some(account.owner) == also);
    let wallet = wallet
        .map(|(account, units)| Amount::new(units, account.asset))
        .collect();
    Ok(Done {
        outcomes: decision.outcomes,
        wallet,
    })
}

/// Locks names of holds and accounts. Answers with the row and the balance of each account, if it exists.
async fn lock(
    tx: &mut Tx,
    accounts: &[AccountRef<'_>],
    ids: &[TransferId],
) -> Result<Vec<Option<(i64, i128)>>, TxError> {
    let owners: Vec<String> = accounts.iter().map(|account| account.owner.to_string()).collect();
    let assets: Vec<&str> = accounts.iter().map(|account| account.asset.code()).collect();
    let holds = ids.iter().filter(|id| id.leg == Leg::Hold);
    let mut holds: Vec<i32> = holds.map(|id| lock_of(*id)).collect();
    holds.sort_unstable();
    holds.dedup();
    let mut found = vec![None; accounts.len()];
    for row in tx.query(LOCK, &[&owners, &assets, &HOLDS, &holds]).await? {
        let place = usize::try_from(row.try_get::<_, i64>(0)?).ok();
        let place = place.and_then(|place| found.get_mut(place.checked_sub(1)?));
        let Numeric(units) = row.try_get(2)?;
        *place.ok_or_else(|| bad("an account that nobody asked for"))? = Some((row.try_get(1)?, units));
    }
    Ok(found)
}

/// The second part of the lock on a hold's name. Two holds that share one wait for each other; nothing else comes of it.
fn lock_of(hold: TransferId) -> i32 {
    let (_, number) = hold.origin.parts();
    let [a, b, c, d, e, f, g, h] = number.to_be_bytes();
    i32::from_be_bytes([a ^ e, b ^ f, c ^ g, d ^ h])
}

/// What is known of a batch's names and users. The balances are not in it.
async fn look_up(tx: &mut Tx, batch: &Batch<'_>) -> Result<View, TxError> {
    let Names { kinds, numbers, legs } = batch.ids().iter().collect();
    let users: Vec<i64> = batch.users().iter().map(|user| user.get()).collect();
    let mut view = View::default();
    for row in tx.query(LOOK_UP, &[&kinds, &numbers, &legs, &users]).await? {
        match row.try_get(0)? {
            "wallet" => {
                view.wallets.insert(UserId::try_new(row.try_get(2)?).map_err(bad)?);
            }
            found => {
                let transfer = to_transfer(&row)?;
                let known = if found == "booked" {
                    &mut view.booked
                } else {
                    &mut view.refused_holds
                };
                known.insert(transfer.id, transfer);
            }
        }
    }
    Ok(view)
}

async fn write(
    tx: &mut Tx,
    now: Timestamp,
    decision: &Decision<'_>,
    mut rows: Vec<Option<i64>>,
) -> Result<(), TxError> {
    let touched = decision.accounts.iter().zip(&rows).filter(|(after, _)| after.touched);
    let stored = touched.filter_map(|(after, row)| row.map(|row| (row, Numeric(after.balance))));
    let (ids, balances): (Vec<i64>, Vec<Numeric>) = stored.unzip();
    if !ids.is_empty() {
        let count = ids.len() as u64;
        tx.write(UPDATE_ACCOUNTS, vec![Box::new(ids), Box::new(balances)], Some(count));
    }
    open_accounts(tx, decision, &mut rows).await?;
    write_transfers(tx, now, decision, &rows)?;
    write_refusals(tx, now, decision);
    Ok(())
}

/// Opens the accounts that are touched for the first time. An untouched account that does not exist has no row, and no
/// transfer refers to it.
async fn open_accounts(tx: &mut Tx, decision: &Decision<'_>, rows: &mut [Option<i64>]) -> Result<(), TxError> {
    let missing = decision.accounts.iter().zip(&*rows);
    let missing = missing.filter(|(after, row)| after.touched && row.is_none());
    let missing: Vec<_> = missing.map(|(after, _)| after).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let owners: Vec<String> = missing.iter().map(|after| after.account.owner.to_string()).collect();
    let assets: Vec<&str> = missing.iter().map(|after| after.account.asset.code()).collect();
    let balances: Vec<Numeric> = missing.iter().map(|after| Numeric(after.balance)).collect();
    for row in tx.query(OPEN_ACCOUNTS, &[&owners, &assets, &balances]).await? {
        let (owner, asset): (Owner, &str) = (row.try_get::<_, &str>(1)?.parse().map_err(bad)?, row.try_get(2)?);
        let opened = |account: &AccountRef<'_>| *account.owner == owner && account.asset.code() == asset;
        let place = decision.accounts.iter().position(|after| opened(&after.account));
        let place = place.ok_or_else(|| bad("an account that nobody opened"))?;
        rows[place] = Some(row.try_get(0)?);
    }
    Ok(())
}

fn write_transfers(tx: &mut Tx, now: Timestamp, decision: &Decision<'_>, rows: &[Option<i64>]) -> Result<(), TxError> {
    let booked = &decision.booked;
    if booked.is_empty() {
        return Ok(());
    }
    let row = |place: usize| rows[place].ok_or_else(|| bad("a booked transfer's account has no row"));
    let debits = booked.iter().map(|booked| row(booked.debit));
    let credits = booked.iter().map(|booked| row(booked.credit));
    let Names { kinds, numbers, legs } = booked.iter().map(|booked| &booked.transfer.id).collect();
    let of = |units: fn(&crate::domain::Booked<'_>) -> i128| -> Vec<Numeric> {
        booked.iter().map(|booked| Numeric(units(booked))).collect()
    };
    let texts = |text: fn(&contracts::ledger::Transfer) -> &String| -> Vec<String> {
        booked.iter().map(|booked| text(booked.transfer).clone()).collect()
    };
    tx.write(
        INSERT_TRANSFERS,
        vec![
            Box::new(kinds),
            Box::new(numbers),
            Box::new(legs),
            Box::new(debits.collect::<Result<Vec<i64>, _>>()?),
            Box::new(credits.collect::<Result<Vec<i64>, _>>()?),
            Box::new(of(|booked| booked.transfer.amount.units())),
            Box::new(of(|booked| booked.debit_balance_after)),
            Box::new(of(|booked| booked.credit_balance_after)),
            Box::new(texts(|transfer| &transfer.reason)),
            Box::new(texts(|transfer| &transfer.actor)),
            Box::new(now.as_microsecond()),
        ],
        Some(booked.len() as u64),
    );
    Ok(())
}

fn write_refusals(tx: &mut Tx, now: Timestamp, decision: &Decision<'_>) {
    let holds = &decision.refused_holds;
    if holds.is_empty() {
        return;
    }
    let Names { kinds, numbers, legs } = holds.iter().map(|hold| &hold.id).collect();
    let texts = |text: fn(&contracts::ledger::Transfer) -> String| -> Vec<String> {
        holds.iter().map(|hold| text(hold)).collect()
    };
    let amounts: Vec<Numeric> = holds.iter().map(|hold| Numeric(hold.amount.units())).collect();
    tx.write(
        INSERT_REFUSALS,
        vec![
            Box::new(kinds),
            Box::new(numbers),
            Box::new(legs),
            Box::new(texts(|hold| hold.debit.to_string())),
            Box::new(texts(|hold| hold.credit.to_string())),
            Box::new(texts(|hold| hold.amount.asset().code().to_owned())),
            Box::new(amounts),
            Box::new(texts(|hold| hold.reason.clone())),
            Box::new(texts(|hold| hold.actor.clone())),
            Box::new(now.as_microsecond()),
        ],
        Some(holds.len() as u64),
    );
}

/// Names of transfers, as three arrays.
pub(super) struct Names {
    pub(super) kinds: Vec<&'static str>,
    pub(super) numbers: Vec<i64>,
    pub(super) legs: Vec<i16>,
}

impl<'a> FromIterator<&'a TransferId> for Names {
    fn from_iter<I: IntoIterator<Item = &'a TransferId>>(ids: I) -> Self {
        let mut names = Self {
            kinds: Vec::new(),
            numbers: Vec::new(),
            legs: Vec::new(),
        };
        for id in ids {
            let (kind, number) = id.origin.parts();
            names.kinds.push(kind);
            names.numbers.push(number);
            names.legs.push(i16::from(id.leg.number()));
        }
        names
    }
}
