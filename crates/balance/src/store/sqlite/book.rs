//! Booking: load, decide, write. The hottest path of the system, so statements are few and each is prepared once for
//! a batch: one look-up and one insert for each transfer, one look-up and one update for each account.

use contracts::ledger::{Leg, Posting, PostingOutcome, Transfer, TransferId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use storage::sqlite::{AmountBlob, micros};

use super::read::{has_wallet, to_amount, to_owner};
use super::statements::{
    FIND_ACCOUNT, FIND_ENTRY, FIND_REFUSAL, INSERT_ACCOUNT, INSERT_REFUSAL, INSERT_TRANSFER, READ_ENTRY, UPDATE_ACCOUNT,
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
    write(tx, now, &decision, &known)?;
    Ok(decision.outcomes)
}

/// Loads what a batch needs, and the rows of its accounts; `None` for those that do not exist yet.
fn load(tx: &Connection, batch: &Batch<'_>) -> rusqlite::Result<(View, Vec<Option<i64>>)> {
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
    let mut known = Vec::with_capacity(batch.accounts().len());
    let mut find_account = tx.prepare_cached(FIND_ACCOUNT)?;
    for account in batch.accounts() {
        let found = find_account
            .query_row(params![account.owner.to_string(), account.asset.code()], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, AmountBlob>(1)?.0))
            })
            .optional()?;
        view.balances.push(found.map_or(0, |(_, balance)| balance));
        known.push(found.map(|(row, _)| row));
    }
    for user in batch.users() {
        if has_wallet(tx, *user)? {
            view.wallets.insert(*user);
        }
    }
    Ok((view, known))
}

fn write(tx: &Connection, now: Timestamp, decision: &Decision<'_>, known: &[Option<i64>]) -> rusqlite::Result<()> {
    let rows = write_accounts(tx, &decision.accounts, known)?;
    let mut insert = tx.prepare_cached(INSERT_TRANSFER)?;
    for booked in &decision.booked {
        let transfer = booked.transfer;
        let (kind, number) = transfer.id.origin.parts();
        insert.execute(params![
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
            micros(now)
        ])?;
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

/// Writes each touched account once; answers with the rows of all. An untouched account that does not exist has no
/// row, and no transfer refers to it.
fn write_accounts(
    tx: &Connection,
    accounts: &[AccountAfter<'_>],
    known: &[Option<i64>],
) -> rusqlite::Result<Vec<Option<i64>>> {
    let mut rows = known.to_vec();
    let mut update = tx.prepare_cached(UPDATE_ACCOUNT)?;
    for (after, row) in accounts.iter().zip(&mut rows).filter(|(after, _)| after.touched) {
        let balance = AmountBlob(after.balance);
        if let Some(row) = row {
            update.execute(params![*row, balance])?;
        } else {
            let name = params![after.account.owner.to_string(), after.account.asset.code(), balance];
            *row = Some(tx.prepare_cached(INSERT_ACCOUNT)?.insert(name)?);
        }
    }
    Ok(rows)
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
