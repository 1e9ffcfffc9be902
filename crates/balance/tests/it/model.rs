//! The ledger on paper: the rules of DESIGN 2 once more, as slowly and plainly as they can be written, sharing no
//! code with the real decision. Amounts are plain integers, owners plain text, and an attempt is made on a copy.

use std::collections::{BTreeMap, BTreeSet};

use contracts::ledger::{Leg, Posting, PostingOutcome, Refusal, Transfer};
use contracts::{Amount, Asset, UserId};

/// What is said about a posting, without the prose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Posted,
    Replayed,
    TooLittle(String, Asset),
    Conflict(String),
    NoWallet(String),
    Invalid,
}

impl From<&PostingOutcome> for Verdict {
    fn from(outcome: &PostingOutcome) -> Self {
        match outcome {
            PostingOutcome::Posted { replayed: false } => Self::Posted,
            PostingOutcome::Posted { replayed: true } => Self::Replayed,
            PostingOutcome::Refused { refusal } => match refusal {
                Refusal::InsufficientFunds { owner, asset } => Self::TooLittle(owner.to_string(), *asset),
                Refusal::Conflict { id } => Self::Conflict(format!("{id:?}")),
                Refusal::NoWallet { owner } => Self::NoWallet(owner.to_string()),
                Refusal::Invalid { .. } => Self::Invalid,
            },
        }
    }
}

pub(crate) type Balances = BTreeMap<(String, Asset), i128>;

/// A line of the journal: a transfer, and both balances after it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) transfer: Transfer,
    pub(crate) debit_after: i128,
    pub(crate) credit_after: i128,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) wallets: BTreeSet<UserId>,
    pub(crate) balances: Balances,
    pub(crate) journal: Vec<Entry>,
    pub(crate) refused: Vec<Transfer>,
}

impl Model {
    pub(crate) fn post(&mut self, posting: &Posting) -> Verdict {
        let transfers = &posting.transfers;
        let senseless = transfers.is_empty()
            || transfers.len() > 8
            || transfers.iter().any(|t| !Self::sensible(t))
            || transfers.iter().map(|t| t.id).collect::<BTreeSet<_>>().len() < transfers.len();
        if senseless {
            return Verdict::Invalid;
        }
        let same_name = |t: &Transfer| {
            let booked = self.journal.iter().map(|entry| &entry.transfer);
            booked.chain(&self.refused).find(|known| known.id == t.id).cloned()
        };
        if let Some(t) = transfers
            .iter()
            .find(|t| same_name(t).is_some_and(|known| known != **t))
        {
            return Verdict::Conflict(format!("{:?}", t.id));
        }
        if let Some(t) = transfers.iter().find(|t| self.refused.contains(t)) {
            return Verdict::TooLittle(t.debit.to_string(), t.amount.asset());
        }
        match transfers.iter().filter(|t| same_name(t).is_some()).count() {
            0 => {}
            n if n == transfers.len() => return Verdict::Replayed,
            _ => return Verdict::Invalid,
        }
        for owner in transfers
            .iter()
            .flat_map(|t| [t.debit.to_string(), t.credit.to_string()])
        {
            let number = owner.strip_prefix("user:").map(|n| n.parse().unwrap());
            if number.is_some_and(|n| !self.wallets.contains(&n)) {
                return Verdict::NoWallet(owner);
            }
        }
        self.book(transfers)
    }

    fn book(&mut self, transfers: &[Transfer]) -> Verdict {
        let mut balances = self.balances.clone();
        let mut entries = Vec::new();
        for t in transfers {
            let asset = t.amount.asset();
            let (from, to) = ((t.debit.to_string(), asset), (t.credit.to_string(), asset));
            let of = |name| balances.get(name).copied().unwrap_or(0_i128);
            let (Some(debit), credit) = (of(&from).checked_sub(t.amount.units()), of(&to)) else {
                return Verdict::Invalid;
            };
            if debit < 0 && (from.0.starts_with("user:") || from.0 == "hot_wallet") {
                if t.id.leg == Leg::Hold {
                    self.refused.push(t.clone());
                }
                return Verdict::TooLittle(from.0, asset);
            }
            let Some(credit) = credit.checked_add(t.amount.units()) else {
                return Verdict::Invalid;
            };
            balances.insert(from, debit);
            balances.insert(to, credit);
            entries.push(Entry {
                transfer: t.clone(),
                debit_after: debit,
                credit_after: credit,
            });
        }
        self.balances = balances;
        self.journal.extend(entries);
        Verdict::Posted
    }

    fn sensible(t: &Transfer) -> bool {
        let named = |text: String| {
            text != "user:1"
                && text
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || "0123456789:_".contains(c))
        };
        t.amount.units() > 0
            && t.debit != t.credit
            && named(t.debit.to_string())
            && named(t.credit.to_string())
            && t.reason.len() <= 200
            && t.actor.len() <= 64
    }

    /// What the wallet shows: BTC and USD always, others once they were touched.
    pub(crate) fn wallet(&self, user: UserId) -> Option<Vec<Amount>> {
        let hot = user == UserId::HOT_WALLET;
        if !hot && !self.wallets.contains(&user) {
            return None;
        }
        let name = if hot {
            "hot_wallet".to_owned()
        } else {
            format!("user:{user}")
        };
        let mut shown = BTreeMap::from([(Asset::BTC, 0), (Asset::USD, 0)]);
        for ((owner, asset), units) in &self.balances {
            if *owner == name {
                shown.insert(*asset, *units);
            }
        }
        Some(
            shown
                .into_iter()
                .map(|(asset, units)| Amount::new(units, asset))
                .collect(),
        )
    }

    /// What must hold after every step, whatever happened.
    pub(crate) fn assert_sound(balances: &Balances) {
        let mut sums = BTreeMap::<Asset, (i128, i128)>::new();
        for ((owner, asset), units) in balances {
            let solvent = owner.starts_with("user:") || owner == "hot_wallet";
            assert!(!solvent || *units >= 0, "{owner} has {units} of {asset}");
            let sum = sums.entry(*asset).or_default();
            // Two halves, so that balances at the edge of 128 bits can be added.
            sum.0 += units >> 64;
            sum.1 += units & i128::from(u64::MAX);
        }
        for (asset, (high, low)) in sums {
            assert_eq!(high + (low >> 64), 0, "{asset} does not add up");
            assert_eq!(low & i128::from(u64::MAX), 0, "{asset} does not add up");
        }
    }
}
