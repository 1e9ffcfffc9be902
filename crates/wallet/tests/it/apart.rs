//! A ledger that is a process of its own, reached over HTTP: whatever it does, an order is refused only by its books.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use contracts::clients::{Balance as _, Opened};
use contracts::ledger::Posting;
use contracts::{SeededEntropy, ServiceName, UserId};
use http::StatusCode;
use serde_json::json;
use service_kit::http::{ServeLimits, serve};
use service_kit::problem::Problem;
use service_kit::shutdown::Shutdown;
use tokio::net::TcpListener;
use transport::http::{HttpBalance, Options, Peer, circuit};
use wallet::Settings;
use wallet::domain::OrderState;

use crate::world::{Ledger, LedgerMode, World, settings};

/// The routes of the ledger that the wallet calls, over the hand-made books.
fn routes(ledger: Arc<Ledger>) -> Router {
    type Books = State<Arc<Ledger>>;
    async fn open(State(books): Books, Path(user): Path<UserId>) -> Result<StatusCode, Problem> {
        assert_eq!(books.open_wallet(user).await?, Opened::Now);
        Ok(StatusCode::CREATED)
    }
    async fn read(State(books): Books, Path(user): Path<UserId>) -> Result<Response, Problem> {
        let wallet = books.wallet(user).await?;
        let found = wallet.map(|wallet| Json(wallet).into_response());
        found.ok_or_else(|| Problem::not_found("there is no such wallet"))
    }
    async fn book(State(books): Books, Json(postings): Json<Vec<Posting>>) -> Result<Response, Problem> {
        Ok(Json(books.post(postings).await?).into_response())
    }
    Router::new()
        .route("/wallet/{user_id}", post(open).get(read))
        .route("/transfers", post(book))
        .with_state(ledger)
}

/// A ledger's process, which can be stopped and go on.
struct Apart {
    ledger: Arc<Ledger>,
    socket: std::net::TcpListener,
    running: Option<Shutdown>,
}

impl Apart {
    fn new() -> Self {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut apart = Self {
            ledger: Arc::default(),
            socket,
            running: None,
        };
        apart.go_on();
        apart
    }

    fn go_on(&mut self) {
        let limits = ServeLimits {
            max_connections: NonZeroUsize::new(100).unwrap(),
            header_timeout: Duration::from_secs(15),
            drain_timeout: Duration::ZERO,
        };
        let shutdown = Shutdown::new();
        let socket = TcpListener::from_std(self.socket.try_clone().unwrap()).unwrap();
        tokio::spawn(serve(
            socket,
            routes(Arc::clone(&self.ledger)),
            limits,
            shutdown.token(),
        ));
        self.running = Some(shutdown);
    }

    /// Connections are cut; new ones are taken by the system, and nobody ever reads what they carry.
    fn stop(&mut self) {
        self.running.take().unwrap().request();
    }

    async fn world(&self, hold_wait: Duration) -> World {
        let options = Options {
            attempt_timeout: Duration::from_millis(200),
            circuit: circuit::Rules {
                failures: 2,
                first_rest: Duration::from_millis(20),
                longest_rest: Duration::from_millis(50),
            },
            ..Options::default()
        };
        let address = format!("http://{}", self.socket.local_addr().unwrap());
        let entropy = Arc::new(SeededEntropy::new(7));
        let peer = Peer::try_new(ServiceName::Balance, &address, "wallets", options, entropy).unwrap();
        let settings = Settings {
            hold_wait,
            ..settings()
        };
        let mut world = World::reaching(Arc::new(HttpBalance(peer)), Arc::clone(&self.ledger), settings).await;
        world.wake();
        world
    }
}

#[tokio::test]
async fn a_buy_goes_through_with_a_ledger_apart() {
    let apart = Apart::new();
    let world = apart.world(settings().hold_wait).await;
    world.with_600().await;
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    world.until(id, OrderState::Completed).await;
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn an_order_is_202_while_the_ledger_is_stopped_and_ends_when_it_goes_on() {
    let mut apart = Apart::new();
    let world = apart.world(Duration::from_millis(500)).await;
    world.with_600().await;
    apart.stop();
    let asked = Instant::now();
    let answer = world.post("/buy/2", json!({"fiat_amount": 30})).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (202, &json!("pending"))
    );
    assert!(asked.elapsed() >= Duration::from_millis(500), "it was waited for");
    let id = answer.order_id();
    world.swept(id).await;
    assert_eq!(
        world.order(id).await.saga.state,
        OrderState::Created,
        "unknown is not refused"
    );
    apart.go_on();
    world.until(id, OrderState::Completed).await;
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()), "held once");
    world.everything_is_explained();
}

#[tokio::test]
async fn an_order_is_202_while_the_ledger_never_answers_and_is_held_once_for_all_its_attempts() {
    let apart = Apart::new();
    let world = apart.world(Duration::from_millis(500)).await;
    world.with_600().await;
    world.ledger.set(LedgerMode::Hangs);
    let answer = world.post("/buy/2", json!({"fiat_amount": 30})).await;
    assert_eq!(answer.status, 202);
    world.swept(answer.order_id()).await;
    world.ledger.set(LedgerMode::Works);
    world.until(answer.order_id(), OrderState::Completed).await;
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));
    world.everything_is_explained();
}
