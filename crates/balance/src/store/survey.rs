//! What is in the books altogether, for whoever watches: every asset by whose it is, and whether it adds up. Each database
//! adds up in its own way; what the sums are called is said here.

use contracts::Asset;
use contracts::ledger::Owner;
use service_kit::metrics::{Family, Figures};

const BALANCE: Family = Family::gauge(
    "cambist_ledger_balance_atomic_units",
    &["asset", "class"],
    "Sum of the balances of a class of accounts, in atomic units (satoshi, cents; see cambist_asset_scale). Negative is \
     what the house is owed: by the bank for deposits, by a venue, by the treasury for its funding.",
);
const IMBALANCE: Family = Family::gauge(
    "cambist_ledger_imbalance_atomic_units",
    &["asset"],
    "Sum of all balances of an asset, added up exactly and then shown: 0, or money was made or lost.",
);
const UNREADABLE: Family = Family::gauge(
    "cambist_ledger_unreadable_accounts",
    &[],
    "Accounts whose owner or asset makes no sense to this program, or that overflow a sum; they are in no figure.",
);
const SCALE: Family = Family::gauge(
    "cambist_asset_scale",
    &["asset"],
    "Decimals of an asset: one unit is 10 to this power of atomic units.",
);

/// What a survey of the ledger fills in.
pub(super) static FAMILIES: [&Family; 4] = [&BALANCE, &IMBALANCE, &UNREADABLE, &SCALE];

/// Whose the money is, without names.
const CLASSES: [&str; 8] = [
    "users",
    "hot_wallet",
    "venue",
    "bank",
    "chain",
    "treasury",
    "fees",
    "rounding",
];

fn class(owner: &str) -> Option<usize> {
    // Most are customers: they need no parsing.
    if owner.starts_with("user:") {
        return Some(0);
    }
    Some(match owner.parse().ok()? {
        Owner::User(_) => 0,
        Owner::HotWallet => 1,
        Owner::Venue(_) => 2,
        Owner::ExternalBank => 3,
        Owner::ExternalChain => 4,
        Owner::Treasury => 5,
        Owner::Fees => 6,
        Owner::Rounding => 7,
    })
}

/// The sums, without trust in anything that keeps one.
pub(super) struct Totals {
    /// By the asset's place in [`Asset::KNOWN`], if it has accounts; then by class.
    sums: Vec<Option<[i128; CLASSES.len()]>>,
    unreadable: u64,
}

impl Totals {
    pub(super) fn new() -> Self {
        Self {
            sums: vec![None; Asset::KNOWN.len()],
            unreadable: 0,
        }
    }

    /// Adds `accounts` accounts of this owner, or of others of the same class, which hold `balance` together; `None` is
    /// more than can be counted.
    pub(super) fn add(&mut self, owner: &str, asset: &str, balance: Option<i128>, accounts: u64) {
        let asset = Asset::KNOWN.iter().position(|known| known.code() == asset);
        let sum = asset.zip(class(owner)).and_then(|(asset, class)| {
            let sums = self.sums.get_mut(asset)?.get_or_insert([0; CLASSES.len()]);
            sums.get_mut(class)
        });
        match sum.and_then(|sum| Some((sum.checked_add(balance?)?, sum))) {
            Some((more, sum)) => *sum = more,
            None => self.unreadable = self.unreadable.saturating_add(accounts),
        }
    }

    pub(super) fn into_figures(self) -> Figures {
        let mut figures = Figures::new();
        figures.put(&UNREADABLE, &[], self.unreadable);
        let assets = Asset::KNOWN.iter().zip(self.sums);
        for (asset, sums) in assets.filter_map(|(asset, sums)| Some((asset, sums?))) {
            for (class, sum) in CLASSES.into_iter().zip(sums) {
                figures.put(&BALANCE, &[asset.code(), class], sum);
            }
            // What overflows even here is as wrong as can be.
            let all = sums.iter().try_fold(0_i128, |all, sum| all.checked_add(*sum));
            figures.put(&IMBALANCE, &[asset.code()], all.unwrap_or(i128::MAX));
            figures.put(&SCALE, &[asset.code()], asset.scale());
        }
        figures
    }
}
