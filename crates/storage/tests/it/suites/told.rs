//! What the command store promises of outside silences, of cancelling, and of failures: whoever has to know is told.

use contracts::messages::{FailureCode, Queue, Status, StepResult};
use storage::commands::{Acceptance, CommandStore, Entombment, Fencing, Settlement, State};

use super::commands::{finished, postponed};
use super::{a_fresh_store, a_store_that_tells_nobody};
use crate::given::{command, key, noon, noon_plus, success};

#[tokio::test]
async fn the_sagas_hear_once_of_an_outside_silence_that_lasts() {
    let mut given = a_fresh_store().await;
    given.accept(1, "buy").await;
    given.said();
    let mut said_at = Vec::new();
    for second in [0, 10, 19, 20, 25, 40] {
        let epoch = given.claim(1, second).await.unwrap().epoch;
        given.settle(second, 1, epoch, postponed(second, true)).await;
        said_at.extend(given.said().into_iter().map(|said| (second, said)));
    }
    assert_eq!(
        said_at,
        [(20, (Queue::SagaSteps, Status::Unresolved))],
        "the silence began at 0 and lasts 20"
    );

    // The answer came, and the next silence is a new one.
    let epoch = given.claim(1, 50).await.unwrap().epoch;
    given.settle(50, 1, epoch, postponed(50, false)).await;
    for second in [60, 79] {
        let epoch = given.claim(1, second).await.unwrap().epoch;
        given.settle(second, 1, epoch, postponed(second, true)).await;
        assert_eq!(given.said(), [], "at {second}");
    }
}

#[tokio::test]
async fn an_outside_silence_is_told_again_to_who_asks_again() {
    let mut given = a_fresh_store().await;
    given.accept(1, "buy").await;
    for second in [0, 20] {
        let epoch = given.claim(1, second).await.unwrap().epoch;
        given.settle(second, 1, epoch, postponed(second, true)).await;
    }
    given.said();
    assert_eq!(given.accept(1, "buy").await, Acceptance::Known);
    assert_eq!(
        given.said(),
        [
            (Queue::ExchangeOrders, Status::Accepted),
            (Queue::SagaSteps, Status::Unresolved)
        ]
    );
}

#[tokio::test]
async fn a_new_attempt_ends_the_silence_about_the_one_before() {
    let mut given = a_fresh_store().await;
    given.accept(1, "buy").await;
    let epoch = given.claim(1, 0).await.unwrap().epoch;
    given.settle(0, 1, epoch, postponed(15, true)).await;
    let epoch = given.claim(1, 15).await.unwrap().epoch;
    let stored = given
        .commands
        .checkpoint(noon_plus(15), key(1), epoch, "attempt 2".to_owned())
        .await;
    assert_eq!(stored, Ok(Fencing::Written));
    given.said();
    given.settle(16, 1, epoch, postponed(30, true)).await;
    let epoch = given.claim(1, 30).await.unwrap().epoch;
    given.settle(30, 1, epoch, postponed(36, true)).await;
    assert_eq!(given.said(), [], "silent for 14 seconds, not for 30");
    let epoch = given.claim(1, 36).await.unwrap().epoch;
    given.settle(36, 1, epoch, postponed(37, true)).await;
    assert_eq!(given.said(), [(Queue::SagaSteps, Status::Unresolved)]);
}

#[tokio::test]
async fn a_cancelled_command_never_runs_wherever_it_was() {
    let mut given = a_fresh_store().await;
    let never = |_: &str| false;
    let cancelled = FailureCode::Cancelled;
    given.accept(2, "buy").await;
    given.accept(3, "buy").await;
    let holder = given.claim(3, 0).await.unwrap().epoch;
    given.said();
    for order in [1, 2, 3] {
        for _ in 0..2 {
            let entombed = given
                .commands
                .entomb(noon_plus(1), command(order, "buy"), cancelled, never)
                .await;
            assert_eq!(
                entombed,
                Ok(Entombment::Entombed),
                "absent, accepted or claimed: {order}"
            );
        }
        assert_eq!(
            given.said(),
            [(Queue::SagaSteps, Status::Failed)],
            "said once for {order}"
        );
        assert_eq!(given.accept(order, "buy").await, Acceptance::Known, "a late copy");
        assert_eq!(given.said(), [(Queue::SagaSteps, Status::Failed)], "answers failed");
    }
    assert_eq!(given.settle(2, 3, holder, finished()).await, Fencing::Fenced);
    let record = given.commands.record(key(3)).await.unwrap().unwrap();
    assert!(matches!(
        record.result,
        Some(StepResult::Failure {
            code: FailureCode::Cancelled,
            ..
        })
    ));
}

#[tokio::test]
async fn a_command_beyond_recall_or_ended_is_not_cancelled() {
    let mut given = a_fresh_store().await;
    given.accept(1, "buy").await;
    let signed = |progress: &str| progress == "attempt 1";
    let answer = given
        .commands
        .entomb(noon(), command(1, "buy"), FailureCode::Cancelled, signed)
        .await
        .unwrap();
    assert!(matches!(answer, Entombment::TooLate(record) if record.state == State::Open));
    let epoch = given.claim(1, 0).await.unwrap().epoch;
    assert_eq!(given.settle(1, 1, epoch, finished()).await, Fencing::Written);
    given.said();
    let never = |_: &str| false;
    let answer = given
        .commands
        .entomb(noon(), command(1, "buy"), FailureCode::Cancelled, never)
        .await
        .unwrap();
    assert!(matches!(answer, Entombment::TooLate(record) if record.state == State::Done));
    assert_eq!(given.said(), []);
}

#[tokio::test]
async fn a_failure_of_which_nobody_is_told_leaves_a_letter() {
    let mut given = a_store_that_tells_nobody().await;
    for order in [1, 2] {
        given.accept(order, "mail").await;
        let epoch = given.claim(order, 0).await.unwrap().epoch;
        let result = if order == 1 {
            success()
        } else {
            StepResult::Failure {
                code: FailureCode::NotExecuted,
                detail: "no such\u{0}address".to_owned(),
            }
        };
        let settlement = Settlement::Finished { result, progress: None };
        assert_eq!(given.settle(1, order, epoch, settlement).await, Fencing::Written);
    }
    assert_eq!(
        given.said(),
        [(Queue::ExchangeOrders, Status::Accepted); 2],
        "no saga is told"
    );
    assert_eq!(given.waiting().await, (1, 0));
}

#[tokio::test]
async fn what_is_put_off_is_brought_forward_when_a_clock_was_set_back() {
    let given = a_fresh_store().await;
    for order in 1..=2 {
        given.accept(order, "buy").await;
    }
    let later = vec![command(3, "buy")];
    given.commands.accept(noon_plus(600), later, false).await.unwrap();
    let claimed = given
        .commands
        .claim(noon_plus(600), vec![key(1), key(2)])
        .await
        .unwrap();
    let waits = vec![(key(1), claimed[0].epoch, postponed(900, true))];
    given.commands.settle(noon_plus(600), waits).await.unwrap();
    // Back at noon: what waits is due, what somebody has or will have is due after a lease from now.
    assert_eq!(given.commands.bring_forward(noon()).await, Ok(3));
    let due = |claimed: Vec<storage::commands::Claimed>| claimed.into_iter().map(|one| one.key).collect::<Vec<_>>();
    assert_eq!(due(given.commands.claim_due(noon(), 10).await.unwrap()), [key(1)]);
    assert_eq!(due(given.commands.claim_due(noon_plus(29), 10).await.unwrap()), []);
    let standing = given.commands.standing(key(1)).await.unwrap().unwrap();
    assert_eq!(standing.answer_missing_since, Some(noon()));
    assert_eq!(
        given
            .commands
            .standing(key(3))
            .await
            .unwrap()
            .unwrap()
            .answer_missing_since,
        None
    );
    assert_eq!(
        due(given.commands.claim_due(noon_plus(30), 10).await.unwrap()),
        [key(1), key(2), key(3)]
    );
}
