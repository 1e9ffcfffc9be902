//! How many requests are worked on, for how long, and what a panic costs.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use service_kit::http::RequestLimits;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, Semaphore};

use crate::support::{Server, at_least_one, client, wide};

/// A route that says when it has begun, and ends when it is told to.
struct Gate {
    begun: Arc<Semaphore>,
    open: Arc<Notify>,
}

async fn gated(limits: RequestLimits) -> (Server, Gate) {
    let gate = Gate {
        begun: Arc::new(Semaphore::new(0)),
        open: Arc::new(Notify::new()),
    };
    let (begun, open) = (gate.begun.clone(), gate.open.clone());
    let slow = move || async move {
        begun.add_permits(1);
        open.notified().await;
        "done"
    };
    let routes = Router::new()
        .route("/slow", get(slow))
        .route("/upload", post(|_: Bytes| async { "uploaded" }));
    (Server::start_with(routes, limits, wide().1).await, gate)
}

impl Gate {
    async fn wait_until_begun(&self) {
        self.begun.acquire().await.unwrap().forget();
    }
}

#[tokio::test]
async fn one_request_more_than_the_limit_is_shed_at_once_and_may_come_back() {
    let (server, gate) = gated(RequestLimits {
        max_in_flight: at_least_one(2),
        ..wide().0
    })
    .await;
    let slow = || tokio::spawn(client().get(server.url("/slow")).send());
    let (first, second) = (slow(), slow());
    gate.wait_until_begun().await;
    gate.wait_until_begun().await;

    for path in ["/slow", "/upload", "/nowhere"] {
        let answer = server.get(path).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (503, "overloaded"),
            "{path}"
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    }

    gate.open.notify_one();
    gate.open.notify_one();
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    assert_eq!(second.await.unwrap().unwrap().status(), 200);
    gate.open.notify_one();
    assert_eq!(server.get("/slow").await.text, "done");
}

#[tokio::test]
async fn a_client_that_leaves_gives_its_place_back() {
    let (server, gate) = gated(RequestLimits {
        max_in_flight: at_least_one(1),
        ..wide().0
    })
    .await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    gate.wait_until_begun().await;
    assert_eq!(server.get("/slow").await.status, 503);
    drop(stream);
    // The server learns of it when it next looks at the connection.
    tokio::time::timeout(crate::support::PATIENCE, async {
        while server.get("/nowhere").await.status == 503 {}
    })
    .await
    .expect("the place never comes back");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_answered_and_its_place_given_back() {
    let limits = RequestLimits {
        max_in_flight: at_least_one(1),
        timeout: Duration::from_millis(100),
    };
    let (server, _gate) = gated(limits).await;
    let answer = server.get("/slow").await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "timeout"));
    assert_eq!(server.get("/nowhere").await.status, 404);
}

#[tokio::test]
async fn a_body_that_never_ends_is_its_senders_fault() {
    let (server, _gate) = gated(RequestLimits {
        timeout: Duration::from_millis(100),
        ..wide().0
    })
    .await;
    let mut stream = server.connect().await;
    let head = b"POST /upload HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nbegin";
    let answer = crate::support::exchange(&mut stream, head).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("urn:cambist:problem:slow_body"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_panic_costs_one_answer_and_says_nothing() {
    async fn fall() -> &'static str {
        panic!("the ledger's secret is 42")
    }
    let routes = Router::new()
        .route("/panic", get(fall))
        .route("/fine", get(|| async { "fine" }));
    let server = Server::start_with(
        routes,
        RequestLimits {
            max_in_flight: at_least_one(1),
            ..wide().0
        },
        wide().1,
    )
    .await;
    let answer = server.get("/panic").await;
    assert_eq!((answer.status, answer.problem().as_str()), (500, "internal"));
    assert!(!answer.text.contains("42"));
    assert_eq!(server.get("/fine").await.text, "fine");
}

#[tokio::test]
async fn answers_are_not_kept_by_anybody_on_the_way() {
    let server = Server::start(Router::new().route("/wallet", get(|| async { "13.77" }))).await;
    assert_eq!(server.get("/wallet").await.header("cache-control"), Some("no-store"));
    assert_eq!(server.get("/nowhere").await.header("cache-control"), Some("no-store"));
}
