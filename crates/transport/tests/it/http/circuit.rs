//! A peer that is away: whoever asks is told so at once, one looks whether it is back, and it is noticed when it is.

use std::sync::Arc;
use std::time::Duration;

use contracts::clients::{Balance as _, ClientError};
use tokio::net::TcpSocket;
use transport::http::failure::FailureKind;
use transport::http::{HttpBalance, Options, circuit, retry};

use super::peer::{Manner, Scripted, json};
use super::{WALLET, balance_at, brisk, patient, places, user};
use crate::given::soon;

/// Two failures open it, for some twenty milliseconds; an attempt a call.
fn touchy(options: Options) -> Options {
    Options {
        circuit: circuit::Rules {
            failures: 2,
            first_rest: Duration::from_millis(20),
            longest_rest: Duration::from_millis(40),
        },
        retry: retry::Rules {
            attempts: 1,
            ..retry::Rules::default()
        },
        ..options
    }
}

/// As [`touchy`], open for longer than any test takes.
fn lasting(options: Options) -> Options {
    let touchy = touchy(options);
    Options {
        circuit: circuit::Rules {
            first_rest: Duration::from_secs(600),
            longest_rest: Duration::from_secs(600),
            ..touchy.circuit
        },
        ..touchy
    }
}

/// A port that nobody else gets and nobody listens at.
fn a_dead_port() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    (socket, address)
}

async fn asked(balance: &HttpBalance) -> Result<(), ClientError> {
    soon(balance.wallet(user()))
        .await
        .map(|wallet| assert!(wallet.is_some()))
}

#[tokio::test]
async fn a_peer_that_is_down_is_asked_no_more_and_every_caller_is_told_at_once() {
    let (_socket, address) = a_dead_port();
    let balance = balance_at(&address, lasting(brisk()));
    for _ in 0..1_000 {
        assert!(matches!(asked(&balance).await, Err(ClientError::Unavailable(_))));
    }
    let metrics = balance.0.metrics();
    assert_eq!(metrics.requests.get(), 2, "nobody was asked once it was open");
    assert_eq!(metrics.failures(FailureKind::Unreachable), 2);
    assert_eq!((metrics.opened.get(), metrics.circuit()), (1, 2));
}

#[tokio::test]
async fn a_peer_that_comes_back_is_noticed() {
    let (socket, address) = a_dead_port();
    let balance = balance_at(&address, touchy(brisk()));
    while balance.0.metrics().opened.get() < 3 {
        assert!(asked(&balance).await.is_err());
        tokio::task::yield_now().await;
    }
    let peer = Scripted::on(socket.listen(16).unwrap(), |_, _| Manner::Says(json("200 OK", WALLET)));
    let back = async {
        while asked(&balance).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    soon(back).await;
    assert_eq!(balance.0.metrics().circuit(), 0, "closed");
    assert_eq!(peer.seen().len(), 1, "the probe was answered, and so were all after it");
    asked(&balance).await.unwrap();
}

#[tokio::test]
async fn one_at_a_time_looks_whether_the_peer_is_back() {
    let peer = Scripted::new(|number, _| match number {
        0 | 1 => Manner::SaysAndCloses(String::new()),
        _ => Manner::Waits(json("200 OK", WALLET)),
    })
    .await;
    let balance = balance_at(&peer.address, touchy(patient()));
    assert!(asked(&balance).await.is_err() && asked(&balance).await.is_err());
    assert_eq!(balance.0.metrics().circuit(), 2, "open");
    let crowd: Vec<_> = (0..20).map(|_| tokio::spawn(probing(Arc::clone(&balance)))).collect();
    peer.arrived(3).await;
    // Everybody else is refused while it is under way, however often they ask.
    for _ in 0..100 {
        assert!(matches!(asked(&balance).await, Err(ClientError::Unavailable(_))));
    }
    assert_eq!(peer.seen().len(), 3);
    peer.open_the_gate();
    for one in crowd {
        soon(one).await.unwrap();
    }
    assert_eq!(balance.0.metrics().circuit(), 0);
}

/// Asks until there is an answer.
async fn probing(balance: Arc<HttpBalance>) {
    while asked(&balance).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_probe_whose_caller_went_away_does_not_keep_the_circuit_open() {
    let peer = Scripted::new(|number, _| match number {
        0 | 1 => Manner::SaysAndCloses(String::new()),
        2 => Manner::IsSilent,
        _ => Manner::Says(json("200 OK", WALLET)),
    })
    .await;
    let balance = balance_at(&peer.address, touchy(patient()));
    assert!(asked(&balance).await.is_err() && asked(&balance).await.is_err());
    let probe = tokio::spawn(probing(Arc::clone(&balance)));
    peer.arrived(3).await;
    probe.abort();
    soon(probing(balance)).await;
}

#[tokio::test]
async fn a_peer_that_refuses_or_stumbles_is_there() {
    for answer in [
        super::peer::problem(401, "unauthorized", ""),
        super::peer::problem(500, "internal", ""),
        super::peer::problem(503, "overloaded", "retry-after: 60\r\n"),
        super::peer::problem(404, "not_found", ""),
        super::peer::problem(418, "of_a_newer_version", ""),
        json("200 OK", r#"{"of": "a newer version"}"#),
    ] {
        let peer = Scripted::new(move |_, _| Manner::Says(answer.clone())).await;
        let balance = balance_at(&peer.address, lasting(brisk()));
        for _ in 0..5 {
            let _ = soon(balance.wallet(user())).await;
        }
        assert_eq!((peer.seen().len(), balance.0.metrics().circuit()), (5, 0));
    }
}

#[tokio::test]
async fn what_is_no_answer_of_the_service_speaks_against_it() {
    for garbage in [json("200 OK", "<html>"), json("418 Teapot", "{}")] {
        let peer = Scripted::new(move |_, _| Manner::Says(garbage.clone())).await;
        let balance = balance_at(&peer.address, lasting(brisk()));
        for _ in 0..5 {
            assert!(asked(&balance).await.is_err());
        }
        assert_eq!((peer.seen().len(), balance.0.metrics().circuit()), (2, 2));
    }
}

#[tokio::test]
async fn attempts_that_had_too_little_time_do_not_speak_against_the_peer() {
    let peer = Scripted::new(|_, _| Manner::IsSilent).await;
    let options = Options {
        attempt_timeout: Duration::from_secs(30),
        call_timeout: Duration::from_millis(200),
        ..lasting(brisk())
    };
    let balance = balance_at(&peer.address, options);
    for _ in 0..3 {
        assert!(matches!(asked(&balance).await, Err(ClientError::Unavailable(_))));
    }
    let metrics = balance.0.metrics();
    assert_eq!(
        (metrics.requests.get(), metrics.failures(FailureKind::TimedOut)),
        (3, 3)
    );
    assert_eq!((metrics.opened.get(), metrics.circuit()), (0, 0));
}

#[tokio::test]
async fn so_many_are_under_way_at_once_and_no_more() {
    let peer = Scripted::new(|_, _| Manner::Waits(json("200 OK", WALLET))).await;
    let options = Options {
        in_flight: places(2),
        ..patient()
    };
    let balance = balance_at(&peer.address, options);
    let crowd: Vec<_> = (0..6)
        .map(|_| {
            let balance = Arc::clone(&balance);
            tokio::spawn(async move { asked(&balance).await })
        })
        .collect();
    peer.arrived(2).await;
    assert_eq!((peer.seen().len(), balance.0.metrics().requests.get()), (2, 2));
    peer.open_the_gate();
    for one in crowd {
        soon(one).await.unwrap().unwrap();
    }
    assert_eq!(peer.seen().len(), 6);
}

#[tokio::test]
async fn who_finds_no_place_in_time_is_told_that_nothing_was_done() {
    let peer = Scripted::new(|_, _| Manner::IsSilent).await;
    let options = Options {
        in_flight: places(1),
        attempt_timeout: Duration::from_secs(30),
        call_timeout: Duration::from_millis(500),
        ..brisk()
    };
    let balance = balance_at(&peer.address, options);
    let crowd: Vec<_> = (0..8)
        .map(|_| {
            let balance = Arc::clone(&balance);
            tokio::spawn(async move { asked(&balance).await })
        })
        .collect();
    let mut full = 0;
    for one in crowd {
        match soon(one).await.unwrap() {
            Err(ClientError::Overloaded { .. }) => full += 1,
            Err(ClientError::Unavailable(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    let sent = balance.0.metrics().requests.get();
    assert!(
        full >= 1 && sent >= 1,
        "{full} found no place, {sent} requests were sent"
    );
    assert_eq!(full + sent, 8, "each either was sent, or did nothing");
}
