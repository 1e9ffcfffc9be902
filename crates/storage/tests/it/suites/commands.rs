//! The command store's promises: accepted once, worked on by one, ended once, and never silent.

use contracts::messages::{Queue, Status};
use storage::commands::{Acceptance, CommandStore, Fencing, Settlement, State};
use storage::outbox::Destination;

use super::{Given, a_fresh_store};
use crate::given::{command, key, message, noon, noon_plus, success};

impl Given {
    pub(super) async fn accept(&self, order: i64, content: &str) -> Acceptance {
        self.commands
            .accept(noon(), vec![command(order, content)], false)
            .await
            .unwrap()
            .remove(0)
    }

    /// The messages that left since the last call, as (queue, status).
    pub(super) fn said(&mut self) -> Vec<(Queue, Status)> {
        let mut said = Vec::new();
        while let Ok(row) = self.rows.try_recv() {
            let Destination::Queue(queue) = row.destination else {
                panic!("commands only speak on queues")
            };
            said.push((queue, message(&row).status));
        }
        said
    }

    pub(super) async fn claim(&self, order: i64, after: u64) -> Option<storage::commands::Claimed> {
        self.commands
            .claim(noon_plus(after), vec![key(order)])
            .await
            .unwrap()
            .pop()
    }

    pub(super) async fn settle(&self, after: u64, order: i64, epoch: i64, settlement: Settlement) -> Fencing {
        self.commands
            .settle(noon_plus(after), vec![(key(order), epoch, settlement)])
            .await
            .unwrap()
            .remove(0)
    }
}

pub(super) fn finished() -> Settlement {
    Settlement::Finished {
        result: success(),
        progress: None,
    }
}

pub(super) fn postponed(until: u64, answer_missing: bool) -> Settlement {
    Settlement::Postponed {
        until: noon_plus(until),
        reason: "as arranged".to_owned(),
        answer_missing,
        progress: Some(format!("postponed until {until}")),
    }
}

#[tokio::test]
async fn a_command_is_accepted_once_and_wakes_its_worker() {
    let mut given = a_fresh_store().await;
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
    let mut given = a_fresh_store().await;
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
    let given = a_fresh_store().await;
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
    let mut given = a_fresh_store().await;
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
    let mut given = a_fresh_store().await;
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
    let given = a_fresh_store().await;
    given.accept(1, "buy").await;
    let epoch = given.claim(1, 0).await.unwrap().epoch;
    given.settle(1, 1, epoch, postponed(10, false)).await;
    assert_eq!(given.claim(1, 9).await, None);
    let again = given.claim(1, 10).await.unwrap();
    assert_eq!((again.tries, again.progress.as_str()), (1, "postponed until 10"));
}

#[tokio::test]
async fn a_command_that_makes_no_sense_becomes_a_dead_letter_and_its_saga_hears_of_it() {
    let mut given = a_fresh_store().await;
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
    assert_eq!(given.waiting().await, (1, 1));
}

#[tokio::test]
async fn wake_ups_that_come_twice_claim_once() {
    let given = a_fresh_store().await;
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
    let given = a_fresh_store().await;
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
    let given = a_fresh_store().await;
    given.accept(1, "buy").await;
    given.accept(2, "buy").await;
    given
        .execute("UPDATE {}commands SET step = 'hedge', next_attempt_at = 0 WHERE order_id = 1")
        .await;
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
    let mut given = a_fresh_store().await;
    given.accept(1, "buy").await;
    let epoch = given.claim(1, 0).await.unwrap().epoch;
    given.settle(1, 1, epoch, finished()).await;
    given
        .execute(r#"UPDATE {}commands SET result = '{"kind": "hedged"}'"#)
        .await;
    given.said();
    let outcomes = given
        .commands
        .accept(noon(), vec![command(1, "buy"), command(2, "buy")], false)
        .await;
    assert_eq!(outcomes, Ok(vec![Acceptance::Known, Acceptance::New(None)]));
    assert_eq!(given.said(), [(Queue::ExchangeOrders, Status::Accepted)]);
}

#[tokio::test]
async fn of_settlements_of_one_command_in_a_batch_the_first_end_counts() {
    let mut given = a_fresh_store().await;
    given.accept(1, "buy").await;
    let epoch = given.claim(1, 0).await.unwrap().epoch;
    given.said();
    let batch = [postponed(9, false), finished(), finished(), postponed(99, true)];
    let batch = batch
        .into_iter()
        .map(|settlement| (key(1), epoch, settlement))
        .collect();
    let fencings = given.commands.settle(noon_plus(1), batch).await;
    assert_eq!(
        fencings,
        Ok(vec![
            Fencing::Written,
            Fencing::Written,
            Fencing::Fenced,
            Fencing::Fenced
        ])
    );
    assert_eq!(given.said(), [(Queue::SagaSteps, Status::Done)]);
    let record = given.commands.record(key(1)).await.unwrap().unwrap();
    assert_eq!(
        (record.state, record.progress.as_str()),
        (State::Done, "postponed until 9")
    );
}

#[tokio::test]
async fn nothing_asked_is_nothing_done() {
    let given = a_fresh_store().await;
    assert_eq!(given.commands.accept(noon(), vec![], true).await, Ok(vec![]));
    assert_eq!(given.commands.claim(noon(), vec![]).await, Ok(vec![]));
    assert_eq!(given.commands.settle(noon(), vec![]).await, Ok(vec![]));
    assert_eq!(given.commands.record(key(1)).await, Ok(None));
}
