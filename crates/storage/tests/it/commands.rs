//! The command store's promises: accepted once, worked on by one, ended once, and never silent.

use contracts::messages::{FailureCode, Queue, Status, StepResult};
use storage::commands::{Acceptance, CommandStore, Entombment, Fencing, Settlement, State};
use storage::outbox::Destination;

use crate::given::{Given, a_fresh_store, command, key, message, noon, noon_plus, success};

impl Given {
    async fn accept(&self, order: i64, content: &str) -> Acceptance {
        self.commands
            .accept(noon(), vec![command(order, content)], false)
            .await
            .unwrap()
            .remove(0)
    }

    /// The messages that left since the last call, as (queue, status).
    fn said(&mut self) -> Vec<(Queue, Status)> {
        let mut said = Vec::new();
        while let Ok(row) = self.rows.try_recv() {
            let Destination::Queue(queue) = row.destination else {
                panic!("commands only speak on queues")
            };
            said.push((queue, message(&row).status));
        }
        said
    }

    async fn claim(&self, order: i64, after: u64) -> Option<storage::commands::Claimed> {
        self.commands
            .claim(noon_plus(after), vec![key(order)])
            .await
            .unwrap()
            .pop()
    }

    async fn settle(&self, after: u64, order: i64, epoch: i64, settlement: Settlement) -> Fencing {
        self.commands
            .settle(noon_plus(after), vec![(key(order), epoch, settlement)])
            .await
            .unwrap()
            .remove(0)
    }
}

fn finished() -> Settlement {
    Settlement::Finished {
        result: success(),
        progress: None,
    }
}

fn postponed(until: u64, answer_missing: bool) -> Settlement {
    Settlement::Postponed {
        until: noon_plus(until),
        reason: "as arranged".to_owned(),
        answer_missing,
        progress: Some(format!("postponed until {until}")),
    }
}

#[tokio::test]
async fn a_command_is_accepted_once_and_wakes_its_worker() {
    let mut given = a_fresh_store();
    assert_eq!(given.accept(1, "buy").await, Acceptance::New(None));
    assert_eq!(given.said(), [(Queue::ExchangeOrders, Status::Accepted)]);
    assert_eq!(given.accept(1, "buy").await, Acceptance::Known);
    assert_eq!(
        given.said(),
        [(Queue::ExchangeOrders, Status::Accepted)],
        "unfinished: queued again"
    );
    assert_eq!(given.accept(1, "sell").await, Acceptance::Conflict);
    assert_eq!(given.said(), []);
    assert_eq!(given.commands.open_count().await, Ok(1));
}

#[tokio::test]
async fn a_granted_command_is_claimed_at_once_and_left_behind_only_until_its_lease_ends() {
    let mut given = a_fresh_store();
    let accepted = given
        .commands
        .accept(noon(), vec![command(1, "buy")], true)
        .await
        .unwrap()
        .remove(0);
    let Acceptance::New(Some(claimed)) = accepted else {
        panic!("granted")
    };
    assert_eq!(
        (claimed.epoch, claimed.tries, claimed.lease_until),
        (1, 0, noon_plus(30))
    );
    assert_eq!(given.said(), []);
    assert_eq!(given.claim(1, 29).await, None);
    assert_eq!(given.commands.claim_due(noon_plus(30), 10).await.unwrap()[0].epoch, 2);
}

#[tokio::test]
async fn one_worker_at_a_time_holds_a_command() {
    let given = a_fresh_store();
    given.accept(1, "buy").await;
    let first = given.claim(1, 0).await.unwrap();
    assert_eq!(
        (first.content.as_str(), first.progress.as_str(), first.epoch),
        ("buy", "attempt 1", 1)
    );
    assert_eq!(given.claim(1, 29).await, None);
    assert_eq!(given.commands.claim_due(noon_plus(29), 10).await, Ok(vec![]));
    assert_eq!(given.claim(1, 30).await.unwrap().epoch, 2);
}

#[tokio::test]
async fn a_worker_whose_lease_ran_out_changes_nothing() {
    let mut given = a_fresh_store();
    given.accept(1, "buy").await;
    let zombie = given.claim(1, 0).await.unwrap().epoch;
    let current = given.claim(1, 30).await.unwrap().epoch;
    given.said();
    for settlement in [
        finished(),
        postponed(99, true),
        Settlement::Dead { error: "no".to_owned() },
    ] {
        assert_eq!(given.settle(31, 1, zombie, settlement).await, Fencing::Fenced);
    }
    let checkpoint = given
        .commands
        .checkpoint(noon_plus(31), key(1), zombie, "zombie".to_owned())
        .await;
    assert_eq!(checkpoint, Ok(Fencing::Fenced));
    assert_eq!(given.said(), []);
    let checkpoint = given
        .commands
        .checkpoint(noon_plus(31), key(1), current, "attempt 2".to_owned())
        .await;
    assert_eq!(checkpoint, Ok(Fencing::Written));
    assert_eq!(
        given.commands.record(key(1)).await.unwrap().unwrap().progress,
        "attempt 2"
    );
}

#[tokio::test]
async fn a_finished_command_tells_the_sagas_and_tells_again_when_asked_again() {
    let mut given = a_fresh_store();
    given.accept(1, "buy").await;
    let epoch = given.claim(1, 0).await.unwrap().epoch;
    given.said();
    assert_eq!(given.settle(1, 1, epoch, finished()).await, Fencing::Written);
    assert_eq!(given.said(), [(Queue::SagaSteps, Status::Done)]);
    assert_eq!(
        given.settle(2, 1, epoch, finished()).await,
        Fencing::Fenced,
        "it ends once"
    );
    assert_eq!(given.accept(1, "buy").await, Acceptance::Known);
    assert_eq!(given.said(), [(Queue::SagaSteps, Status::Done)]);
    assert_eq!(given.claim(1, 99).await, None);
    let record = given.commands.record(key(1)).await.unwrap().unwrap();
    assert_eq!((record.state, record.result), (State::Done, Some(success())));
}

#[tokio::test]
async fn a_postponed_command_is_due_at_its_time_and_no_wake_up_hurries_it() {
    let given = a_fresh_store();
    given.accept(1, "buy").await;
    let epoch = given.claim(1, 0).await.unwrap().epoch;
    given.settle(1, 1, epoch, postponed(10, false)).await;
    assert_eq!(given.claim(1, 9).await, None);
    let again = given.claim(1, 10).await.unwrap();
    assert_eq!((again.tries, again.progress.as_str()), (1, "postponed until 10"));
}

#[tokio::test]
async fn the_sagas_hear_once_of_an_outside_silence_that_lasts() {
    let mut given = a_fresh_store();
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
    let mut given = a_fresh_store();
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
    let mut given = a_fresh_store();
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
async fn a_command_that_makes_no_sense_becomes_a_dead_letter_and_its_saga_hears_of_it() {
    let mut given = a_fresh_store();
    given.accept(1, "buy").await;
    let epoch = given.claim(1, 0).await.unwrap().epoch;
    given.said();
    let dead = Settlement::Dead {
        error: "not JSON".to_owned(),
    };
    assert_eq!(given.settle(1, 1, epoch, dead).await, Fencing::Written);
    assert_eq!(given.said(), [(Queue::SagaSteps, Status::Unresolved)]);
    assert_eq!(given.commands.record(key(1)).await.unwrap().unwrap().state, State::Dead);
    assert_eq!(given.accept(1, "buy").await, Acceptance::Known);
    assert_eq!(given.said(), [(Queue::SagaSteps, Status::Unresolved)]);
    let letters: i64 = given
        .database
        .readers()
        .run(|connection| connection.query_row("SELECT count(*) FROM exchanger_dead_letters", (), |row| row.get(0)))
        .await
        .unwrap();
    assert_eq!(letters, 1);
}

#[tokio::test]
async fn wake_ups_that_come_twice_claim_once() {
    let given = a_fresh_store();
    given.accept(1, "buy").await;
    given.accept(2, "buy").await;
    let claimed = given
        .commands
        .claim(noon(), vec![key(1), key(2), key(1), key(3)])
        .await
        .unwrap();
    let claimed: Vec<_> = claimed
        .into_iter()
        .map(|claimed| (claimed.key, claimed.epoch))
        .collect();
    assert_eq!(claimed, [(key(1), 1), (key(2), 1)]);
}

#[tokio::test]
async fn a_batch_has_an_outcome_for_each_of_its_commands() {
    let given = a_fresh_store();
    given.accept(1, "buy").await;
    let outcomes = given
        .commands
        .accept(
            noon(),
            vec![
                command(2, "buy"),
                command(1, "sell"),
                command(1, "buy"),
                command(2, "buy"),
            ],
            false,
        )
        .await
        .unwrap();
    assert_eq!(
        outcomes,
        [
            Acceptance::New(None),
            Acceptance::Conflict,
            Acceptance::Known,
            Acceptance::Known
        ]
    );
}

#[tokio::test]
async fn a_command_of_a_newer_program_keeps_no_other_from_being_worked_on() {
    let given = a_fresh_store();
    given.accept(1, "buy").await;
    given.accept(2, "buy").await;
    let of_a_newer_program = "UPDATE exchanger_commands SET step = 'hedge', next_attempt_at = 0 WHERE order_id = 1";
    given
        .database
        .writer()
        .run(move |tx| tx.execute(of_a_newer_program, ()).map(drop))
        .await
        .unwrap();
    assert_eq!(
        given.commands.claim_due(noon_plus(9), 1).await,
        Ok(vec![]),
        "it came first"
    );
    let claimed = given.commands.claim_due(noon_plus(9), 1).await.unwrap();
    assert_eq!(claimed[0].key, key(2), "it does not come first for ever");
    assert_eq!(given.commands.open_count().await, Ok(2), "it waits for that program");
}

#[tokio::test]
async fn a_result_of_a_newer_program_keeps_no_other_from_being_accepted() {
    let mut given = a_fresh_store();
    given.accept(1, "buy").await;
    let epoch = given.claim(1, 0).await.unwrap().epoch;
    given.settle(1, 1, epoch, finished()).await;
    given
        .database
        .writer()
        .run(|tx| {
            let sql = r#"UPDATE exchanger_commands SET result = '{"kind": "hedged"}'"#;
            tx.execute(sql, ()).map(drop)
        })
        .await
        .unwrap();
    given.said();
    let outcomes = given
        .commands
        .accept(noon(), vec![command(1, "buy"), command(2, "buy")], false)
        .await;
    assert_eq!(outcomes, Ok(vec![Acceptance::Known, Acceptance::New(None)]));
    assert_eq!(given.said(), [(Queue::ExchangeOrders, Status::Accepted)]);
}

#[tokio::test]
async fn a_cancelled_command_never_runs_wherever_it_was() {
    let mut given = a_fresh_store();
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
    let mut given = a_fresh_store();
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
async fn after_a_crash_of_the_only_process_nothing_waits_for_a_dead_workers_lease() {
    let given = a_fresh_store();
    for order in 1..=3 {
        given.accept(order, "buy").await;
        given.claim(order, 0).await.unwrap();
    }
    assert_eq!(given.commands.release_leases(noon_plus(1)).await, Ok(3));
    assert_eq!(
        given.commands.claim_due(noon_plus(1), 2).await.unwrap().len(),
        2,
        "at most what was asked for"
    );
    assert_eq!(given.commands.claim_due(noon_plus(1), 10).await.unwrap().len(), 1);
}
