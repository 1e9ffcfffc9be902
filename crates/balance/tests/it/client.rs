//! The ledger in this process: the bound of a call, operators' names, the capital, and books that do not answer.

use std::sync::Arc;

use async_trait::async_trait;
use balance::domain::{Adjusted, Adjustment, BooksReport, Capital, Funding};
use balance::ports::LedgerStore;
use balance::use_cases::{FundError, Reply, Signer, post_transfers};
use balance::{Dependencies, Service};
use contracts::clients::{Balance, Opened, WalletBalances};
use contracts::ledger::{Leg, Owner, Posting, PostingOutcome, StatementLine};
use contracts::{ManualClock, UserId};
use jiff::Timestamp;
use service_kit::internal::InternalTokens;
use storage::StoreError;

use crate::given::{Given, POSTED, at, btc, fresh_books, is_invalid, order, pay_in, transfer, usd, user};

pub(crate) fn service(ledger: Arc<dyn LedgerStore>, tokens: InternalTokens) -> Service {
    Service::new(Dependencies {
        ledger,
        clock: Arc::new(ManualClock::new(at(0))),
        internal_tokens: Arc::new(tokens),
    })
}

async fn a_ledger() -> (Given, Arc<dyn Balance>) {
    let given = fresh_books();
    let client = service(Arc::clone(&given.ledger), InternalTokens::try_new([]).unwrap()).client();
    assert_eq!(client.open_wallet(user(2)).await.unwrap(), Opened::Now);
    (given, client)
}

#[tokio::test]
async fn a_call_carries_a_hundred_postings_and_not_one_more() {
    let (given, client) = a_ledger().await;
    let postings = |count| {
        (1..=count)
            .map(|number| pay_in(number, 2, usd("1")))
            .collect::<Vec<_>>()
    };
    let outcomes = client.post(postings(101)).await.unwrap();
    assert_eq!(outcomes.len(), 101);
    assert!(outcomes.iter().all(is_invalid));
    assert_eq!(given.ledger.check_books().await.unwrap().transfers, 0);
    assert_eq!(client.post(postings(100)).await.unwrap(), vec![POSTED; 100]);
}

#[tokio::test]
async fn an_operator_books_under_their_own_name_only() {
    let given = fresh_books();
    let clock = ManualClock::new(at(0));
    let by = |actor: &str| {
        let mut transfer = transfer(
            order(1),
            Leg::ReverseResult,
            Owner::Treasury,
            Owner::HotWallet,
            usd("1"),
        );
        transfer.actor = actor.to_owned();
        Posting::single(transfer)
    };
    let ann = Signer::Operator("operator:ann");
    let postings = vec![by("wallet"), by("operator:bob"), by("operator:ann")];
    let outcomes = post_transfers(&*given.ledger, &clock, ann, Reply::OnDisk, postings)
        .await
        .unwrap();
    assert!(is_invalid(&outcomes[0]) && is_invalid(&outcomes[1]));
    assert_eq!(outcomes[2], POSTED);
}

#[tokio::test]
async fn capital_that_makes_no_sense_stops_the_migration() {
    let given = fresh_books();
    let service = service(Arc::clone(&given.ledger), InternalTokens::try_new([]).unwrap());
    let capital = Capital {
        fiat: usd("1000"),
        crypto: btc("1000"),
    };
    assert_eq!(service.fund(capital).await.unwrap(), Funding::Booked);
    assert_eq!(service.fund(capital).await.unwrap(), Funding::Before);
    let senseless = Capital {
        fiat: usd("-1"),
        ..capital
    };
    assert!(matches!(service.fund(senseless).await, Err(FundError::Invalid(_))));
}

/// Books that do not answer, or answer too little.
struct Broken(Result<Vec<PostingOutcome>, StoreError>);

impl Broken {
    fn error(&self) -> StoreError {
        self.0.clone().err().unwrap_or(StoreError::Overloaded)
    }
}

#[async_trait]
impl LedgerStore for Broken {
    async fn open_wallet(&self, _: Timestamp, _: UserId) -> Result<Opened, StoreError> {
        Err(self.error())
    }
    async fn wallet(&self, _: UserId) -> Result<Option<WalletBalances>, StoreError> {
        Err(self.error())
    }
    async fn statement(&self, _: UserId, _: Option<i64>, _: usize) -> Result<Option<Vec<StatementLine>>, StoreError> {
        Err(self.error())
    }
    async fn post(&self, _: Timestamp, _: Vec<Posting>) -> Result<Vec<PostingOutcome>, StoreError> {
        self.0.clone()
    }
    async fn adjust(&self, _: Timestamp, _: Adjustment) -> Result<Adjusted, StoreError> {
        Err(self.error())
    }
    async fn fund(&self, _: Timestamp, _: Capital) -> Result<Funding, StoreError> {
        Err(self.error())
    }
    async fn check_books(&self) -> Result<BooksReport, StoreError> {
        Err(self.error())
    }
}

pub(crate) fn overloaded() -> Arc<dyn LedgerStore> {
    Arc::new(Broken(Err(StoreError::Overloaded)))
}

/// Books that answer for one posting, however many there are.
pub(crate) fn forgetful() -> Arc<dyn LedgerStore> {
    Arc::new(Broken(Ok(vec![POSTED])))
}
