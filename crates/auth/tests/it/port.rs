//! `auth` as other services see it, through both adapters of its port: plain calls, and HTTP through its real routes on a real
//! socket. `local::name` and `http::name` are one story.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use auth::Service;
use contracts::clients::{Auth, ClientError};
use contracts::{SeededEntropy, ServiceName, UserId};
use service_kit::http::{ServeLimits, serve};
use service_kit::problem::with_fallbacks;
use service_kit::shutdown::Shutdown;
use tokio::net::TcpListener;
use transport::http::{HttpAuth, Options, Peer};

use crate::given::{self, Given};

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
    a_user_is_told_as_they_registered
    the_keys_are_those_that_sign
}

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
    Peer::try_new(ServiceName::Auth, address, token, Options::default(), entropy).unwrap()
}

async fn begin(adapter: Adapter) -> (Given, Arc<dyn Auth>) {
    let given = given::auth();
    let client: Arc<dyn Auth> = match adapter {
        Adapter::Local => given.service.client(),
        Adapter::Http => Arc::new(HttpAuth(way_to(&served(&given.service).await, "token-of-wallet"))),
    };
    (given, client)
}

fn user(number: i64) -> UserId {
    UserId::try_new(number).unwrap()
}

async fn a_user_is_told_as_they_registered(adapter: Adapter) {
    let (given, client) = begin(adapter).await;
    given.register("Ada").await;
    let ada = client.user(user(2)).await.unwrap().unwrap();
    assert_eq!(
        (ada.id, ada.username.as_str(), ada.email.as_str()),
        (user(2), "Ada", "Ada@example.com")
    );
    assert_eq!((ada.first_name.as_str(), ada.last_name.as_str()), ("Ada", "Lovelace"));
    assert_eq!(client.user(user(3)).await, Ok(None));
}

async fn the_keys_are_those_that_sign(adapter: Adapter) {
    let (given, client) = begin(adapter).await;
    given.register("ada").await;
    let _token = given.token("ada").await;
    let published = given.get("/.well-known/jwks.json").await.body;
    let told = client.jwks().await.unwrap();
    assert_eq!(serde_json::to_value(&told).unwrap(), published);
    assert_eq!(told.keys.len(), 1);
}

#[tokio::test]
async fn who_is_not_let_in_is_told_which_setting_to_change() {
    let given = given::auth();
    given.register("ada").await;
    let right = served(&given.service).await;
    let elsewhere = format!("{right}/auth");
    for (address, token, setting) in [
        (&right, "nobodys-token", "CAMBIST_INTERNAL_TOKEN)"),
        (&right, "token-of-exchanger", "is not for exchanger"),
        (&elsewhere, "token-of-wallet", "CAMBIST_AUTH_URL"),
    ] {
        let client = HttpAuth(way_to(address, token));
        let denied = |error: Option<ClientError>| match error {
            Some(ClientError::Denied(detail)) => assert!(detail.contains(setting), "{detail}"),
            other => panic!("{token} at {address}: {other:?}"),
        };
        denied(client.user(user(2)).await.err());
        denied(client.jwks().await.err());
    }
}
