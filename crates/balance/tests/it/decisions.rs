//! The pure decision against the model on paper: 1,000 walks of 50 steps, 10,000 with `CAMBIST_TEST_FULL=1`.

use std::collections::{BTreeMap, HashMap, HashSet};

use balance::domain::{Batch, Booked, View, decide};
use contracts::UserId;
use contracts::ledger::{Posting, Transfer, TransferId};
use proptest::prelude::*;

use crate::model::{Balances, Model, Verdict};
use crate::walk::Step;

/// The smallest store there can be: it loads and writes what the domain says, in memory.
#[derive(Default)]
struct Memory {
    booked: HashMap<TransferId, Transfer>,
    refused: HashMap<TransferId, Transfer>,
    wallets: HashSet<UserId>,
    balances: Balances,
    seen: BTreeMap<&'static str, u32>,
}

impl Memory {
    fn view(&self, batch: &Batch<'_>) -> View {
        let found = |known: &HashMap<TransferId, Transfer>| {
            let ids = batch.ids().iter();
            ids.filter_map(|id| known.get(id).map(|transfer| (*id, transfer.clone())))
                .collect()
        };
        let balances = batch.accounts().iter().map(|account| {
            let name = (account.owner.to_string(), account.asset);
            self.balances.get(&name).copied().unwrap_or(0)
        });
        View {
            booked: found(&self.booked),
            refused_holds: found(&self.refused),
            wallets: batch
                .users()
                .iter()
                .copied()
                .filter(|user| self.wallets.contains(user))
                .collect(),
            balances: balances.collect(),
        }
    }

    fn post(&mut self, postings: &[Posting]) -> Vec<Verdict> {
        let batch = Batch::of(postings);
        let view = self.view(&batch);
        let decision = decide(&batch, &view);
        let mut last = HashMap::new();
        for Booked {
            transfer,
            debit,
            credit,
            debit_balance_after,
            credit_balance_after,
        } in &decision.booked
        {
            assert!(
                self.booked.insert(transfer.id, (*transfer).clone()).is_none(),
                "booked twice"
            );
            assert!(
                !self.refused.contains_key(&transfer.id),
                "booked though refused for good"
            );
            for (place, change, after) in [
                (debit, -transfer.amount.units(), debit_balance_after),
                (credit, transfer.amount.units(), credit_balance_after),
            ] {
                let before = last.insert(*place, *after).unwrap_or(view.balances[*place]);
                assert_eq!(
                    before + change,
                    *after,
                    "a balance after a transfer follows from the one before"
                );
            }
        }
        for (place, after) in decision.accounts.iter().enumerate() {
            assert_eq!(after.touched, last.contains_key(&place));
            assert_eq!(after.balance, last.get(&place).copied().unwrap_or(view.balances[place]));
            if after.touched {
                let name = (after.account.owner.to_string(), after.account.asset);
                self.balances.insert(name, after.balance);
            }
        }
        for hold in decision.refused_holds {
            assert!(self.refused.insert(hold.id, hold.clone()).is_none(), "refused twice");
        }
        decision.outcomes.iter().map(Verdict::from).collect()
    }
}

fn walk(steps: &[u64]) -> BTreeMap<&'static str, u32> {
    let mut memory = Memory::default();
    let mut model = Model::default();
    for step in steps.iter().map(|number| Step::of(*number)) {
        match step {
            Step::Open(user) => {
                memory.wallets.insert(user);
                model.wallets.insert(user);
            }
            Step::Post(postings) => {
                let expected: Vec<_> = postings.iter().map(|posting| model.post(posting)).collect();
                let verdicts = memory.post(&postings);
                assert_eq!(verdicts, expected, "{postings:#?}");
                for (verdict, posting) in verdicts.iter().zip(&postings) {
                    *memory.seen.entry(kind(verdict, posting)).or_default() += 1;
                }
            }
            // These are the store's; the pure part of them is a posting like any other.
            Step::Adjust { .. } | Step::Fund { .. } => {}
        }
        assert_eq!(memory.balances, model.balances);
        Model::assert_sound(&memory.balances);
        assert_eq!(memory.booked.len(), model.journal.len());
        assert_eq!(memory.refused.len(), model.refused.len());
    }
    memory.seen
}

fn kind(verdict: &Verdict, posting: &Posting) -> &'static str {
    match (verdict, posting.transfers.len()) {
        (Verdict::Posted, 1) => "posted",
        (Verdict::Posted, _) => "posted, linked",
        (Verdict::Replayed, 1) => "replayed",
        (Verdict::Replayed, _) => "replayed, linked",
        (Verdict::TooLittle(..), 1) => "too little",
        (Verdict::TooLittle(..), _) => "too little, linked",
        (Verdict::Conflict(_), _) => "conflict",
        (Verdict::NoWallet(_), _) => "no wallet",
        (Verdict::Invalid, _) => "invalid",
    }
}

fn walks() -> u32 {
    if std::env::var_os("CAMBIST_TEST_FULL").is_some() {
        10_000
    } else {
        1_000
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: walks(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_decision_agrees_with_the_books_on_paper(steps in proptest::collection::vec(any::<u64>(), 50)) {
        walk(&steps);
    }
}

#[test]
fn the_walks_pass_everything_that_can_happen() {
    let mut seen = BTreeMap::<_, u32>::new();
    for walk_number in 0..300_u64 {
        let steps: Vec<u64> = (1..=50).map(|step| (walk_number << 32) | step).collect();
        for (kind, count) in walk(&steps) {
            *seen.entry(kind).or_default() += count;
        }
    }
    assert_eq!(seen.len(), 9, "{seen:?}");
    assert!(seen.values().all(|count| *count >= 100), "{seen:?}");
}
