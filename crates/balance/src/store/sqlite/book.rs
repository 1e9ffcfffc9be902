//! Booking: load, decide, write. The hottest path of the system, so statements are few and each is prepared once for
//! a batch: one look-up and one insert for each transfer, one look-up for each owner, one update for each account.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use contracts::ledger::{Leg, Owner, Posting, PostingOutcome, Transfer, TransferId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use storage::sqlite::{AmountBlob, micros};

use super::read::{Account, NO_ENTRY, accounts_of, has_wallet, newest_of, to_amount, to_owner};
use super::statements::{
    FIND_ENTRY, FIND_REFUSAL, INSERT_ACCOUNT, INSERT_REFUSAL, INSERT_TRANSFER, READ_ENTRY, UPDATE_ACCOUNT,
};
use crate::domain::{AccountAfter, Batch, Decision, View, decide};

/// Books postings inside a transaction.
pub(super) fn book<'p>(
    tx: &Connection,
    now: Timestamp,
    postings: impl IntoIterator<Item = &'p Posting>,
) -> rusqlite::Result<Vec<PostingOutcome>> {
    let batch = Batch::of(postings);
    let (view, known) = load(tx, &batch)?;
    let decision = decide(&batch, &view);
    write(tx, now, &decision, known)?;
    Ok(decision.outcomes)
}

/// Where a batch's accounts are stored.
struct Known<'a> {
    /// The rows of [`Batch::accounts`]; `None` for those that do not exist yet.
    rows: Vec<Option<i64>>,
    /// Each owner's newest entry.
    newest: HashMap<&'a Owner, i64>,
}

/// Loads what a batch needs.
fn load<'a>(tx: &Connection, batch: &Batch<'a>) -> rusqlite::Result<(View, Known<'a>)> {
    let mut view = View {
        balances: Vec::with_capacity(batch.accounts().len()),
        ..View::default()
    };
    let mut find_entry = tx.prepare_cached(FIND_ENTRY)?;
    for id in batch.ids() {
        let (kind, number) = id.origin.parts();
        let name = params![kind, number, id.leg.number()];
        if let Some(entry) = find_entry.query_row(name, |row| row.get(0)).optional()? {
            view.booked.insert(*id, read_entry(tx, *id, entry)?);
        } else if id.leg == Leg::Hold
            && let Some(hold) = tx
                .prepare_cached(FIND_REFUSAL)?
                .query_row(name, |row| to_transfer(*id, row))
                .optional()?
        {
            view.refused_holds.insert(*id, hold);
        }
    }
    let mut known = Known {
        rows: Vec::with_capacity(batch.accounts().len()),
        newest: HashMap::new(),
    };
    let mut owners: HashMap<&Owner, Vec<Account>> = HashMap::new();
    for account in batch.accounts() {
        let owned = match owners.entry(account.owner) {
            Entry::Occupied(owned) => owned.into_mut(),
            Entry::Vacant(place) => {
                let owned = accounts_of(tx, account.owner)?;
                known.newest.insert(account.owner, newest_of(&owned));
                place.insert(owned)
            }
        };
        let found = owned.iter().find(|found| found.balance.asset() == account.asset);
        view.balances.push(found.map_or(0, |found| found.balance.units()));
        known.rows.push(found.map(|found| found.row));
    }
    for user in batch.users() {
        if has_wallet(tx, *user)? {
            view.wallets.insert(*user);
        }
    }
    Ok((view, known))
}

fn write(tx: &Connection, now: Timestamp, decision: &Decision<'_>, known: Known<'_>) -> rusqlite::Result<()> {
    let rows = open_accounts(tx, &decision.accounts, known.rows)?;
    let entries = write_transfers(tx, now, decision, &rows, known.newest)?;
    let mut update = tx.prepare_cached(UPDATE_ACCOUNT)?;
    let accounts = decision.accounts.iter().zip(&rows).zip(entries);
    for ((after, row), newest) in accounts.filter(|((after, _), _)| after.touched) {
        update.execute(params![row, AmountBlob(after.balance), newest])?;
    }
    for hold in &decision.refused_holds {
        let (kind, number) = hold.id.origin.parts();
        tx.prepare_cached(INSERT_REFUSAL)?.execute(params![
            kind,
            number,
            hold.id.leg.number(),
            hold.debit.to_string(),
            hold.credit.to_string(),
            hold.amount.asset().code(),
            AmountBlob(hold.amount.units()),
            hold.reason,
            hold.actor,
            micros(now)
        ])?;
    }
    Ok(())
}

/// Opens the accounts that are touched for the first time; answers with the rows of all. An untouched account that does
/// not exist has no row, and no transfer refers to it.
fn open_accounts(
    tx: &Connection,
    accounts: &[AccountAfter<'_>],
    mut rows: Vec<Option<i64>>,
) -> rusqlite::Result<Vec<Option<i64>>> {
    let missing = accounts.iter().zip(&mut rows);
    for (after, row) in missing.filter(|(after, row)| after.touched && row.is_none()) {
        let name = params![
            after.account.owner.to_string(),
            after.account.asset.code(),
            AmountBlob(0)
        ];
        *row = Some(tx.prepare_cached(INSERT_ACCOUNT)?.insert(name)?);
    }
    Ok(rows)
}

/// Writes what is booked, each entry with those before it; `newest` are the owners' last ones so far. Answers with the
/// newest entry of each account.
fn write_transfers<'a>(
    tx: &Connection,
    now: Timestamp,
    decision: &Decision<'a>,
    rows: &[Option<i64>],
    mut newest: HashMap<&'a Owner, i64>,
) -> rusqlite::Result<Vec<i64>> {
    let mut entries = vec![NO_ENTRY; rows.len()];
    let mut insert = tx.prepare_cached(INSERT_TRANSFER)?;
    for booked in &decision.booked {
        let transfer = booked.transfer;
        let (kind, number) = transfer.id.origin.parts();
        let sides = [booked.debit, booked.credit];
        let [debit, credit] = sides.map(|side| decision.accounts[side].account.owner);
        let before = |owner| newest.get(owner).copied().unwrap_or(NO_ENTRY);
        let entry = insert.insert(params![
            kind,
            number,
            transfer.id.leg.number(),
            rows[booked.debit],
            rows[booked.credit],
            AmountBlob(transfer.amount.units()),
            AmountBlob(booked.debit_balance_after),
            AmountBlob(booked.credit_balance_after),
            transfer.reason,
            transfer.actor,
            micros(now),
            before(debit),
            before(credit)
        ])?;
        newest.extend([(debit, entry), (credit, entry)]);
        for side in sides {
            entries[side] = entry;
        }
    }
    Ok(entries)
}

/// A booked transfer by its name.
pub(super) fn find_transfer(tx: &Connection, id: TransferId) -> rusqlite::Result<Option<Transfer>> {
    let (kind, number) = id.origin.parts();
    tx.prepare_cached(FIND_ENTRY)?
        .query_row(params![kind, number, id.leg.number()], |row| row.get(0))
        .optional()?
        .map(|entry| read_entry(tx, id, entry))
        .transpose()
}

fn read_entry(tx: &Connection, id: TransferId, entry: i64) -> rusqlite::Result<Transfer> {
    tx.prepare_cached(READ_ENTRY)?
        .query_row([entry], |row| to_transfer(id, row))
}

/// The content of a transfer: debit, credit, asset, amount, reason, actor.
fn to_transfer(id: TransferId, row: &rusqlite::Row<'_>) -> rusqlite::Result<Transfer> {
    Ok(Transfer {
        id,
        debit: to_owner(row, 0)?,
        credit: to_owner(row, 1)?,
        amount: to_amount(row, 2, 3)?,
        reason: row.get(4)?,
        actor: row.get(5)?,
    })
}
