//! What the tests start from: a fresh ledger in a folder of its own, and short words for transfers.

pub(crate) mod postgres;

use std::path::PathBuf;
use std::sync::Arc;

use balance::ports::LedgerStore;
use balance::store::sqlite::SqliteLedger;
use contracts::ledger::{Leg, Origin, Owner, Posting, PostingOutcome, Refusal, Transfer, TransferId};
use contracts::{Amount, Asset, DepositId, OrderId, UserId};
use jiff::Timestamp;
use service_kit::metrics::Survey;
use storage::migrations::SchemaError;
use storage::sqlite::{Database, Durability, OpenError, Options, migrate};
use tempfile::TempDir;

/// A ledger with everything it needs to live.
pub(crate) struct Given {
    pub(crate) ledger: Arc<dyn LedgerStore>,
    pub(crate) survey: Arc<dyn Survey>,
    pub(crate) path: PathBuf,
    folder: TempDir,
}

impl Given {
    /// The same books, closed and opened again.
    pub(crate) fn restarted(self) -> Self {
        let Self {
            ledger, survey, folder, ..
        } = self;
        drop((ledger, survey));
        open(folder)
    }
}

/// Empty books on SQLite.
pub(crate) fn fresh_books() -> Given {
    open(tempfile::tempdir().unwrap())
}

/// The books in this folder, upgraded if need be. Tests of logic need not survive a power cut.
pub(crate) fn open(folder: TempDir) -> Given {
    let path = folder.path().join("cambist.db");
    let options = Options {
        durability: Durability::ProcessCrash,
        readers: 2,
        ..Options::default()
    };
    let database = Database::open(&path, options, |connection| {
        migrate(connection, &[balance::migrations()], at(0))
            .map(|_| ())
            .map_err(Unusable::Schema)
    });
    let ledger = Arc::new(SqliteLedger::new(database.unwrap()));
    Given {
        ledger: ledger.clone(),
        survey: ledger,
        path,
        folder,
    }
}

#[derive(Debug)]
#[allow(dead_code, reason = "shown when the scene cannot be arranged")]
enum Unusable {
    Open(OpenError),
    Schema(SchemaError),
}

impl From<OpenError> for Unusable {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// A moment, some seconds after the beginning of the story.
pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn user(number: i64) -> UserId {
    UserId::try_new(number).unwrap()
}

pub(crate) fn wallet_of(number: i64) -> Owner {
    Owner::wallet(user(number))
}

pub(crate) fn order(number: i64) -> Origin {
    Origin::Order(OrderId::try_new(number).unwrap())
}

pub(crate) fn deposit(number: i64) -> Origin {
    Origin::Deposit(DepositId::try_new(number).unwrap())
}

pub(crate) fn usd(text: &str) -> Amount {
    Amount::parse(text, Asset::USD).unwrap()
}

pub(crate) fn btc(text: &str) -> Amount {
    Amount::parse(text, Asset::BTC).unwrap()
}

pub(crate) fn eth(text: &str) -> Amount {
    Amount::parse(text, Asset::ETH).unwrap()
}

pub(crate) fn transfer(origin: Origin, leg: Leg, debit: Owner, credit: Owner, amount: Amount) -> Transfer {
    Transfer {
        id: TransferId { origin, leg },
        debit,
        credit,
        amount,
        reason: format!("{leg} of a test"),
        actor: "wallet".to_owned(),
    }
}

/// Bank → user.
pub(crate) fn pay_in(number: i64, to: i64, amount: Amount) -> Posting {
    let from = Owner::ExternalBank;
    Posting::single(transfer(deposit(number), Leg::Deposit, from, wallet_of(to), amount))
}

/// User → hot wallet.
pub(crate) fn hold(number: i64, of: i64, amount: Amount) -> Posting {
    Posting::single(transfer(
        order(number),
        Leg::Hold,
        wallet_of(of),
        Owner::HotWallet,
        amount,
    ))
}

pub(crate) const POSTED: PostingOutcome = PostingOutcome::Posted { replayed: false };
pub(crate) const REPLAYED: PostingOutcome = PostingOutcome::Posted { replayed: true };

pub(crate) fn refused(refusal: Refusal) -> PostingOutcome {
    PostingOutcome::Refused { refusal }
}

pub(crate) fn insufficient(owner: Owner, asset: Asset) -> PostingOutcome {
    refused(Refusal::InsufficientFunds { owner, asset })
}

pub(crate) fn conflict(origin: Origin, leg: Leg) -> PostingOutcome {
    let id = TransferId { origin, leg };
    refused(Refusal::Conflict { id })
}

pub(crate) fn no_wallet(number: i64) -> PostingOutcome {
    let owner = wallet_of(number);
    refused(Refusal::NoWallet { owner })
}

pub(crate) fn is_invalid(outcome: &PostingOutcome) -> bool {
    matches!(
        outcome,
        PostingOutcome::Refused {
            refusal: Refusal::Invalid { .. }
        }
    )
}
