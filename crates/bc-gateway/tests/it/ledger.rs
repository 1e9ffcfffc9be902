//! A ledger made by hand: as strict as the real one in what this service relies on, and it can be made to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use contracts::clients::{Balance, ClientError, Opened, WalletBalances};
use contracts::ledger::{Leg, Origin, Owner, Posting, PostingOutcome, Refusal, StatementLine, Transfer, TransferId};
use contracts::{Amount, Asset, UserId};

use crate::world::{COIN, RICHES, btc, order};

/// How the next calls of `post` go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing is booked, and there is no answer.
    NotBooked,
    /// It is booked, and there is no answer.
    BookedWithoutAnswer,
}

#[derive(Default)]
struct Books {
    balances: BTreeMap<(Owner, Asset), i128>,
    transfers: BTreeMap<TransferId, Transfer>,
    trouble: Vec<Trouble>,
    strangers: BTreeSet<UserId>,
}

/// A ledger with a rich hot wallet.
pub(crate) struct HandmadeLedger(Mutex<Books>);

impl HandmadeLedger {
    pub(crate) fn new() -> Self {
        let mut books = Books::default();
        for (asset, units) in [(Asset::BTC, 10_000 * COIN), (Asset::ETH, RICHES)] {
            books.balances.insert((Owner::HotWallet, asset), units);
        }
        Self(Mutex::new(books))
    }

    /// The next calls of `post` go wrong like this.
    pub(crate) fn fail_next(&self, trouble: impl IntoIterator<Item = Trouble>) {
        self.books().trouble.extend(trouble);
    }

    /// This user has no wallet.
    pub(crate) fn without_wallet(&self, user: UserId) {
        self.books().strangers.insert(user);
    }

    /// Every user has a wallet (again).
    pub(crate) fn with_wallets(&self) {
        self.books().strangers.clear();
    }

    /// Changes a balance from outside: a trade, a sale, a hold.
    pub(crate) fn change(&self, user: UserId, units: i128) {
        *self
            .books()
            .balances
            .entry((Owner::wallet(user), Asset::BTC))
            .or_default() += units;
    }

    pub(crate) fn balance(&self, user: UserId) -> i128 {
        self.of(Owner::wallet(user))
    }

    /// What customers have paid for coins that have neither arrived nor been given up, above zero.
    pub(crate) fn in_transit(&self) -> i128 {
        self.of(Owner::ExternalChain)
    }

    fn of(&self, owner: Owner) -> i128 {
        let books = self.books();
        books.balances.get(&(owner, Asset::BTC)).copied().unwrap_or(0)
    }

    pub(crate) fn booked(&self, number: i64, leg: Leg) -> Option<Transfer> {
        let id = TransferId {
            origin: Origin::Order(order(number)),
            leg,
        };
        self.books().transfers.get(&id).cloned()
    }

    pub(crate) fn count(&self) -> usize {
        self.books().transfers.len()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap()
    }
}

impl Books {
    /// All of a posting's transfers or none, each of which must leave who pays it solvent.
    fn book(&mut self, posting: Posting) -> PostingOutcome {
        let refused = |refusal| PostingOutcome::Refused { refusal };
        let mut known = 0;
        for transfer in &posting.transfers {
            match self.transfers.get(&transfer.id) {
                Some(booked) if booked == transfer => known += 1,
                Some(_) => return refused(Refusal::Conflict { id: transfer.id }),
                None => {}
            }
        }
        if known == posting.transfers.len() {
            return PostingOutcome::Posted { replayed: true };
        }
        if known > 0 {
            let detail = "only some of its transfers were booked before".to_owned();
            return refused(Refusal::Invalid { detail });
        }
        let owners = posting.transfers.iter().flat_map(|t| [&t.debit, &t.credit]);
        for owner in owners {
            if matches!(owner, Owner::User(user) if self.strangers.contains(user)) {
                let owner = owner.clone();
                return refused(Refusal::NoWallet { owner });
            }
        }
        let mut balances = self.balances.clone();
        for Transfer {
            debit, credit, amount, ..
        } in &posting.transfers
        {
            let (units, asset) = (amount.units(), amount.asset());
            let paying = balances.entry((debit.clone(), asset)).or_default();
            if debit.must_stay_solvent() && *paying < units {
                let owner = debit.clone();
                return refused(Refusal::InsufficientFunds { owner, asset });
            }
            *paying -= units;
            *balances.entry((credit.clone(), asset)).or_default() += units;
        }
        self.balances = balances;
        let named = posting.transfers.into_iter().map(|transfer| (transfer.id, transfer));
        self.transfers.extend(named);
        PostingOutcome::Posted { replayed: false }
    }
}

#[async_trait]
impl Balance for HandmadeLedger {
    async fn open_wallet(&self, _: UserId) -> Result<Opened, ClientError> {
        Ok(Opened::Before)
    }

    async fn wallet(&self, user: UserId) -> Result<Option<WalletBalances>, ClientError> {
        if self.books().strangers.contains(&user) {
            return Ok(None);
        }
        let balances: Vec<Amount> = vec![btc(self.balance(user))];
        Ok(Some(WalletBalances {
            user_id: user,
            balances,
        }))
    }

    async fn statement(&self, _: UserId, _: Option<i64>, _: usize) -> Result<Option<Vec<StatementLine>>, ClientError> {
        Ok(None)
    }

    async fn post(&self, postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, ClientError> {
        let mut books = self.books();
        let trouble = if books.trouble.is_empty() {
            None
        } else {
            Some(books.trouble.remove(0))
        };
        if trouble == Some(Trouble::NotBooked) {
            return Err(ClientError::Unavailable("trouble".into()));
        }
        let outcomes = postings.into_iter().map(|posting| books.book(posting)).collect();
        if trouble == Some(Trouble::BookedWithoutAnswer) {
            return Err(ClientError::Unavailable("trouble".into()));
        }
        Ok(outcomes)
    }
}
