//! What transfers come to, account by account.

use std::collections::BTreeMap;

use balance::domain::PostedTransfer;
use contracts::ledger::Owner;
use contracts::{Amount, Asset};

/// The net change of each account that is not zero, in atomic units. Sums saturate: a database in which that matters
/// has findings of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Nets(BTreeMap<(Owner, Asset), i128>);

impl Nets {
    pub(super) fn of(transfers: &[PostedTransfer]) -> Self {
        let mut nets = Self::default();
        for PostedTransfer { transfer, .. } in transfers {
            nets.add(
                &transfer.debit,
                transfer.amount.asset(),
                transfer.amount.units().saturating_neg(),
            );
            nets.add(&transfer.credit, transfer.amount.asset(), transfer.amount.units());
        }
        nets
    }

    /// Adds `units` to what `owner` has of `asset`.
    pub(super) fn add(&mut self, owner: &Owner, asset: Asset, units: i128) {
        let key = (owner.clone(), asset);
        let net = self.0.get(&key).copied().unwrap_or_default().saturating_add(units);
        if net == 0 {
            self.0.remove(&key);
        } else {
            self.0.insert(key, net);
        }
    }

    /// The part that concerns solvent owners: users and the hot wallet.
    pub(super) fn of_wallets(&self) -> Self {
        let wallets = self.0.iter().filter(|((owner, _), _)| owner.must_stay_solvent());
        Self(wallets.map(|(key, units)| (key.clone(), *units)).collect())
    }

    /// Each account's net.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Owner, Amount)> {
        self.0
            .iter()
            .map(|((owner, asset), units)| (owner, Amount::new(*units, *asset)))
    }
}

impl std::fmt::Display for Nets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        for (place, (owner, amount)) in self.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            let plus = if amount.is_positive() { "+" } else { "" };
            write!(f, "{comma}{owner} {plus}{amount} {}", amount.asset())?;
        }
        Ok(())
    }
}
