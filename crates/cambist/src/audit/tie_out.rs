//! Tie-out, item by item and nothing else: the hot wallet holds what it was funded with, what was corrected by hand, and
//! what each order must have there by its state; in transit is what customers have paid for transfers that are under way.

use std::collections::BTreeSet;

use balance::domain::PostedTransfer;
use contracts::ledger::Owner;
use contracts::{Amount, Asset};

use super::nets::Nets;
use super::report::Report;

/// What one owner should hold.
#[derive(Debug)]
pub(super) struct TieOut {
    owner: Owner,
    expected: Nets,
    subject: &'static str,
    items: &'static str,
}

impl TieOut {
    pub(super) fn of_the_hot_wallet() -> Self {
        Self {
            owner: Owner::HotWallet,
            expected: Nets::default(),
            subject: "hot wallet",
            items: "funding, corrections and orders in flight",
        }
    }

    pub(super) fn in_transit() -> Self {
        Self {
            owner: Owner::ExternalChain,
            expected: Nets::default(),
            subject: "in transit",
            items: "transfers under way that customers have paid",
        }
    }

    /// Whose.
    pub(super) const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Expects what these transfers leave there.
    pub(super) fn add_all(&mut self, transfers: &[PostedTransfer]) {
        self.add(&Nets::of(transfers));
    }

    /// Expects what these changes leave there.
    pub(super) fn add(&mut self, nets: &Nets) {
        for (owner, amount) in nets.iter().filter(|(owner, _)| **owner == self.owner) {
            self.expected.add(owner, amount.asset(), amount.units());
        }
    }

    pub(super) fn compare(&self, actual: &[Amount], report: &mut Report) {
        let expected: Vec<Amount> = self.expected.iter().map(|(_, amount)| amount).collect();
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
                let items = self.items;
                let problem = format!("holds {actual} {asset}; {items} come to {expected} {asset}");
                report.find(self.subject, problem);
            }
        }
    }
}
