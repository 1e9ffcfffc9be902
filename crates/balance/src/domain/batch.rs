//! A batch as the decision sees it: what has to be loaded for it, each thing once, and where every transfer finds
//! what was loaded.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

use contracts::ledger::{Owner, Posting, Refusal, Transfer, TransferId};
use contracts::{Asset, UserId};

use super::posting::check;

/// The name of an account: whose, and of what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountRef<'a> {
    /// Whose money it is.
    pub owner: &'a Owner,
    /// Of what.
    pub asset: Asset,
}

/// A transfer and the places of its two accounts in [`Batch::accounts`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) transfer: &'a Transfer,
    pub(super) debit: usize,
    pub(super) credit: usize,
}

/// The postings of one call, read once. Postings that make no sense by themselves are refused here already: nothing
/// is loaded for them.
#[derive(Debug)]
pub struct Batch<'a> {
    pub(super) postings: Vec<Result<Range<usize>, Refusal>>,
    pub(super) lines: Vec<Line<'a>>,
    ids: Vec<TransferId>,
    accounts: Vec<AccountRef<'a>>,
    users: Vec<UserId>,
}

impl<'a> Batch<'a> {
    /// Reads postings; the order is kept.
    #[must_use]
    pub fn of(postings: impl IntoIterator<Item = &'a Posting>) -> Self {
        let postings = postings.into_iter();
        let (count, _) = postings.size_hint();
        let mut batch = Self {
            postings: Vec::with_capacity(count),
            lines: Vec::with_capacity(count),
            ids: Vec::with_capacity(count),
            accounts: Vec::new(),
            users: Vec::new(),
        };
        let mut known_ids = HashSet::with_capacity(count);
        let mut known_accounts = HashMap::new();
        for posting in postings {
            let read = check(posting).map(|()| {
                let first = batch.lines.len();
                for transfer in &posting.transfers {
                    if known_ids.insert(transfer.id) {
                        batch.ids.push(transfer.id);
                    }
                    let debit = batch.account(&mut known_accounts, &transfer.debit, transfer.amount.asset());
                    let credit = batch.account(&mut known_accounts, &transfer.credit, transfer.amount.asset());
                    batch.lines.push(Line {
                        transfer,
                        debit,
                        credit,
                    });
                }
                first..batch.lines.len()
            });
            batch.postings.push(read);
        }
        batch.users = batch
            .accounts
            .iter()
            .filter_map(|account| user_of(account.owner))
            .collect();
        batch.users.sort_unstable();
        batch.users.dedup();
        batch
    }

    fn account(&mut self, known: &mut HashMap<AccountRef<'a>, usize>, owner: &'a Owner, asset: Asset) -> usize {
        let account = AccountRef { owner, asset };
        match known.entry(account) {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(place) => {
                self.accounts.push(account);
                *place.insert(self.accounts.len() - 1)
            }
        }
    }

    /// The transfers to look for, each once, in the order in which they are met.
    #[must_use]
    pub fn ids(&self) -> &[TransferId] {
        &self.ids
    }

    /// The accounts to load, each once, in the order in which they are met.
    #[must_use]
    pub fn accounts(&self) -> &[AccountRef<'a>] {
        &self.accounts
    }

    /// The users whose wallets must exist, each once, ascending.
    #[must_use]
    pub fn users(&self) -> &[UserId] {
        &self.users
    }
}

/// The user whose wallet an account needs; the hot wallet and the system's accounts need none.
pub(super) fn user_of(owner: &Owner) -> Option<UserId> {
    match owner {
        Owner::User(user) => Some(*user),
        Owner::HotWallet
        | Owner::ExternalBank
        | Owner::ExternalChain
        | Owner::Venue(_)
        | Owner::Treasury
        | Owner::Fees
        | Owner::Rounding => None,
    }
}

/// What the store found for a batch, under locks that keep it true until the decision is written.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Those of [`Batch::ids`] that are booked, with their content.
    pub booked: HashMap<TransferId, Transfer>,
    /// Those of [`Batch::ids`] that are holds refused for good, with their content.
    pub refused_holds: HashMap<TransferId, Transfer>,
    /// Those of [`Batch::users`] that have a wallet.
    pub wallets: HashSet<UserId>,
    /// The balances of [`Batch::accounts`], in that order; zero for those that do not exist yet.
    pub balances: Vec<i128>,
}
