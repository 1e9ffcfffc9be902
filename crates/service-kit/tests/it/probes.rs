//! What a supervisor sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use service_kit::http::{guard, serve};
use service_kit::probes::{Check, Probes};
use tokio_util::sync::CancellationToken;

use crate::support::{Server, wide};

struct Database(AtomicBool);

#[async_trait::async_trait]
impl Check for Database {
    async fn check(&self) -> Result<(), String> {
        if self.0.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err("password for 10.0.0.7 is wrong".into())
        }
    }
}

struct Hanging;

#[async_trait::async_trait]
impl Check for Hanging {
    async fn check(&self) -> Result<(), String> {
        std::future::pending().await
    }
}

async fn server(probes: Probes) -> Server {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let router = guard(Router::new(), wide().0, &Arc::default()).merge(Router::from(probes.into_routes()));
    let ended = tokio::spawn(serve(listener, router, wide().1, stop.clone()));
    Server { address, stop, ended }
}

#[tokio::test]
async fn a_process_is_ready_while_everything_it_needs_answers() {
    let database = Arc::new(Database(true.into()));
    let probes = Probes::new(
        "0.1.0",
        CancellationToken::new(),
        vec![("database", database.clone() as Arc<dyn Check>)],
    );
    let server = server(probes).await;
    assert_eq!(
        server.get("/livez").await.json(),
        serde_json::json!({"status": "alive"})
    );
    assert_eq!(
        server.get("/readyz").await.json(),
        serde_json::json!({"status": "ready"})
    );
    let healthy =
        serde_json::json!({"status": "ok", "version": "0.1.0", "checks": {"database": "ok"}, "needs_operator": []});
    assert_eq!(server.get("/health").await.json(), healthy);

    database.0.store(false, Ordering::SeqCst);
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(
        ready.json(),
        serde_json::json!({"status": "not_ready", "failing": ["database"]})
    );
    let health = server.get("/health").await;
    assert_eq!(
        (health.status, health.json()["checks"]["database"].as_str()),
        (503, Some("failing"))
    );
    assert!(
        !health.text.contains("10.0.0.7"),
        "why is in the log, not in the answer"
    );
    assert_eq!(server.get("/livez").await.status, 200, "restarting would not help");
}

#[tokio::test]
async fn a_check_that_hangs_is_a_check_that_fails() {
    let database = Arc::new(Database(true.into()));
    let checks = vec![
        ("database", database as Arc<dyn Check>),
        ("transport", Arc::new(Hanging)),
    ];
    let server = server(Probes::new("0.1.0", CancellationToken::new(), checks)).await;
    assert_eq!(
        server.get("/readyz").await.json()["failing"],
        serde_json::json!(["transport"])
    );
}

#[tokio::test]
async fn a_process_that_is_stopping_is_alive_but_not_ready() {
    let stopping = CancellationToken::new();
    let server = server(Probes::new("0.1.0", stopping.clone(), Vec::new())).await;
    assert_eq!(server.get("/readyz").await.status, 200);
    stopping.cancel();
    assert_eq!(server.get("/readyz").await.status, 503);
    assert_eq!(server.get("/livez").await.status, 200);
}
