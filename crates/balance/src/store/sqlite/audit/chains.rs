//! Following the money: every account's balance from zero, transfer by transfer, to what is stored; and every owner's
//! entries, from each to the one before it.

use std::ops::Range;

use contracts::ledger::{Leg, Origin};
use rusqlite::{Connection, OptionalExtension as _, Row};
use storage::sqlite::AmountBlob;

use super::accounts::{Accounts, Holder};
use super::each;
use crate::domain::{BooksReport, Violation};

/// How many accounts are followed in one reading of the transfers: bounds the memory to 64 MiB.
const ACCOUNTS_PER_PASS: usize = 1 << 20;

const ALL_TRANSFERS: &str = "SELECT entry_id, origin_kind, origin_id, leg, debit_account, credit_account, amount,
     debit_balance_after, credit_balance_after, debit_previous, credit_previous FROM balance_transfers ORDER BY entry_id";

const BALANCES: &str = "SELECT id, owner || ' ' || asset, balance, newest_entry FROM balance_accounts WHERE id > ?1 AND id <= ?2 ORDER BY id";

const ACCOUNT_NAME: &str = "SELECT owner || ' ' || asset FROM balance_accounts WHERE id = ?1";

/// Looks at every transfer once, and follows all accounts.
pub(super) fn check(connection: &Connection, accounts: &Accounts, report: &mut BooksReport) -> rusqlite::Result<()> {
    let mut first = 0_usize;
    loop {
        let end = first.saturating_add(ACCOUNTS_PER_PASS).min(accounts.len());
        Pass::new(first..end).run(connection, accounts, report)?;
        if end == accounts.len() {
            return Ok(());
        }
        first = end;
    }
}

/// Looks at a transfer by itself.
fn look(accounts: &Accounts, row: &Row<'_>, report: &mut BooksReport) -> rusqlite::Result<()> {
    report.transfers += 1;
    if let Some(detail) = flaw(accounts, row)? {
        let entry_id = row.get(0)?;
        report.add(Violation::Transfer { entry_id, detail });
    }
    Ok(())
}

/// What makes it impossible that this transfer was booked, if anything.
fn flaw(accounts: &Accounts, row: &Row<'_>) -> rusqlite::Result<Option<&'static str>> {
    if Origin::from_parts(row.get_ref(1)?.as_str()?, row.get(2)?).is_none() {
        return Ok(Some("what it belongs to is nothing"));
    }
    if u8::try_from(row.get::<_, i64>(3)?)
        .ok()
        .and_then(Leg::from_number)
        .is_none()
    {
        return Ok(Some("its leg is none"));
    }
    if row.get::<_, AmountBlob>(6)?.0 <= 0 {
        return Ok(Some("its amount is not greater than zero"));
    }
    let (debit, credit): (i64, i64) = (row.get(4)?, row.get(5)?);
    if debit == credit {
        return Ok(Some("debit and credit are one account"));
    }
    Ok(match (accounts.kind(debit), accounts.kind(credit)) {
        (Some(debit), Some(credit)) if debit.asset == credit.asset => None,
        (Some(_), Some(_)) => Some("debit and credit are of different assets"),
        (None, _) | (_, None) => Some("one of its accounts is not there"),
    })
}

/// An account on its way through the transfers.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    /// What the transfers so far add up to, as long as 128 bits hold it.
    sum: i128,
    overflowed: bool,
    /// The last transfer so far that touched it.
    newest_entry: i64,
    /// At an owner's first account: the last transfer so far that touched any of theirs.
    newest_of_owner: i64,
    /// A broken chain or a deficit is reported once, not at every transfer that follows.
    chain_reported: bool,
    deficit_reported: bool,
}

/// One reading of the transfers, for the accounts in these places.
struct Pass {
    places: Range<usize>,
    running: Vec<Running>,
}

impl Pass {
    fn new(places: Range<usize>) -> Self {
        Self {
            running: vec![Running::default(); places.len()],
            places,
        }
    }

    fn run(mut self, connection: &Connection, accounts: &Accounts, report: &mut BooksReport) -> rusqlite::Result<()> {
        each(connection, ALL_TRANSFERS, |row| {
            if self.places.start == 0 {
                look(accounts, row, report)?;
            }
            let entry_id = row.get(0)?;
            let amount = row.get::<_, AmountBlob>(6)?.0;
            for (account, change, after, previous) in [(4, amount.checked_neg(), 7, 9), (5, Some(amount), 8, 10)] {
                let account = row.get(account)?;
                let after = row.get::<_, AmountBlob>(after)?.0;
                if !self.links(accounts, account, entry_id, row.get(previous)?) {
                    let detail = "it does not name the entry before it";
                    report.add(Violation::Transfer { entry_id, detail });
                }
                let Some(found) = self.follow(accounts, account, change, after) else {
                    continue;
                };
                let account = name_of(connection, account)?;
                report.add(match found {
                    Found::BrokenChain => Violation::Chain { entry_id, account },
                    Found::Deficit => Violation::Insolvent { entry_id, account },
                });
            }
            Ok(())
        })?;
        self.compare(connection, report)
    }

    /// Notes that `entry` touched this account; whether it names the owner's entry before it.
    fn links(&mut self, accounts: &Accounts, account: i64, entry: i64, previous: i64) -> bool {
        if let Some(running) = self.running_of(account) {
            running.newest_entry = entry;
        }
        let owner = accounts
            .first_of_owner(account)
            .and_then(|first| self.running_of(first));
        owner.is_none_or(|owner| std::mem::replace(&mut owner.newest_of_owner, entry) == previous)
    }

    /// An account that is followed in this reading.
    fn running_of(&mut self, account: i64) -> Option<&mut Running> {
        let place = usize::try_from(account).ok()?.checked_sub(1)?;
        self.running.get_mut(place.checked_sub(self.places.start)?)
    }

    fn follow(&mut self, accounts: &Accounts, account: i64, change: Option<i128>, after: i128) -> Option<Found> {
        let running = self.running_of(account)?;
        match change.and_then(|change| running.sum.checked_add(change)) {
            Some(sum) => running.sum = sum,
            None => running.overflowed = true,
        }
        let solvent = accounts.kind(account).is_some_and(|kind| match kind.holder {
            Holder::Customer | Holder::HotWallet => true,
            Holder::System => false,
        });
        if (running.overflowed || running.sum != after) && !running.chain_reported {
            running.chain_reported = true;
            return Some(Found::BrokenChain);
        }
        if solvent && (running.sum < 0 || after < 0) && !running.deficit_reported {
            running.deficit_reported = true;
            return Some(Found::Deficit);
        }
        None
    }

    /// Compares what the transfers add up to with what is stored.
    fn compare(&self, connection: &Connection, report: &mut BooksReport) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(BALANCES)?;
        let row = |place| i64::try_from(place).unwrap_or(i64::MAX);
        let mut rows = statement.query([row(self.places.start), row(self.places.end)])?;
        let mut places = self.running.iter();
        while let (Some(row), Some(running)) = (rows.next()?, places.next()) {
            let stored = row.get::<_, AmountBlob>(2)?.0;
            let booked = (!running.overflowed).then_some(running.sum);
            if booked != Some(stored) {
                report.add(Violation::Balance {
                    account: row.get(1)?,
                    stored,
                    booked,
                });
            }
            if row.get::<_, i64>(3)? != running.newest_entry {
                report.add(Violation::Account {
                    id: row.get(0)?,
                    detail: "its newest entry is another one",
                });
            }
        }
        Ok(())
    }
}

/// What a transfer revealed.
enum Found {
    BrokenChain,
    Deficit,
}

fn name_of(connection: &Connection, account: i64) -> rusqlite::Result<String> {
    let name = connection
        .prepare_cached(ACCOUNT_NAME)?
        .query_row([account], |row| row.get(0))
        .optional()?;
    Ok(name.unwrap_or_else(|| format!("account {account}")))
}
