//! The ledger as the other services see it: bounds, names, and what happens when the books do not answer.

use std::sync::Arc;

use async_trait::async_trait;
use balance::domain::{Adjusted, Adjustment, BooksReport, Capital, Funding};
use balance::ports::LedgerStore;
use balance::use_cases::{FundError, Signer, post_transfers};
use balance::{Dependencies, Service};
use contracts::clients::{Balance, ClientError, Opened, WalletBalances};
use contracts::ledger::{Leg, Origin, Owner, Posting, PostingOutcome, StatementLine};
use contracts::{ManualClock, UserId};
use jiff::Timestamp;
use service_kit::internal::InternalTokens;
use storage::StoreError;

use crate::given::{
    Given, POSTED, REPLAYED, at, btc, fresh_books, hold, insufficient, is_invalid, order, pay_in, transfer, usd, user,
    wallet_of,
};

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
async fn a_user_with_600_holds_30() {
    let (_given, client) = a_ledger().await;
    assert_eq!(
        client
            .post(vec![pay_in(1, 2, usd("600")), hold(1, 2, usd("30"))])
            .await
            .unwrap(),
        [POSTED, POSTED]
    );
    let wallet = client.wallet(user(2)).await.unwrap().unwrap();
    assert_eq!((wallet.user_id, wallet.balances), (user(2), vec![btc("0"), usd("570")]));
    let lines = client.statement(user(2), None, 1).await.unwrap().unwrap();
    assert_eq!((lines[0].amount, lines[0].time), (usd("-30"), at(0)));
    assert_eq!(client.wallet(user(3)).await.unwrap(), None);
    assert_eq!(client.statement(user(3), None, 1).await.unwrap(), None);
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
async fn a_posting_links_eight_transfers_and_not_one_more() {
    let (_given, client) = a_ledger().await;
    let linked = |count: usize| {
        let one = |leg: &Leg| transfer(order(1), *leg, Owner::Treasury, Owner::HotWallet, usd("1"));
        Posting {
            transfers: Leg::ALL.iter().take(count).map(one).collect(),
        }
    };
    let outcomes = client.post(vec![linked(9), linked(8), linked(8)]).await.unwrap();
    assert!(is_invalid(&outcomes[0]));
    assert_eq!(outcomes[1..], [POSTED, REPLAYED]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_its_neighbours_are_booked() {
    let (_given, client) = a_ledger().await;
    let sound = || {
        transfer(
            order(1),
            Leg::ReverseResult,
            Owner::Treasury,
            Owner::HotWallet,
            usd("1"),
        )
    };
    let mut senseless = vec![sound(); 9];
    senseless[0].amount = usd("0");
    senseless[1].amount = usd("-1");
    senseless[2].credit = Owner::Treasury;
    senseless[3].debit = Owner::Venue("Not A Name".to_owned());
    senseless[4].debit = Owner::User(UserId::HOT_WALLET);
    senseless[5].reason = "r".repeat(201);
    senseless[6].actor = "a".repeat(65);
    senseless[7].id.origin = Origin::Funding;
    senseless[8].id.origin = Origin::Adjustment(1);
    let mut postings: Vec<_> = senseless.into_iter().map(Posting::single).collect();
    postings.insert(4, Posting::single(sound()));
    postings.push(Posting {
        transfers: vec![sound(), sound()],
    });
    postings.push(hold(1, 2, usd("1")));
    let outcomes = client.post(postings).await.unwrap();
    assert_eq!(outcomes[4], POSTED);
    assert_eq!(outcomes[11], insufficient(wallet_of(2), contracts::Asset::USD));
    assert_eq!(outcomes.iter().filter(|outcome| is_invalid(outcome)).count(), 10);
    let mut longest = sound();
    longest.id.origin = order(2);
    longest.reason = "r".repeat(200);
    longest.actor = "a".repeat(64);
    assert_eq!(client.post(vec![Posting::single(longest)]).await.unwrap(), [POSTED]);
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
    let outcomes = post_transfers(&*given.ledger, &clock, ann, postings).await.unwrap();
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

#[tokio::test]
async fn books_that_do_not_answer_are_no_refusal() {
    let client = |store| service(store, InternalTokens::try_new([]).unwrap()).client();
    let full = client(overloaded());
    assert!(matches!(
        full.post(vec![hold(1, 2, usd("1"))]).await,
        Err(ClientError::Overloaded { .. })
    ));
    assert!(matches!(
        full.open_wallet(user(2)).await,
        Err(ClientError::Overloaded { .. })
    ));
    assert!(matches!(
        full.wallet(user(2)).await,
        Err(ClientError::Overloaded { .. })
    ));
    assert!(matches!(
        full.statement(user(2), None, 1).await,
        Err(ClientError::Overloaded { .. })
    ));
    let forgetful = client(Arc::new(Broken(Ok(vec![POSTED]))));
    let two = vec![hold(1, 2, usd("1")), hold(2, 2, usd("1"))];
    assert!(matches!(forgetful.post(two).await, Err(ClientError::Unavailable(_))));
}
