//! What an audit must know of every account: six bytes each, however many transfers there are.

use contracts::ledger::Owner;
use contracts::{Amount, Asset};
use rusqlite::Connection;
use storage::sqlite::AmountBlob;

use super::each;
use crate::domain::{AssetTotals, BooksReport, Violation};

const ALL_ACCOUNTS: &str = "SELECT a.id, a.owner, a.asset, a.balance,
     (SELECT min(o.id) FROM balance_accounts o WHERE o.owner = a.owner) FROM balance_accounts a ORDER BY a.id";

/// Whose account it is, as far as solvency and totals ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Customer,
    HotWallet,
    System,
}

/// An account whose name makes sense. The asset is its place in [`Asset::KNOWN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) asset: u8,
    pub(super) holder: Holder,
}

/// All accounts, by their row.
pub(super) struct Accounts {
    kinds: Vec<Option<Kind>>,
    /// The first account of the same owner.
    firsts: Vec<u32>,
}

impl Accounts {
    /// Reads the accounts, checks their names, and adds up the balances of every asset.
    pub(super) fn read(connection: &Connection, report: &mut BooksReport) -> rusqlite::Result<Self> {
        let (mut kinds, mut firsts) = (Vec::new(), Vec::new());
        let mut sums = vec![[Wide::default(); 3]; Asset::KNOWN.len()];
        let mut seen = vec![false; Asset::KNOWN.len()];
        each(connection, ALL_ACCOUNTS, |row| {
            let id: i64 = row.get(0)?;
            report.accounts += 1;
            let kind = kind(row.get_ref(1)?.as_str()?, row.get_ref(2)?.as_str()?);
            kinds.push(kind);
            // A number that no account has, where it is none of ours: what is wrong with it is said below.
            firsts.push(u32::try_from(row.get::<_, i64>(4)?).unwrap_or(0));
            // Rows are numbered from 1 and never deleted, so the number says the place.
            if usize::try_from(id) != Ok(kinds.len()) {
                let detail = "its number is not the next one";
                report.add(Violation::Account { id, detail });
            }
            match kind {
                Some(Kind { asset, holder }) => {
                    sums[usize::from(asset)][holder as usize].add(row.get::<_, AmountBlob>(3)?.0);
                    seen[usize::from(asset)] = true;
                }
                None => report.add(Violation::Account {
                    id,
                    detail: "its owner or its asset is none",
                }),
            }
            Ok(())
        })?;
        let assets = Asset::KNOWN.iter().zip(sums).zip(seen);
        for ((asset, sums), _) in assets.filter(|(_, seen)| *seen) {
            total(*asset, sums, report);
        }
        report.totals.sort_unstable_by_key(|totals| totals.asset);
        Ok(Self { kinds, firsts })
    }

    /// How many there are; rows are 1 to this.
    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }

    /// What the account of this row is; `None` when there is no such account or it makes no sense.
    pub(super) fn kind(&self, row: i64) -> Option<Kind> {
        let place = usize::try_from(row).ok()?.checked_sub(1)?;
        self.kinds.get(place).copied().flatten()
    }

    /// The row that stands for the owner of this one: the first account they have.
    pub(super) fn first_of_owner(&self, row: i64) -> Option<i64> {
        let place = usize::try_from(row).ok()?.checked_sub(1)?;
        self.firsts.get(place).copied().map(i64::from)
    }
}

fn kind(owner: &str, asset: &str) -> Option<Kind> {
    let holder = match owner.parse().ok()? {
        Owner::User(_) => Holder::Customer,
        Owner::HotWallet => Holder::HotWallet,
        Owner::ExternalBank
        | Owner::ExternalChain
        | Owner::Venue(_)
        | Owner::Treasury
        | Owner::Fees
        | Owner::Rounding => Holder::System,
    };
    let asset = Asset::KNOWN.iter().position(|known| known.code() == asset)?;
    let asset = u8::try_from(asset).ok()?;
    Some(Kind { asset, holder })
}

fn total(asset: Asset, sums: [Wide; 3], report: &mut BooksReport) {
    let amount = |holder: Holder| sums[holder as usize].narrow().map(|units| Amount::new(units, asset));
    report.totals.push(AssetTotals {
        asset,
        customers: amount(Holder::Customer),
        hot_wallet: amount(Holder::HotWallet),
        system: amount(Holder::System),
    });
    let mut all = Wide::default();
    for sum in sums {
        all.high += sum.high;
        all.low += sum.low;
    }
    if all.narrow() != Some(0) {
        report.add(Violation::Conservation { asset });
    }
}

/// A sum of up to 2⁶² numbers of 128 bits, which nothing overflows: a row count is far below that.
#[derive(Debug, Clone, Copy, Default)]
struct Wide {
    /// In units of 2⁶⁴.
    high: i128,
    low: i128,
}

impl Wide {
    fn add(&mut self, number: i128) {
        self.high += number >> 64;
        self.low += number & i128::from(u64::MAX);
    }

    /// The sum, if 128 bits hold it.
    fn narrow(self) -> Option<i128> {
        let high = self.high + (self.low >> 64);
        let low = self.low & i128::from(u64::MAX);
        i64::try_from(high).ok().map(|high| (i128::from(high) << 64) | low)
    }
}

#[cfg(test)]
mod tests {
    use super::Wide;

    #[test]
    fn a_wide_sum_holds_what_128_bits_do_not() {
        let mut sum = Wide::default();
        for number in [i128::MAX, i128::MAX, 7, -1 << 64, i128::MIN] {
            sum.add(number);
        }
        assert_eq!(sum.narrow(), Some(i128::MAX - ((1 << 64) - 6)));
        sum.add(i128::MAX);
        assert_eq!(sum.narrow(), None);
        sum.add(i128::MIN);
        sum.add(-(i128::MAX - ((1 << 64) - 5)));
        assert_eq!(sum.narrow(), Some(0));
    }
}
