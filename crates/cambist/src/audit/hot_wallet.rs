//! Tie-out: the hot wallet holds what it was funded with, what was corrected by hand, and what each order must have there
//! by its state, item by item; nothing else.

use std::collections::BTreeSet;

use balance::domain::PostedTransfer;
use contracts::ledger::Owner;
use contracts::{Amount, Asset};

use super::nets::Nets;
use super::report::Report;

/// What the hot wallet should hold.
#[derive(Debug, Default)]
pub(super) struct HotWallet(Nets);

impl HotWallet {
    /// Expects what these transfers leave in the hot wallet.
    pub(super) fn add_all(&mut self, transfers: &[PostedTransfer]) {
        self.add(&Nets::of(transfers));
    }

    /// Expects what these changes leave in the hot wallet.
    pub(super) fn add(&mut self, nets: &Nets) {
        for (owner, amount) in nets.iter().filter(|(owner, _)| **owner == Owner::HotWallet) {
            self.0.add(owner, amount.asset(), amount.units());
        }
    }

    pub(super) fn compare(&self, actual: &[Amount], report: &mut Report) {
        let expected: Vec<Amount> = self.0.iter().map(|(_, amount)| amount).collect();
        let assets: BTreeSet<Asset> = expected.iter().chain(actual).map(|amount| amount.asset()).collect();
        for asset in assets {
            let of = |amounts: &[Amount]| {
                amounts
                    .iter()
                    .find(|amount| amount.asset() == asset)
                    .copied()
                    .unwrap_or(Amount::zero(asset))
            };
            let (expected, actual) = (of(&expected), of(actual));
            if expected != actual {
                report.find(
                    "hot wallet",
                    format!(
                        "holds {actual} {asset}; funding, corrections and orders in flight come to {expected} {asset}"
                    ),
                );
            }
        }
    }
}
