//! Peers that behave badly: whatever they do, the answer is either theirs or unknown.

use std::time::{Duration, Instant};

use contracts::clients::{Balance as _, ClientError, Opened};
use transport::http::failure::FailureKind;
use transport::http::{Options, retry};

use super::peer::{Manner, Scripted, answer, json, problem};
use super::{WALLET, balance_at, brisk, user};
use crate::given::soon;

fn is_unknown<T: std::fmt::Debug>(answer: &Result<T, ClientError>) -> bool {
    matches!(answer, Err(ClientError::Unavailable(_)))
}

#[tokio::test]
async fn a_peer_that_accepts_and_never_answers_is_unknown_within_the_calls_time() {
    let peer = Scripted::new(|_, _| Manner::IsSilent).await;
    let balance = balance_at(&peer.address, brisk());
    let answer = soon(balance.wallet(user())).await;
    assert!(is_unknown(&answer), "{answer:?}");
    assert_eq!(peer.seen().len(), 3, "as often as allowed");
    assert_eq!(balance.0.metrics().failures(FailureKind::TimedOut), 3);
    assert_eq!(balance.0.metrics().retries.get(), 2);
}

#[tokio::test]
async fn the_calls_time_ends_attempts_that_would_be_left() {
    let peer = Scripted::new(|_, _| Manner::IsSilent).await;
    let options = Options {
        attempt_timeout: Duration::from_secs(60),
        call_timeout: Duration::from_millis(300),
        ..brisk()
    };
    let answer = soon(balance_at(&peer.address, options).wallet(user())).await;
    assert!(is_unknown(&answer), "{answer:?}");
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test]
async fn half_an_answer_is_none_and_is_asked_for_again() {
    let whole = json("200 OK", WALLET);
    let half = whole[..whole.len() / 2].to_owned();
    let half_a_body = whole[..whole.len() - 3].to_owned();
    let peer = Scripted::new(move |number, _| match number {
        0 => Manner::SaysAndCloses(half.clone()),
        1 => Manner::SaysAndCloses(half_a_body.clone()),
        _ => Manner::Says(whole.clone()),
    })
    .await;
    let balance = balance_at(&peer.address, brisk());
    let wallet = soon(balance.wallet(user())).await.unwrap().unwrap();
    assert_eq!(wallet.user_id, user());
    assert_eq!(
        (peer.seen().len(), balance.0.metrics().failures(FailureKind::Broken)),
        (3, 2)
    );
}

#[tokio::test]
async fn half_a_refusal_is_no_refusal() {
    let whole = problem(404, "not_found", "");
    let half = whole[..whole.len() - 4].to_owned();
    let peer = Scripted::new(move |_, _| Manner::SaysAndCloses(half.clone())).await;
    let answer = soon(balance_at(&peer.address, brisk()).wallet(user())).await;
    assert!(is_unknown(&answer), "not even that there is no wallet: {answer:?}");
}

#[tokio::test]
async fn garbage_is_unknown() {
    for garbage in [
        "SSH-2.0-OpenSSH\r\n".to_owned(),
        json("200 OK", "<html>"),
        json("200 OK", "{}"),
        json("200 OK", &WALLET.replace("2,", "3,")),
        json("418 Teapot", "{}"),
        answer(
            "404 Not",
            "application/problem+json",
            "",
            r#"{"status": 405, "code": "not_found"}"#,
        ),
        answer("302 Found", "text/plain", "location: http://127.0.0.1:1/\r\n", ""),
    ] {
        let said = garbage.clone();
        let peer = Scripted::new(move |_, _| Manner::SaysAndCloses(said.clone())).await;
        let answer = soon(balance_at(&peer.address, brisk()).wallet(user())).await;
        let told_where = garbage.contains("404") && matches!(answer, Err(ClientError::Denied(_)));
        assert!(is_unknown(&answer) || told_where, "{garbage}: {answer:?}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off_at_its_bound() {
    let endless = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 9000000000\r\n\r\n{}",
        " ".repeat(64 * 1024)
    );
    let peer = Scripted::new(move |_, _| Manner::Says(endless.clone())).await;
    let options = Options {
        answer_bytes: 16 * 1024,
        ..brisk()
    };
    let balance = balance_at(&peer.address, options);
    assert!(is_unknown(&soon(balance.wallet(user())).await));
    assert_eq!(balance.0.metrics().failures(FailureKind::Unreadable), 3);
}

#[tokio::test]
async fn who_asks_to_be_left_alone_for_a_second_is() {
    let wallet = json("200 OK", WALLET);
    let peer = Scripted::new(move |number, _| match number {
        0 => Manner::Says(problem(503, "unavailable", "retry-after: 1\r\n")),
        _ => Manner::Says(wallet.clone()),
    })
    .await;
    assert!(
        soon(balance_at(&peer.address, brisk()).wallet(user()))
            .await
            .unwrap()
            .is_some()
    );
    let seen = peer.seen();
    assert!(seen[1].at - seen[0].at >= Duration::from_secs(1), "asked too early");
}

#[tokio::test]
async fn who_asks_to_be_left_alone_for_longer_than_the_call_is_not_waited_for() {
    for (code, is_full) in [("unavailable", false), ("overloaded", true)] {
        let peer = Scripted::new(move |_, _| Manner::Says(problem(503, code, "retry-after: 60\r\n"))).await;
        let began = Instant::now();
        let answer = soon(balance_at(&peer.address, brisk()).post(Vec::from([super::batches::pay_in(1)]))).await;
        assert!(began.elapsed() < Duration::from_secs(30) && peer.seen().len() == 1);
        let retry_after = Duration::from_secs(60);
        match answer {
            Err(error) if is_full => assert_eq!(error, ClientError::Overloaded { retry_after }),
            other => assert!(!is_full && is_unknown(&other), "{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_peer_that_was_full_after_an_attempt_got_lost_did_not_certainly_do_nothing() {
    let peer = Scripted::new(|number, _| match number {
        0 => Manner::SaysAndCloses(String::new()),
        _ => Manner::Says(problem(503, "overloaded", "retry-after: 60\r\n")),
    })
    .await;
    let answer = soon(balance_at(&peer.address, brisk()).post(vec![super::batches::pay_in(1)])).await;
    assert!(is_unknown(&answer), "{answer:?}");
    assert_eq!(peer.seen().len(), 2);
}

#[tokio::test]
async fn connections_that_are_closed_between_requests_cost_no_answer() {
    let peer = Scripted::new(|_, _| Manner::SaysAndCloses(json("200 OK", WALLET))).await;
    let balance = balance_at(&peer.address, brisk());
    for _ in 0..50 {
        assert!(soon(balance.wallet(user())).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_wallet_that_may_have_been_opened_is_not_opened_again_to_be_told_that_it_is_there() {
    let peer = Scripted::new(|number, _| match number {
        0 => Manner::SaysAndCloses(String::new()),
        _ => Manner::Says(problem(409, "already_exists", "")),
    })
    .await;
    let balance = balance_at(&peer.address, brisk());
    assert!(is_unknown(&soon(balance.open_wallet(user())).await));
    assert_eq!(peer.seen().len(), 1);
    assert_eq!(soon(balance.open_wallet(user())).await, Ok(Opened::Before));
}

#[tokio::test]
async fn what_was_not_looked_at_is_sent_again_whatever_it_is() {
    let peer = Scripted::new(|number, _| match number {
        0 => Manner::Says(problem(503, "overloaded", "retry-after: 0\r\n")),
        _ => Manner::Says(json("201 Created", WALLET)),
    })
    .await;
    let options = Options {
        retry: retry::Rules {
            attempts: 2,
            ..retry::Rules::default()
        },
        ..brisk()
    };
    let balance = balance_at(&peer.address, options);
    assert_eq!(soon(balance.open_wallet(user())).await, Ok(Opened::Now));
}

#[tokio::test]
async fn what_an_attempt_before_may_have_booked_is_not_refused_by_one_that_cannot_read_it() {
    let peer = Scripted::new(|number, _| match number {
        // Booked, and the answer lost; then a replica of an older version answers.
        0 => Manner::SaysAndCloses(String::new()),
        _ => Manner::Says(problem(422, "invalid", "")),
    })
    .await;
    let answer = soon(balance_at(&peer.address, brisk()).post(vec![super::batches::pay_in(1)])).await;
    assert!(is_unknown(&answer), "{answer:?}");
    assert_eq!(peer.seen().len(), 3, "a newer one might have answered");
}
