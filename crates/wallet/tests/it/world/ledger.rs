//! A ledger in memory: double entry, idempotent by transfer id, with the durable refusal of holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use async_trait::async_trait;
use contracts::clients::{Balance, ClientError, Opened, WalletBalances};
use contracts::ledger::{Leg, Origin, Owner, Posting, PostingOutcome, Refusal, StatementLine, Transfer, TransferId};
use contracts::{Amount, Asset, OrderId, UserId};
use jiff::Timestamp;
use tokio::sync::watch;

use super::FUNDS;

/// How the ledger behaves towards the wallet. (The other fakes book by [`Ledger::book`], whatever the mode.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum LedgerMode {
    #[default]
    Works,
    Unreachable,
    /// Answers when the mode changes.
    Hangs,
    /// Books, and the answer is lost.
    LosesAnswers,
    /// Refuses releases.
    RefusesReleases,
}

pub(crate) struct Ledger {
    books: Mutex<Books>,
    mode: watch::Sender<LedgerMode>,
    calls: watch::Sender<usize>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            books: Mutex::default(),
            mode: watch::Sender::new(LedgerMode::Works),
            calls: watch::Sender::new(0),
        }
    }
}

#[derive(Default)]
struct Books {
    wallets: BTreeSet<UserId>,
    balances: BTreeMap<(Owner, Asset), i128>,
    transfers: BTreeMap<TransferId, (Transfer, bool)>,
    lines: Vec<(Owner, StatementLine)>,
}

impl Ledger {
    pub(crate) fn set(&self, mode: LedgerMode) {
        self.mode.send_replace(mode);
    }

    /// Waits until postings were handed in this many times.
    pub(crate) async fn called(&self, times: usize) {
        self.calls.subscribe().wait_for(|calls| *calls >= times).await.unwrap();
    }

    pub(crate) fn balance(&self, owner: &Owner, asset: Asset) -> Amount {
        Amount::new(self.books.lock().unwrap().balance(owner, asset), asset)
    }

    pub(crate) fn posted(&self, order: OrderId, leg: Leg) -> Option<Amount> {
        let id = TransferId {
            origin: Origin::Order(order),
            leg,
        };
        let books = self.books.lock().unwrap();
        books
            .transfers
            .get(&id)
            .filter(|(_, posted)| *posted)
            .map(|(transfer, _)| transfer.amount)
    }

    pub(crate) fn book(&self, posting: Posting) -> PostingOutcome {
        self.books.lock().unwrap().book(posting)
    }

    /// Every asset's balances add up to what the hot wallet was given.
    pub(crate) fn is_sound(&self) {
        let books = self.books.lock().unwrap();
        let mut sums: BTreeMap<Asset, i128> = BTreeMap::new();
        for ((owner, asset), units) in &books.balances {
            let solvent = books.balance(owner, *asset) >= 0 || !owner.must_stay_solvent();
            assert!(solvent, "{owner} owes {asset}");
            *sums.entry(*asset).or_default() += units;
        }
        assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
    }
}

impl Books {
    fn balance(&self, owner: &Owner, asset: Asset) -> i128 {
        let funds = if *owner == Owner::HotWallet {
            FUNDS * 10_i128.pow(u32::from(asset.scale()))
        } else {
            0
        };
        funds + self.balances.get(&(owner.clone(), asset)).copied().unwrap_or_default()
    }

    fn book(&mut self, posting: Posting) -> PostingOutcome {
        let refused = |refusal| PostingOutcome::Refused { refusal };
        let mut known = 0;
        for transfer in &posting.transfers {
            match self.transfers.get(&transfer.id) {
                Some((stored, _)) if stored != transfer => return refused(Refusal::Conflict { id: transfer.id }),
                Some((_, true)) => known += 1,
                Some((_, false)) => return refused(too_little(transfer)),
                None => {}
            }
        }
        if known == posting.transfers.len() {
            return PostingOutcome::Posted { replayed: true };
        }
        let mut changes: BTreeMap<(Owner, Asset), i128> = BTreeMap::new();
        for transfer in &posting.transfers {
            for owner in [&transfer.debit, &transfer.credit] {
                if let Owner::User(user) = owner
                    && !self.wallets.contains(user)
                {
                    let owner = owner.clone();
                    return refused(Refusal::NoWallet { owner });
                }
            }
            let asset = transfer.amount.asset();
            *changes.entry((transfer.debit.clone(), asset)).or_default() -= transfer.amount.units();
            *changes.entry((transfer.credit.clone(), asset)).or_default() += transfer.amount.units();
        }
        for ((owner, asset), change) in &changes {
            if owner.must_stay_solvent() && self.balance(owner, *asset) + change < 0 {
                for transfer in posting.transfers.iter().filter(|transfer| transfer.id.leg == Leg::Hold) {
                    self.transfers.insert(transfer.id, (transfer.clone(), false));
                }
                let (owner, asset) = (owner.clone(), *asset);
                return refused(Refusal::InsufficientFunds { owner, asset });
            }
        }
        for (account, change) in changes {
            *self.balances.entry(account).or_default() += change;
        }
        for transfer in posting.transfers {
            self.write_lines(&transfer);
            self.transfers.insert(transfer.id, (transfer, true));
        }
        PostingOutcome::Posted { replayed: false }
    }

    fn write_lines(&mut self, transfer: &Transfer) {
        let sides = [
            (&transfer.debit, &transfer.credit, -transfer.amount.units()),
            (&transfer.credit, &transfer.debit, transfer.amount.units()),
        ];
        let asset = transfer.amount.asset();
        for (owner, other, units) in sides {
            let line = StatementLine {
                entry_id: i64::try_from(self.lines.len()).unwrap() + 1,
                time: Timestamp::UNIX_EPOCH,
                origin: transfer.id.origin,
                leg: transfer.id.leg,
                amount: Amount::new(units, asset),
                counter_account: other.clone(),
                balance_after: Amount::new(self.balance(owner, asset), asset),
                reason: transfer.reason.clone(),
            };
            self.lines.push((owner.clone(), line));
        }
    }
}

fn too_little(transfer: &Transfer) -> Refusal {
    Refusal::InsufficientFunds {
        owner: transfer.debit.clone(),
        asset: transfer.amount.asset(),
    }
}

#[async_trait]
impl Balance for Ledger {
    async fn open_wallet(&self, user: UserId) -> Result<Opened, ClientError> {
        let new = self.books.lock().unwrap().wallets.insert(user);
        Ok(if new { Opened::Now } else { Opened::Before })
    }

    async fn wallet(&self, user: UserId) -> Result<Option<WalletBalances>, ClientError> {
        if *self.mode.borrow() == LedgerMode::Unreachable {
            return Err(ClientError::Unavailable("the ledger is away".to_owned()));
        }
        let books = self.books.lock().unwrap();
        if !books.wallets.contains(&user) {
            return Ok(None);
        }
        let of = |asset| Amount::new(books.balance(&Owner::User(user), asset), asset);
        let balances = vec![of(Asset::BTC), of(Asset::USD)];
        Ok(Some(WalletBalances {
            user_id: user,
            balances,
        }))
    }

    async fn statement(
        &self,
        user: UserId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Option<Vec<StatementLine>>, ClientError> {
        assert!((1..=100).contains(&limit));
        let books = self.books.lock().unwrap();
        if !books.wallets.contains(&user) {
            return Ok(None);
        }
        let before = before.unwrap_or(i64::MAX);
        let lines = books.lines.iter().rev();
        let lines = lines.filter(|(owner, line)| *owner == Owner::User(user) && line.entry_id < before);
        Ok(Some(lines.take(limit).map(|(_, line)| line.clone()).collect()))
    }

    async fn post(&self, postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, ClientError> {
        assert!((1..=100).contains(&postings.len()));
        self.calls.send_modify(|calls| *calls += 1);
        let mut modes = self.mode.subscribe();
        let mode = *modes.wait_for(|mode| *mode != LedgerMode::Hangs).await.unwrap();
        if mode == LedgerMode::Unreachable {
            return Err(ClientError::Unavailable("the ledger is away".to_owned()));
        }
        let book = |posting: Posting| {
            let release = posting
                .transfers
                .iter()
                .find(|transfer| transfer.id.leg == Leg::Release);
            match release {
                Some(release) if mode == LedgerMode::RefusesReleases => PostingOutcome::Refused {
                    refusal: too_little(release),
                },
                Some(_) | None => self.book(posting),
            }
        };
        let outcomes = postings.into_iter().map(book).collect();
        if mode == LedgerMode::LosesAnswers {
            return Err(ClientError::Unavailable("the answer is lost".to_owned()));
        }
        Ok(outcomes)
    }
}
