//! What is in the books altogether, for whoever watches: every asset by whose it is, and whether it adds up.
//!
//! The balances are added up as they stand, without trust in anything that keeps a sum. That reads every account, so it
//! takes time in proportion to the number of customers, and [`Survey`] makes it the more seldom the longer it takes.

use async_trait::async_trait;
use contracts::Asset;
use contracts::ledger::Owner;
use jiff::Timestamp;
use rusqlite::Connection;
use service_kit::metrics::{Family, Figures, Survey};
use storage::sqlite::AmountBlob;

use super::SqliteLedger;
use super::audit::each;

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

const ACCOUNTS: &str = "SELECT owner, asset, balance FROM balance_accounts";

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

struct Totals {
    /// By the asset's place in [`Asset::KNOWN`], if it has accounts; then by class.
    sums: Vec<Option<[i128; CLASSES.len()]>>,
    unreadable: u64,
}

fn add_up(connection: &Connection) -> rusqlite::Result<Totals> {
    let mut totals = Totals {
        sums: vec![None; Asset::KNOWN.len()],
        unreadable: 0,
    };
    each(connection, ACCOUNTS, |row| {
        let code = row.get_ref(1)?.as_str()?;
        let asset = Asset::KNOWN.iter().position(|known| known.code() == code);
        let class = class(row.get_ref(0)?.as_str()?);
        let sum = asset.zip(class).and_then(|(asset, class)| {
            let sums = totals.sums.get_mut(asset)?.get_or_insert([0; CLASSES.len()]);
            sums.get_mut(class)
        });
        let balance: AmountBlob = row.get(2)?;
        match sum.and_then(|sum| Some((sum.checked_add(balance.0)?, sum))) {
            Some((more, sum)) => *sum = more,
            None => totals.unreadable += 1,
        }
        Ok(())
    })?;
    Ok(totals)
}

#[async_trait]
impl Survey for SqliteLedger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn families(&self) -> &'static [&'static Family] {
        &[&BALANCE, &IMBALANCE, &UNREADABLE, &SCALE]
    }

    async fn read(&self, _: Timestamp) -> Result<Figures, String> {
        let found = self.database.readers().run(add_up).await;
        let Totals { sums, unreadable } = found.map_err(|error| error.to_string())?;
        let mut figures = Figures::new();
        figures.put(&UNREADABLE, &[], unreadable);
        let assets = Asset::KNOWN.iter().zip(sums);
        for (asset, sums) in assets.filter_map(|(asset, sums)| Some((asset, sums?))) {
            for (class, sum) in CLASSES.into_iter().zip(sums) {
                figures.put(&BALANCE, &[asset.code(), class], sum);
            }
            // What overflows even here is as wrong as can be.
            let all = sums.iter().try_fold(0_i128, |all, sum| all.checked_add(*sum));
            figures.put(&IMBALANCE, &[asset.code()], all.unwrap_or(i128::MAX));
            figures.put(&SCALE, &[asset.code()], asset.scale());
        }
        Ok(figures)
    }
}
