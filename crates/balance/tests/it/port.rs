//! The ledger as other services see it, through both adapters of its port: plain calls, and HTTP through its real routes on a
//! real socket. `local::name` and `http::name` are one story.

mod faults;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use balance::Service;
use balance::ports::LedgerStore;
use contracts::clients::{Balance, ClientError, Opened};
use contracts::ledger::{Leg, MAX_POSTINGS, Origin, Owner, Posting};
use contracts::{Asset, SeededEntropy, ServiceName, UserId};
use service_kit::http::{RequestLimits, ServeLimits, guard, serve};
use service_kit::internal::{Caller, InternalTokens};
use service_kit::metrics::HttpMetrics;
use service_kit::problem::with_fallbacks;
use service_kit::settings::Secret;
use service_kit::shutdown::Shutdown;
use tokio::net::TcpListener;
use transport::http::{HttpBalance, Options, Peer, retry};

use crate::client::{forgetful, overloaded, service};
use crate::given::{
    POSTED, REPLAYED, at, btc, conflict, eth, fresh_books, hold, insufficient, is_invalid, no_wallet, order, pay_in,
    transfer, usd, user, wallet_of,
};

/// How the port is reached.
#[derive(Debug, Clone, Copy)]
enum Adapter {
    Local,
    Http,
}

macro_rules! on_both {
    ($($story:ident)*) => {
        mod local {
            $(#[tokio::test] async fn $story() { super::$story(super::Adapter::Local).await; })*
        }
        mod http {
            $(#[tokio::test] async fn $story() { super::$story(super::Adapter::Http).await; })*
        }
    };
}

on_both! {
    a_user_with_600_holds_30
    a_wallet_is_opened_once
    every_outcome_there_is_and_no_neighbour_undone
    amounts_and_texts_arrive_as_they_are
    a_statement_is_read_page_by_page
    a_posting_links_eight_transfers_and_not_one_more
    what_makes_no_sense_is_refused_and_its_neighbours_are_booked
    a_full_call_of_the_longest_postings_is_booked
    books_that_do_not_answer_are_no_refusal
}

fn tokens() -> InternalTokens {
    let callers = ["wallet", "exchanger", "notification"];
    let tokens = callers.map(|name| {
        (
            name.parse::<Caller>().unwrap(),
            Secret::new(&format!("token-of-{name}")),
        )
    });
    InternalTokens::try_new(tokens).unwrap()
}

/// The address of the service's internal listener, until the test ends.
async fn served(service: &Service) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    serve_on(socket, service, &Shutdown::new());
    address
}

fn serve_on(socket: TcpListener, service: &Service, shutdown: &Shutdown) {
    let many = NonZeroUsize::new(100).unwrap();
    let limits = RequestLimits {
        max_in_flight: many,
        timeout: Duration::from_secs(10),
    };
    let routes = with_fallbacks(service.internal_routes().into());
    let router = guard(routes, limits, &HttpMetrics::default().internal);
    let limits = ServeLimits {
        max_connections: many,
        header_timeout: Duration::from_secs(15),
        drain_timeout: Duration::ZERO,
    };
    tokio::spawn(serve(socket, router, limits, shutdown.token()));
}

/// Once is enough for a peer that answers.
fn once() -> Options {
    Options {
        retry: retry::Rules {
            attempts: 1,
            ..retry::Rules::default()
        },
        ..Options::default()
    }
}

fn way_to(address: &str, token: &str, options: Options) -> HttpBalance {
    let entropy = Arc::new(SeededEntropy::new(7));
    HttpBalance(Peer::try_new(ServiceName::Balance, address, token, options, entropy).unwrap())
}

async fn client_of(ledger: Arc<dyn LedgerStore>, adapter: Adapter) -> Arc<dyn Balance> {
    let service = service(ledger, tokens());
    match adapter {
        Adapter::Local => service.client(),
        Adapter::Http => Arc::new(way_to(&served(&service).await, "token-of-wallet", once())),
    }
}

/// User 2 has a wallet.
async fn a_ledger(adapter: Adapter) -> (crate::given::Given, Arc<dyn Balance>) {
    let given = fresh_books();
    let client = client_of(Arc::clone(&given.ledger), adapter).await;
    assert_eq!(client.open_wallet(user(2)).await, Ok(Opened::Now));
    (given, client)
}

async fn a_user_with_600_holds_30(adapter: Adapter) {
    let (_given, client) = a_ledger(adapter).await;
    let outcomes = client.post(vec![pay_in(1, 2, usd("600")), hold(1, 2, usd("30"))]).await;
    assert_eq!(outcomes.unwrap(), [POSTED, POSTED]);
    let wallet = client.wallet(user(2)).await.unwrap().unwrap();
    assert_eq!((wallet.user_id, wallet.balances), (user(2), vec![btc("0"), usd("570")]));
    let lines = client.statement(user(2), None, 1).await.unwrap().unwrap();
    assert_eq!((lines[0].amount, lines[0].time), (usd("-30"), at(0)));
    assert_eq!(client.wallet(user(3)).await, Ok(None));
    assert_eq!(client.statement(user(3), None, 1).await, Ok(None));
}

async fn a_wallet_is_opened_once(adapter: Adapter) {
    let (_given, client) = a_ledger(adapter).await;
    assert_eq!(client.open_wallet(user(2)).await, Ok(Opened::Before));
    assert_eq!(client.open_wallet(user(3)).await, Ok(Opened::Now));
}

async fn every_outcome_there_is_and_no_neighbour_undone(adapter: Adapter) {
    let (_given, client) = a_ledger(adapter).await;
    let postings = vec![
        pay_in(1, 2, usd("10")),
        pay_in(1, 2, usd("10")),
        pay_in(1, 2, usd("11")),
        hold(1, 2, usd("10.01")),
        pay_in(2, 9, usd("1")),
        hold(2, 2, usd("0")),
        hold(3, 2, usd("10")),
    ];
    let outcomes = client.post(postings).await.unwrap();
    let expected = [
        POSTED,
        REPLAYED,
        conflict(crate::given::deposit(1), Leg::Deposit),
        insufficient(wallet_of(2), Asset::USD),
        no_wallet(9),
    ];
    assert_eq!(outcomes[..5], expected);
    assert!(is_invalid(&outcomes[5]));
    assert_eq!(outcomes[6], POSTED);
    let late = client
        .post(vec![pay_in(3, 2, usd("100")), hold(1, 2, usd("10.01"))])
        .await
        .unwrap();
    assert_eq!(
        late,
        [POSTED, insufficient(wallet_of(2), Asset::USD)],
        "refused for good"
    );
    assert_eq!(client.post(Vec::new()).await, Ok(Vec::new()));
}

async fn amounts_and_texts_arrive_as_they_are(adapter: Adapter) {
    let (_given, client) = a_ledger(adapter).await;
    let riches = eth("123456789012345678901.234567890123456789");
    let mut deposit = pay_in(1, 2, riches);
    deposit.transfers[0].reason = "\"quoted\", \u{e4}\u{1f600}, \u{7f}\n\t\\ and \u{0}".to_owned();
    assert_eq!(client.post(vec![deposit.clone()]).await.unwrap(), [POSTED]);
    assert_eq!(client.post(vec![deposit.clone()]).await.unwrap(), [REPLAYED]);
    let wallet = client.wallet(user(2)).await.unwrap().unwrap();
    assert_eq!(wallet.balances, [btc("0"), riches, usd("0")]);
    let line = &client.statement(user(2), None, 1).await.unwrap().unwrap()[0];
    assert_eq!((line.amount, &line.reason), (riches, &deposit.transfers[0].reason));
}

async fn a_statement_is_read_page_by_page(adapter: Adapter) {
    let (_given, client) = a_ledger(adapter).await;
    let deposits = (1..=7).map(|number| pay_in(number, 2, usd("1"))).collect();
    client.post(deposits).await.unwrap();
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let page = client.statement(user(2), before, 3).await.unwrap().unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.entry_id);
        seen.extend(page.iter().map(|line| line.origin.parts().1));
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
    let least = client.statement(user(2), None, 0).await.unwrap().unwrap();
    assert_eq!(least.len(), 1, "brought into its bounds");
}

async fn a_posting_links_eight_transfers_and_not_one_more(adapter: Adapter) {
    let (_given, client) = a_ledger(adapter).await;
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

/// Some of it cannot even be read from JSON: over HTTP the request fails as a whole, and nobody but the culprit suffers.
async fn what_makes_no_sense_is_refused_and_its_neighbours_are_booked(adapter: Adapter) {
    let (_given, client) = a_ledger(adapter).await;
    let sound = |number| {
        transfer(
            order(number),
            Leg::ReverseResult,
            Owner::Treasury,
            Owner::HotWallet,
            usd("1"),
        )
    };
    let mut senseless = vec![sound(1); 9];
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
    postings.insert(4, Posting::single(sound(1)));
    postings.push(Posting {
        transfers: vec![sound(1), sound(1)],
    });
    postings.push(hold(1, 2, usd("1")));
    let outcomes = client.post(postings).await.unwrap();
    assert_eq!(outcomes[4], POSTED);
    assert_eq!(outcomes[11], insufficient(wallet_of(2), Asset::USD));
    assert_eq!(outcomes.iter().filter(|outcome| is_invalid(outcome)).count(), 10);
}

async fn a_full_call_of_the_longest_postings_is_booked(adapter: Adapter) {
    let (given, client) = a_ledger(adapter).await;
    let longest = |number: usize| {
        let origin = order(i64::try_from(number).unwrap());
        let one = |leg: &Leg| {
            let mut transfer = transfer(origin, *leg, Owner::Treasury, Owner::HotWallet, usd("1"));
            transfer.reason = "\u{1}".repeat(200);
            transfer.actor = "\u{2}".repeat(64);
            transfer
        };
        Posting {
            transfers: Leg::ALL.iter().take(8).map(one).collect(),
        }
    };
    let postings = (1..=MAX_POSTINGS).map(longest).collect();
    assert_eq!(client.post(postings).await.unwrap(), vec![POSTED; MAX_POSTINGS]);
    assert_eq!(given.ledger.check_books().await.unwrap().transfers, 800);
}

async fn books_that_do_not_answer_are_no_refusal(adapter: Adapter) {
    let full = client_of(overloaded(), adapter).await;
    let is_full = |error: Option<ClientError>| matches!(error, Some(ClientError::Overloaded { .. }));
    assert!(is_full(full.post(vec![hold(1, 2, usd("1"))]).await.err()));
    assert!(is_full(full.open_wallet(user(2)).await.err()));
    assert!(is_full(full.wallet(user(2)).await.err()));
    assert!(is_full(full.statement(user(2), None, 1).await.err()));
    let forgetful = client_of(forgetful(), adapter).await;
    let two = vec![hold(1, 2, usd("1")), hold(2, 2, usd("1"))];
    assert!(matches!(forgetful.post(two).await, Err(ClientError::Unavailable(_))));
}
