//! What a stranger can do to a connection, and how the listener ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get;
use service_kit::http::ServeLimits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use crate::support::{PATIENCE, Server, at_least_one, exchange, read_to_end, wide};

const SHORT: Duration = Duration::from_millis(150);

async fn peer(ConnectInfo(peer): ConnectInfo<SocketAddr>) -> String {
    peer.ip().to_string()
}

async fn server(limits: ServeLimits) -> Server {
    let large = get(|| async { vec![b'x'; 64 * 1024 * 1024] });
    let routes = Router::new().route("/peer", get(peer)).route("/large", large);
    Server::start_with(routes, wide().0, limits).await
}

#[tokio::test]
async fn handlers_know_the_peer_and_a_connection_serves_many_requests() {
    let server = server(wide().1).await;
    assert_eq!(server.get("/peer").await.text, "127.0.0.1");
    let mut stream = server.connect().await;
    let two = "GET /peer HTTP/1.1\r\nhost: x\r\n\r\nGET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answers = exchange(&mut stream, two.as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
}

#[tokio::test]
async fn headers_that_never_end_and_connections_that_say_nothing_are_closed() {
    let server = server(ServeLimits {
        header_timeout: SHORT,
        ..wide().1
    })
    .await;
    for sent in ["", "GET /peer HT", "GET /peer HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut stream = server.connect().await;
        let answer = exchange(&mut stream, sent.as_bytes()).await;
        assert!(!answer.contains("200 OK"), "{sent:?}: {answer}");
    }
    let mut stream = server.connect().await;
    let answer = exchange(&mut stream, b"GET /peer HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 200 OK"),
        "answered, and closed when idle: {answer}"
    );
}

#[tokio::test]
async fn headers_are_bounded_in_number_and_size() {
    let server = server(wide().1).await;
    let many: String = (0..80).map(|number| format!("x-{number}: 1\r\n")).collect();
    let long = format!("x-long: {}\r\n", "x".repeat(64 * 1024));
    for headers in [many, long] {
        let mut stream = server.connect().await;
        let request = format!("GET /peer HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let _ = stream.write_all(request.as_bytes()).await;
        let answer = read_to_end(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    assert_eq!(server.get("/peer").await.status, 200);
}

#[tokio::test]
async fn a_connection_too_many_waits_until_another_closes() {
    let server = server(ServeLimits {
        max_connections: at_least_one(1),
        ..wide().1
    })
    .await;
    let mut first = server.connect().await;
    first.write_all(b"GET /peer HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    first.read_u8().await.unwrap();
    let mut second = server.connect().await;
    second
        .write_all(b"GET /peer HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(
        tokio::time::timeout(SHORT, second.read_u8()).await.is_err(),
        "served beyond the bound"
    );
    drop(first);
    assert!(read_to_end(&mut second).await.starts_with("HTTP/1.1 200 OK"));
}

#[tokio::test]
async fn who_asks_and_never_reads_loses_the_place() {
    let limits = ServeLimits {
        max_connections: at_least_one(1),
        header_timeout: SHORT,
        ..wide().1
    };
    let server = server(limits).await;
    let mut greedy = server.connect().await;
    greedy
        .write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(server.get("/peer").await.status, 200, "the only place is free again");
    drop(greedy);
}

struct Slow {
    begun: Arc<Semaphore>,
    open: Arc<Notify>,
}

async fn slow_server(limits: ServeLimits) -> (Server, Slow) {
    let slow = Slow {
        begun: Arc::new(Semaphore::new(0)),
        open: Arc::new(Notify::new()),
    };
    let (begun, open) = (slow.begun.clone(), slow.open.clone());
    let handler = move || async move {
        begun.add_permits(1);
        open.notified().await;
        "finished"
    };
    (
        Server::start_with(Router::new().route("/slow", get(handler)), wide().0, limits).await,
        slow,
    )
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_in_flight_and_accepts_nothing_new() {
    let (server, slow) = slow_server(wide().1).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    slow.begun.acquire().await.unwrap().forget();

    server.stop.cancel();
    tokio::time::timeout(PATIENCE, async {
        while TcpStream::connect(server.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("still accepting");
    assert!(!server.ended.is_finished(), "a request is in flight");

    slow.open.notify_one();
    let answer = read_to_end(&mut stream).await;
    assert!(
        answer.ends_with("finished") && answer.to_lowercase().contains("connection: close"),
        "{answer}"
    );
    tokio::time::timeout(PATIENCE, server.ended)
        .await
        .expect("the listener never ends")
        .unwrap();
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_idle_connections() {
    let (server, _slow) = slow_server(wide().1).await;
    let mut silent = server.connect().await;
    let mut idle = server.connect().await;
    idle.write_all(b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    idle.read_u8().await.unwrap();

    let asked = Instant::now();
    server.stop.cancel();
    tokio::time::timeout(PATIENCE, server.ended)
        .await
        .expect("the listener never ends")
        .unwrap();
    assert!(asked.elapsed() < PATIENCE / 2);
    read_to_end(&mut idle).await;
    assert_eq!(read_to_end(&mut silent).await, "");
}

#[tokio::test]
async fn a_shutdown_cuts_off_what_does_not_end_in_time() {
    let (server, slow) = slow_server(ServeLimits {
        drain_timeout: SHORT,
        ..wide().1
    })
    .await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    slow.begun.acquire().await.unwrap().forget();
    server.stop.cancel();
    tokio::time::timeout(PATIENCE, server.ended)
        .await
        .expect("the listener never ends")
        .unwrap();
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn a_connection_that_breaks_is_nobody_elses_trouble() {
    let server = server(wide().1).await;
    for garbage in [
        "\r\n\r\n\r\n",
        "GARBAGE",
        "GET / HTTP/9.9\r\n\r\n",
        "\0\0\0\0",
        "GET /peer HTTP/1.1\r\nhost x\r\n\r\n",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(garbage.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer).await;
        assert!(read.is_ok() || read.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionReset));
        assert!(!String::from_utf8_lossy(&answer).contains("200 OK"), "{garbage:?}");
    }
    assert_eq!(server.get("/peer").await.status, 200);
}
