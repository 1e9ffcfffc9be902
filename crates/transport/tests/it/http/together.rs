//! Questions that come one by one: asked together, answered each for itself, and unknown where anything went wrong.

use futures::future::join_all;
use serde::{Deserialize, Serialize};
use transport::http::Together;
use transport::http::retry::Repeat;

use super::peer::{Manner, Scripted, Seen, answer, json, problem};
use super::{brisk, patient, way_to};
use crate::given::soon;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Doubled {
    Is(u32),
    Unknown(String),
}

impl Doubled {
    #[track_caller]
    fn reason(&self) -> &str {
        match self {
            Self::Is(_) => panic!("{self:?} is known"),
            Self::Unknown(reason) => reason,
        }
    }
}

fn numbers(seen: &Seen) -> Vec<u32> {
    serde_json::from_str(&seen.body).unwrap()
}

fn doubled(seen: &Seen) -> String {
    let doubled: Vec<_> = numbers(seen).iter().map(|number| Doubled::Is(number * 2)).collect();
    json("200 OK", &serde_json::to_string(&doubled).unwrap())
}

fn doubling(peer: &Scripted, repeat: Repeat) -> Together<u32, Doubled> {
    Together::new(way_to(&peer.address, brisk()), "/doubled", repeat, Doubled::Unknown)
}

async fn all(doubling: &Together<u32, Doubled>, numbers: std::ops::RangeInclusive<u32>) -> Vec<Doubled> {
    soon(join_all(numbers.map(|number| doubling.ask(number)))).await
}

#[tokio::test]
async fn who_asks_at_once_travels_together_and_gets_an_answer_of_their_own() {
    let peer = Scripted::new(|_, seen| Manner::Says(doubled(seen))).await;
    let answers = all(&doubling(&peer, Repeat::Always), 1..=1_000).await;
    assert!(
        answers
            .into_iter()
            .eq((1..=1_000).map(|number| Doubled::Is(number * 2)))
    );
    let sizes: Vec<_> = peer.seen().iter().map(|seen| numbers(seen).len()).collect();
    assert_eq!(sizes, [100; 10]);
}

#[tokio::test]
async fn who_asks_alone_is_not_kept_waiting_for_company() {
    let peer = Scripted::new(|_, seen| Manner::Says(doubled(seen))).await;
    let doubling = doubling(&peer, Repeat::Always);
    for number in 1..=3 {
        assert_eq!(soon(doubling.ask(number)).await, Doubled::Is(number * 2));
    }
    assert_eq!(peer.seen().len(), 3);
}

#[tokio::test]
async fn late_answers_hold_up_only_what_travels_with_them() {
    let peer = Scripted::new(|_, seen| match numbers(seen)[0] {
        ..=10 => Manner::Waits(doubled(seen)),
        _ => Manner::Says(doubled(seen)),
    })
    .await;
    let doubling = Together::new(
        way_to(&peer.address, patient()),
        "/doubled",
        Repeat::Always,
        Doubled::Unknown,
    );
    // One after the other, so that each travels alone: more of them than there are lanes.
    let mut late = Vec::new();
    for number in 1..=10 {
        let doubling = doubling.clone();
        late.push(tokio::spawn(async move { doubling.ask(number).await }));
        soon(peer.arrived(late.len())).await;
    }
    assert_eq!(soon(doubling.ask(11)).await, Doubled::Is(22));
    assert!(late.iter().all(|asking| !asking.is_finished()));
    peer.open_the_gate();
    for (number, asking) in (1..).zip(late) {
        assert_eq!(soon(asking).await.unwrap(), Doubled::Is(number * 2));
    }
}

/// Whatever is no answer of the peer itself: a wrong token, a wrong address, a stranger, a proxy, half an answer, silence.
#[tokio::test]
async fn whatever_is_no_answer_is_unknown_and_never_asked_twice_where_it_may_have_had_an_effect() {
    let refusal = |status: &str, code: &str| problem(status.parse().unwrap(), code, "");
    let whole = json("200 OK", r#"[{"is": 2}]"#);
    let strange = [
        (refusal("401", "unauthorized"), "CAMBIST_INTERNAL_TOKEN)"),
        (refusal("403", "forbidden"), "does not serve this caller"),
        (refusal("404", "not_found"), "not found"),
        (json("404 Not Found", "{}"), "CAMBIST_BALANCE_URL"),
        (refusal("409", "already_exists"), "already there"),
        (refusal("422", "invalid"), "cannot make sense"),
        (refusal("500", "internal"), "500"),
        (refusal("503", "timeout"), "503"),
        (answer("502 Bad Gateway", "text/html", "", "<html>"), "502"),
        (answer("302 Found", "text/html", "location: /doubled\r\n", ""), "302"),
        (json("200 OK", "[]"), "0 outcomes for 1"),
        (json("200 OK", r#"[{"is": 2}, {"is": 4}]"#), "2 outcomes for 1"),
        (json("200 OK", r#"[{"was": 2}]"#), "unknown variant"),
        (json("200 OK", r#"{"is": 2}"#), "cannot be read"),
        (whole[..whole.len() - 3].to_owned(), ""),
        (String::new(), ""),
    ];
    for (said, reason) in strange {
        let manner = said.clone();
        let peer = Scripted::new(move |_, _| Manner::SaysAndCloses(manner.clone())).await;
        let answer = soon(doubling(&peer, Repeat::IfNothingWasDone).ask(1)).await;
        assert!(answer.reason().contains(reason), "{said}: {answer:?}");
        assert_eq!(peer.seen().len(), 1, "{said}");
    }
    let peer = Scripted::new(|_, _| Manner::IsSilent).await;
    soon(doubling(&peer, Repeat::IfNothingWasDone).ask(1)).await.reason();
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test]
async fn what_may_be_repeated_is() {
    let peer = Scripted::new(|number, seen| match number {
        0 => Manner::SaysAndCloses(String::new()),
        _ => Manner::Says(doubled(seen)),
    })
    .await;
    assert_eq!(soon(doubling(&peer, Repeat::Always).ask(1)).await, Doubled::Is(2));
    let full = Scripted::new(|number, seen| match number {
        0 => Manner::Says(problem(503, "overloaded", "retry-after: 0\r\n")),
        _ => Manner::Says(doubled(seen)),
    })
    .await;
    let asked = soon(doubling(&full, Repeat::IfNothingWasDone).ask(1)).await;
    assert_eq!(asked, Doubled::Is(2), "nothing was done the first time");
}

#[tokio::test]
async fn one_that_the_peer_cannot_make_sense_of_spoils_nothing_for_the_others() {
    let peer = Scripted::new(|_, seen| {
        Manner::Says(if numbers(seen).contains(&7) {
            problem(422, "invalid", "")
        } else {
            doubled(seen)
        })
    })
    .await;
    let answers = all(&doubling(&peer, Repeat::IfNothingWasDone), 1..=16).await;
    for (number, answer) in (1..).zip(answers) {
        match number {
            7 => assert!(answer.reason().contains("cannot make sense"), "{answer:?}"),
            _ => assert_eq!(answer, Doubled::Is(number * 2)),
        }
    }
}

#[tokio::test]
async fn what_was_heard_before_something_went_wrong_was_heard() {
    // The request is cut in half for the sake of one, and the second half gets lost.
    let peer = Scripted::new(|_, seen| match numbers(seen)[..] {
        [1, .., 4] => Manner::Says(problem(422, "invalid", "")),
        [1, ..] => Manner::Says(doubled(seen)),
        _ => Manner::SaysAndCloses(String::new()),
    })
    .await;
    let answers = all(&doubling(&peer, Repeat::IfNothingWasDone), 1..=4).await;
    assert_eq!(answers[..2], [Doubled::Is(2), Doubled::Is(4)]);
    for answer in &answers[2..] {
        assert!(!answer.reason().contains("make sense"), "{answer:?}");
    }
    assert_eq!(peer.seen().len(), 3);
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_in_the_line_is_not_sent() {
    let peer = Scripted::new(|_, seen| Manner::Says(doubled(seen))).await;
    let doubling = doubling(&peer, Repeat::Always);
    let mut given_up = Box::pin(doubling.ask(1));
    assert!(futures::poll!(&mut given_up).is_pending(), "it stands in line");
    drop(given_up);
    assert_eq!(soon(doubling.ask(2)).await, Doubled::Is(4));
    let sent: Vec<_> = peer.seen().iter().flat_map(numbers).collect();
    assert_eq!(sent, [2]);
}
