//! Batches: split within their bounds, put together in their order, and nobody refused for a neighbour.

use contracts::clients::{Balance as _, ClientError};
use contracts::ledger::{Leg, MAX_POSTINGS, Origin, Owner, Posting, PostingOutcome, Refusal, Transfer, TransferId};
use contracts::{Amount, Asset, DepositId};

use super::peer::{Manner, Scripted, Seen, answer, json, problem};
use super::{balance_at, brisk, user};
use crate::given::soon;

pub(super) fn pay_in(deposit: i64) -> Posting {
    Posting::single(Transfer {
        id: TransferId {
            origin: Origin::Deposit(DepositId::try_new(deposit).unwrap()),
            leg: Leg::Deposit,
        },
        debit: Owner::ExternalBank,
        credit: Owner::wallet(user()),
        amount: Amount::parse("1", Asset::USD).unwrap(),
        reason: "a test".to_owned(),
        actor: "wallet".to_owned(),
    })
}

fn deposits(seen: &Seen) -> Vec<i64> {
    let postings: Vec<Posting> = serde_json::from_str(&seen.body).unwrap();
    let number = |posting: &Posting| posting.transfers[0].id.origin.parts().1;
    postings.iter().map(number).collect()
}

/// Even ones are new, odd ones were booked before.
fn outcomes(seen: &Seen) -> String {
    let outcome = |number: &i64| PostingOutcome::Posted {
        replayed: number % 2 == 1,
    };
    let outcomes: Vec<_> = deposits(seen).iter().map(outcome).collect();
    json("200 OK", &serde_json::to_string(&outcomes).unwrap())
}

#[tokio::test]
async fn more_than_a_request_carries_is_split_and_answered_in_order() {
    let peer = Scripted::new(|_, seen| Manner::Says(outcomes(seen))).await;
    let postings: Vec<_> = (1..=250).map(pay_in).collect();
    let answered = soon(balance_at(&peer.address, brisk()).post(postings)).await.unwrap();
    let expected = (1..=250).map(|number| PostingOutcome::Posted {
        replayed: number % 2 == 1,
    });
    assert!(answered.into_iter().eq(expected));
    let sizes: Vec<_> = peer.seen().iter().map(|seen| deposits(seen).len()).collect();
    assert_eq!(sizes, [MAX_POSTINGS, MAX_POSTINGS, 50]);
}

#[tokio::test]
async fn nothing_to_say_is_not_said() {
    let peer = Scripted::new(|_, _| Manner::IsSilent).await;
    assert_eq!(
        soon(balance_at(&peer.address, brisk()).post(Vec::new())).await,
        Ok(Vec::new())
    );
    assert_eq!(peer.seen().len(), 0);
}

#[tokio::test]
async fn one_that_makes_no_sense_is_refused_alone() {
    let spoiled = |seen: &Seen| deposits(seen).contains(&7);
    let peer = Scripted::new(move |_, seen| {
        let refusal = r#"{"status": 422, "code": "invalid", "errors": [{"pointer": "/0", "detail": "no leg"}]}"#;
        Manner::Says(if spoiled(seen) {
            answer("422 No", "application/problem+json", "", refusal)
        } else {
            outcomes(seen)
        })
    })
    .await;
    let postings: Vec<_> = (1..=16).map(pay_in).collect();
    let answered = soon(balance_at(&peer.address, brisk()).post(postings)).await.unwrap();
    assert_eq!(answered.len(), 16);
    for (number, outcome) in (1..).zip(answered) {
        let expected = if number == 7 {
            let detail = "/0: no leg".to_owned();
            PostingOutcome::Refused {
                refusal: Refusal::Invalid { detail },
            }
        } else {
            PostingOutcome::Posted {
                replayed: number % 2 == 1,
            }
        };
        assert_eq!(outcome, expected, "posting {number}");
    }
    assert!(peer.seen().len() <= 10, "halves, not one by one");
}

#[tokio::test]
async fn one_that_no_service_would_read_is_refused_unsent() {
    let peer = Scripted::new(|_, seen| Manner::Says(outcomes(seen))).await;
    let mut long = pay_in(2);
    long.transfers[0].reason = "x".repeat(contracts::clients::MAX_BATCH_BYTES);
    let answered = soon(balance_at(&peer.address, brisk()).post(vec![pay_in(1), long, pay_in(3)]))
        .await
        .unwrap();
    let booked = PostingOutcome::Posted { replayed: true };
    assert_eq!((&answered[0], &answered[2]), (&booked, &booked));
    assert!(matches!(
        answered[1],
        PostingOutcome::Refused {
            refusal: Refusal::Invalid { .. }
        }
    ));
    let sent: Vec<_> = peer.seen().iter().flat_map(deposits).collect();
    assert_eq!(sent, [1, 3]);
}

#[tokio::test]
async fn outcomes_that_are_too_few_or_too_many_are_unknown() {
    for body in [
        "[]",
        r#"[{"outcome": "posted", "replayed": false}, {"outcome": "posted", "replayed": false}]"#,
    ] {
        let peer = Scripted::new(move |_, _| Manner::Says(json("200 OK", body))).await;
        let answered = soon(balance_at(&peer.address, brisk()).post(vec![pay_in(1)])).await;
        assert!(matches!(answered, Err(ClientError::Unavailable(_))), "{answered:?}");
    }
}

#[tokio::test]
async fn a_batch_whose_first_half_was_done_did_not_do_nothing() {
    let peer = Scripted::new(|number, seen| match number {
        0 => Manner::Says(outcomes(seen)),
        _ => Manner::Says(problem(503, "overloaded", "retry-after: 60\r\n")),
    })
    .await;
    let postings: Vec<_> = (1..=200).map(pay_in).collect();
    let answered = soon(balance_at(&peer.address, brisk()).post(postings)).await;
    assert!(matches!(answered, Err(ClientError::Unavailable(_))), "{answered:?}");
}
