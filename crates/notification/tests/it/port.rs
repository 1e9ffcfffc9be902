//! `notification` as other services see it, through both adapters of its port: plain calls, and HTTP through its real routes on a real
//! socket. `local::name` and `http::name` are one story.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use contracts::clients::{ClientError, MAX_COMMANDS, Notification, Submission};
use contracts::{SeededEntropy, ServiceName};
use notification::Service;
use service_kit::http::{ServeLimits, serve};
use service_kit::problem::with_fallbacks;
use service_kit::shutdown::Shutdown;
use tokio::net::TcpListener;
use transport::http::{HttpNotification, Options, Peer};

use crate::given::{self, Given, ToldMailer, command};

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
    an_order_has_one_notification
    each_of_a_batch_has_an_outcome_of_its_own
    nothing_at_all_and_only_nonsense_are_answered_too
    a_hundred_of_the_longest_texts_are_accepted
}

const NEW: Submission = Submission::Accepted { replayed: false };
const AGAIN: Submission = Submission::Accepted { replayed: true };

/// The address of the service's internal listener, until the test ends.
async fn served(service: &Service) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    let limits = ServeLimits {
        max_connections: NonZeroUsize::new(100).unwrap(),
        header_timeout: Duration::from_secs(15),
        drain_timeout: Duration::ZERO,
    };
    let router = with_fallbacks(service.internal_routes().into());
    tokio::spawn(serve(socket, router, limits, Shutdown::new().token()));
    address
}

fn way_to(address: &str, token: &str) -> Peer {
    let entropy = Arc::new(SeededEntropy::new(7));
    Peer::try_new(ServiceName::Notification, address, token, Options::default(), entropy).unwrap()
}

async fn begin(adapter: Adapter) -> (Given, Arc<dyn Notification>) {
    let given = given::notification(ToldMailer::new([]).0);
    let client: Arc<dyn Notification> = match adapter {
        Adapter::Local => given.service.client(),
        Adapter::Http => Arc::new(HttpNotification(way_to(
            &served(&given.service).await,
            "token-of-wallet",
        ))),
    };
    (given, client)
}

async fn an_order_has_one_notification(adapter: Adapter) {
    let (given, client) = begin(adapter).await;
    assert_eq!(client.submit(vec![command(7)]).await.unwrap(), [NEW]);
    assert_eq!(client.submit(vec![command(7)]).await.unwrap(), [AGAIN]);
    let mut other = command(7);
    other.email = "eve@example.com".to_owned();
    assert_eq!(client.submit(vec![other]).await.unwrap(), [Submission::Conflict]);
    assert_eq!(given.stores.commands.open_count().await.unwrap(), 1);
}

async fn each_of_a_batch_has_an_outcome_of_its_own(adapter: Adapter) {
    let (given, client) = begin(adapter).await;
    client.submit(vec![command(2)]).await.unwrap();
    let (mut nowhere, mut other) = (command(1), command(2));
    nowhere.email = "nowhere".to_owned();
    other.payload = "Something else".to_owned();
    let batch = vec![nowhere, other, command(3), command(3), command(2)];
    let outcomes = client.submit(batch).await.unwrap();
    let Submission::Invalid { detail } = &outcomes[0] else {
        panic!("{outcomes:?}");
    };
    assert!(detail.contains("email"), "{detail}");
    assert_eq!(outcomes[1..], [Submission::Conflict, NEW, AGAIN, AGAIN]);
    assert_eq!(given.record(1).await, None);
}

async fn nothing_at_all_and_only_nonsense_are_answered_too(adapter: Adapter) {
    let (_given, client) = begin(adapter).await;
    assert_eq!(client.submit(vec![]).await.unwrap(), []);
    let (mut blank, mut endless) = (command(1), command(2));
    blank.payload = String::new();
    endless.payload = "x".repeat(600 * 1024);
    let outcomes = client.submit(vec![blank, endless, command(3)]).await.unwrap();
    assert!(
        outcomes[..2]
            .iter()
            .all(|one| matches!(one, Submission::Invalid { .. }))
    );
    assert_eq!(outcomes[2], NEW);
}

/// Written as JSON they are more than a request carries: each of their quotes takes two bytes.
async fn a_hundred_of_the_longest_texts_are_accepted(adapter: Adapter) {
    let (given, client) = begin(adapter).await;
    let longest = |number: usize| {
        let mut command = command(i64::try_from(number).unwrap());
        command.payload = format!("Order {number}\n\n{}", "\"".repeat(4_000));
        command
    };
    let outcomes = client.submit((1..=MAX_COMMANDS).map(longest).collect()).await.unwrap();
    assert_eq!(outcomes, vec![NEW; MAX_COMMANDS]);
    assert_eq!(given.stores.commands.open_count().await.unwrap(), 100);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_which_setting_to_change_and_has_done_nothing() {
    let given = given::notification(ToldMailer::new([]).0);
    let right = served(&given.service).await;
    let elsewhere = format!("{right}/notification");
    for (address, token, setting) in [
        (&right, "nobodys-token", "CAMBIST_INTERNAL_TOKEN)"),
        (&right, "token-of-exchanger", "is not for exchanger"),
        (&right, "token-of-operator:ann", "is not for operator:ann"),
        (&elsewhere, "token-of-wallet", "CAMBIST_NOTIFICATION_URL"),
    ] {
        let client = HttpNotification(way_to(address, token));
        match client.submit(vec![command(1)]).await {
            Err(ClientError::Denied(detail)) => assert!(detail.contains(setting), "{detail}"),
            other => panic!("{token} at {address}: {other:?}"),
        }
    }
    assert_eq!(given.record(1).await, None);
}
