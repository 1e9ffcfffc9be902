//! A ledger for tests: it books by the rules of the real one, checks itself, and can be out of order.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use contracts::clients::{Balance, ClientError, Opened, WalletBalances};
use contracts::ledger::{
    Leg, MAX_LINKED, Origin, Owner, Posting, PostingOutcome, Refusal, StatementLine, Transfer, TransferId,
};
use contracts::{Amount, Asset, OrderId, UserId};
use tokio::sync::Notify;

/// How the ledger behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    /// It does nothing and says so.
    Overloaded,
    /// It books, and the answer gets lost.
    BooksWithoutAnswer,
    /// It books, and then never comes back: the caller dies there.
    BooksAndHangs,
    /// It never comes back and books nothing: the caller dies there.
    Hangs,
    Refuses,
}

/// The books.
pub(crate) struct Books {
    state: Mutex<State>,
    /// Told whenever a posting arrives.
    pub(crate) reached: Notify,
}

struct State {
    mood: Mood,
    transfers: BTreeMap<TransferId, Transfer>,
    balances: BTreeMap<(Owner, Asset), i128>,
}

impl Books {
    /// A hot wallet with this much of everything, and nothing else.
    pub(crate) fn with_hot_wallet(capital: &[Amount]) -> Self {
        let books = Self {
            state: Mutex::new(State {
                mood: Mood::Fine,
                transfers: BTreeMap::new(),
                balances: BTreeMap::new(),
            }),
            reached: Notify::new(),
        };
        for amount in capital {
            books.state().apply(&Owner::ExternalBank, &Owner::HotWallet, *amount);
        }
        books
    }

    /// What wallet does before it asks for a trade: the user has paid in, and it is held.
    pub(crate) fn hold(&self, order: OrderId, user: UserId, amount: Amount) {
        let mut state = self.state();
        state.apply(&Owner::ExternalBank, &Owner::User(user), amount);
        let hold = Transfer {
            id: TransferId {
                origin: Origin::Order(order),
                leg: Leg::Hold,
            },
            debit: Owner::User(user),
            credit: Owner::HotWallet,
            amount,
            reason: "hold".to_owned(),
            actor: "wallet".to_owned(),
        };
        state.book(&[hold]).unwrap();
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.state().mood = mood;
    }

    pub(crate) fn balance(&self, owner: &Owner, asset: Asset) -> Amount {
        let units = self.state().balances.get(&(owner.clone(), asset)).copied();
        Amount::new(units.unwrap_or(0), asset)
    }

    /// The transfers of an order, in the order of their legs.
    pub(crate) fn transfers(&self, order: OrderId) -> Vec<Transfer> {
        let state = self.state();
        let of_order = state
            .transfers
            .values()
            .filter(|transfer| transfer.id.origin == Origin::Order(order));
        of_order.cloned().collect()
    }

    /// Debits equal credits for every asset, and nobody is below zero who must not be.
    pub(crate) fn check(&self) {
        let state = self.state();
        let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
        for ((owner, asset), balance) in &state.balances {
            *sums.entry(*asset).or_default() += balance;
            assert!(
                *balance >= 0 || !owner.must_stay_solvent(),
                "{owner} has {balance} units of {asset}"
            );
        }
        assert!(sums.values().all(|sum| *sum == 0), "the books do not balance: {sums:?}");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl State {
    fn apply(&mut self, debit: &Owner, credit: &Owner, amount: Amount) {
        *self.balances.entry((debit.clone(), amount.asset())).or_default() -= amount.units();
        *self.balances.entry((credit.clone(), amount.asset())).or_default() += amount.units();
    }

    /// All or none; the same content again is the same booking.
    fn book(&mut self, transfers: &[Transfer]) -> Result<bool, Refusal> {
        let invalid = |detail: &str| Refusal::Invalid {
            detail: detail.to_owned(),
        };
        if transfers.is_empty() || transfers.len() > MAX_LINKED {
            return Err(invalid("a posting has 1 to 8 transfers"));
        }
        let known = transfers
            .iter()
            .filter(|transfer| self.transfers.contains_key(&transfer.id))
            .count();
        if let Some(other) = transfers.iter().find(|transfer| {
            self.transfers
                .get(&transfer.id)
                .is_some_and(|booked| booked != *transfer)
        }) {
            return Err(Refusal::Conflict { id: other.id });
        }
        if known > 0 {
            return if known == transfers.len() {
                Ok(true)
            } else {
                Err(invalid("only some are booked"))
            };
        }
        for transfer in transfers {
            if !transfer.amount.is_positive() || transfer.debit == transfer.credit || transfer.reason.len() > 200 {
                return Err(invalid("a transfer makes no sense"));
            }
            self.apply(&transfer.debit, &transfer.credit, transfer.amount);
            let twice = self.transfers.insert(transfer.id, transfer.clone());
            assert!(twice.is_none(), "an id twice in one posting");
        }
        Ok(false)
    }
}

#[async_trait]
impl Balance for Books {
    async fn open_wallet(&self, _: UserId) -> Result<Opened, ClientError> {
        Ok(Opened::Before)
    }

    async fn wallet(&self, _: UserId) -> Result<Option<WalletBalances>, ClientError> {
        Ok(None)
    }

    async fn statement(&self, _: UserId, _: Option<i64>, _: usize) -> Result<Option<Vec<StatementLine>>, ClientError> {
        Ok(None)
    }

    async fn post(&self, postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, ClientError> {
        self.reached.notify_one();
        let mood = self.state().mood;
        match mood {
            Mood::Overloaded => {
                return Err(ClientError::Overloaded {
                    retry_after: Duration::from_secs(1),
                });
            }
            Mood::Hangs => return pending().await,
            Mood::Refuses => {
                let refusal = Refusal::NoWallet {
                    owner: Owner::HotWallet,
                };
                return Ok(postings
                    .iter()
                    .map(|_| PostingOutcome::Refused {
                        refusal: refusal.clone(),
                    })
                    .collect());
            }
            Mood::Fine | Mood::BooksWithoutAnswer | Mood::BooksAndHangs => {}
        }
        let outcomes = {
            let mut state = self.state();
            let mut book = |posting: &Posting| match state.book(&posting.transfers) {
                Ok(replayed) => PostingOutcome::Posted { replayed },
                Err(refusal) => PostingOutcome::Refused { refusal },
            };
            postings.iter().map(&mut book).collect()
        };
        self.check();
        match mood {
            Mood::BooksWithoutAnswer => Err(ClientError::Unavailable("the answer got lost".to_owned())),
            Mood::BooksAndHangs => pending().await,
            Mood::Fine | Mood::Overloaded | Mood::Hangs | Mood::Refuses => Ok(outcomes),
        }
    }
}
