//! The decision about a batch. It keeps true: a posting is booked as a whole or not at all, once, and no customer's
//! balance and not the hot wallet's is below zero after any transfer, not even between two that are linked.

use std::collections::HashMap;

use contracts::ledger::{Leg, PostingOutcome, Refusal, Transfer, TransferId};

use super::batch::{AccountRef, Batch, Line, View, user_of};
use super::posting::invalid;

/// A transfer to store, in the order of booking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booked<'a> {
    /// What is booked.
    pub transfer: &'a Transfer,
    /// The debited account's place in [`Decision::accounts`].
    pub debit: usize,
    /// The credited account's place in [`Decision::accounts`].
    pub credit: usize,
    /// The debited account's balance after it.
    pub debit_balance_after: i128,
    /// The credited account's balance after it.
    pub credit_balance_after: i128,
}

/// An account after the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountAfter<'a> {
    /// Which one.
    pub account: AccountRef<'a>,
    /// Its balance, to be written once however many transfers touched it.
    pub balance: i128,
    /// Whether a booked transfer touched it. The others are neither created nor written.
    pub touched: bool,
}

/// What becomes of a batch. Everything in it is written in one transaction.
#[derive(Debug)]
pub struct Decision<'a> {
    /// `outcomes[i]` answers posting `i`.
    pub outcomes: Vec<PostingOutcome>,
    /// The transfers to store.
    pub booked: Vec<Booked<'a>>,
    /// The holds that are refused from now on.
    pub refused_holds: Vec<&'a Transfer>,
    /// In the order of [`Batch::accounts`].
    pub accounts: Vec<AccountAfter<'a>>,
}

/// Decides a batch, posting by posting, each seeing the effects of those before it: a duplicate within the batch is
/// a replay like any other.
///
/// A posting's transfers are applied in their order, and each must leave its debited owner solvent: legs that are
/// linked do not lend to each other. The first rule that a posting breaks decides its outcome: what it looks like, a
/// conflicting id, a hold refused before, only some transfers booked, a missing wallet, funds and the range of 128
/// bits, transfer by transfer.
///
/// `view` is what the store found for this very batch.
#[must_use]
pub fn decide<'a>(batch: &Batch<'a>, view: &'a View) -> Decision<'a> {
    let mut books = Books {
        view,
        booked_now: HashMap::with_capacity(batch.lines.len()),
        refused_now: HashMap::new(),
        accounts: accounts(batch, view),
        booked: Vec::with_capacity(batch.lines.len()),
        refused_holds: Vec::new(),
    };
    let mut outcomes = Vec::with_capacity(batch.postings.len());
    for posting in &batch.postings {
        let outcome = match posting {
            Ok(lines) => books.post(&batch.lines[lines.clone()]),
            Err(refusal) => Err(refusal.clone()),
        };
        outcomes.push(match outcome {
            Ok(replayed) => PostingOutcome::Posted { replayed },
            Err(refusal) => PostingOutcome::Refused { refusal },
        });
    }
    Decision {
        outcomes,
        booked: books.booked,
        refused_holds: books.refused_holds,
        accounts: books.accounts,
    }
}

fn accounts<'a>(batch: &Batch<'a>, view: &View) -> Vec<AccountAfter<'a>> {
    assert_eq!(
        batch.accounts().len(),
        view.balances.len(),
        "a view belongs to one batch"
    );
    let pairs = batch.accounts().iter().zip(&view.balances);
    pairs
        .map(|(account, balance)| AccountAfter {
            account: *account,
            balance: *balance,
            touched: false,
        })
        .collect()
}

/// The books while a batch is decided: what was found, and what this batch has changed so far.
struct Books<'a> {
    view: &'a View,
    booked_now: HashMap<TransferId, &'a Transfer>,
    refused_now: HashMap<TransferId, &'a Transfer>,
    accounts: Vec<AccountAfter<'a>>,
    booked: Vec<Booked<'a>>,
    refused_holds: Vec<&'a Transfer>,
}

impl<'a> Books<'a> {
    /// Books a posting; `true` when it was booked before.
    fn post(&mut self, lines: &[Line<'a>]) -> Result<bool, Refusal> {
        if self.recognise(lines)? {
            return Ok(true);
        }
        self.require_wallets(lines)?;
        let before = self.booked.len();
        for line in lines {
            if let Err(refusal) = self.apply(line) {
                self.undo(before);
                self.remember(line.transfer, &refusal);
                return Err(refusal);
            }
        }
        for line in lines {
            self.booked_now.insert(line.transfer.id, line.transfer);
            self.accounts[line.debit].touched = true;
            self.accounts[line.credit].touched = true;
        }
        Ok(false)
    }

    /// Whether all transfers are booked already, with this content.
    fn recognise(&self, lines: &[Line<'_>]) -> Result<bool, Refusal> {
        let mut booked = 0;
        let mut refused = None;
        for Line { transfer, .. } in lines {
            let id = transfer.id;
            let known = self.booked_now.get(&id).copied().or_else(|| self.view.booked.get(&id));
            let hold = self
                .refused_now
                .get(&id)
                .copied()
                .or_else(|| self.view.refused_holds.get(&id));
            if known.or(hold).is_some_and(|content| content != *transfer) {
                return Err(Refusal::Conflict { id });
            }
            if known.is_some() {
                booked += 1;
            } else if hold.is_some() {
                refused = refused.or(Some(*transfer));
            }
        }
        match refused {
            Some(hold) => Err(insufficient(hold)),
            None if booked == 0 => Ok(false),
            None if booked == lines.len() => Ok(true),
            None => Err(invalid("only some of its transfers were booked before")),
        }
    }

    fn require_wallets(&self, lines: &[Line<'_>]) -> Result<(), Refusal> {
        let owners = lines
            .iter()
            .flat_map(|line| [&line.transfer.debit, &line.transfer.credit]);
        for owner in owners {
            if user_of(owner).is_some_and(|user| !self.view.wallets.contains(&user)) {
                return Err(Refusal::NoWallet { owner: owner.clone() });
            }
        }
        Ok(())
    }

    fn apply(&mut self, line: &Line<'a>) -> Result<(), Refusal> {
        let transfer = line.transfer;
        let units = transfer.amount.units();
        let too_far = || invalid("a balance would not fit 128 bits");
        let debit = self.accounts[line.debit]
            .balance
            .checked_sub(units)
            .ok_or_else(too_far)?;
        if debit < 0 && transfer.debit.must_stay_solvent() {
            return Err(insufficient(transfer));
        }
        let credit = self.accounts[line.credit]
            .balance
            .checked_add(units)
            .ok_or_else(too_far)?;
        self.accounts[line.debit].balance = debit;
        self.accounts[line.credit].balance = credit;
        self.booked.push(Booked {
            transfer,
            debit: line.debit,
            credit: line.credit,
            debit_balance_after: debit,
            credit_balance_after: credit,
        });
        Ok(())
    }

    /// Takes back the transfers from place `before` on, last first.
    fn undo(&mut self, before: usize) {
        for booked in self.booked.drain(before..).rev() {
            let units = booked.transfer.amount.units();
            // These are the balances the transfer found, so they fit.
            self.accounts[booked.debit].balance = booked.debit_balance_after + units;
            self.accounts[booked.credit].balance = booked.credit_balance_after - units;
        }
    }

    /// A hold that found too little is refused for good. What was refused for another reason may come again.
    fn remember(&mut self, transfer: &'a Transfer, refusal: &Refusal) {
        if transfer.id.leg == Leg::Hold && matches!(refusal, Refusal::InsufficientFunds { .. }) {
            self.refused_now.insert(transfer.id, transfer);
            self.refused_holds.push(transfer);
        }
    }
}

fn insufficient(transfer: &Transfer) -> Refusal {
    Refusal::InsufficientFunds {
        owner: transfer.debit.clone(),
        asset: transfer.amount.asset(),
    }
}
