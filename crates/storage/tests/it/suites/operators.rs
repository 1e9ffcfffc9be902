//! What operators may rely on: an act is done once, with its record, and what is dead waits to be seen and sent again.

use contracts::messages::{FailureCode, Queue, Status, StepResult};
use contracts::operators::{DeadLetters as _, Instruction, Replay};
use storage::commands::{Amended, Amendment, CommandStore as _, Fencing, Intervention, Settlement, State};
use storage::letters::DeadLetterStore as _;
use storage::outbox::{Destination, OutboxStore as _, Settlement as Delivery};

use super::{Given, a_fresh_store, a_store_that_tells_nobody};
use crate::given::{command, key, message, noon, noon_plus, success};

fn by_ann(reason: &str) -> Instruction {
    Instruction {
        operator: "operator:ann".to_owned(),
        reason: reason.to_owned(),
    }
}

fn intervention(order: i64, once: Option<(&str, &str)>, amendment: Amendment) -> Intervention {
    Intervention {
        key: key(order),
        verb: "resolve",
        once: once.map(|(name, content)| (name.to_owned(), content.to_owned())),
        instruction: by_ann("seen in the statement"),
        decide: Box::new(move |_| amendment),
    }
}

fn reopen(progress: &str) -> Amendment {
    Amendment::Reopen {
        progress: progress.to_owned(),
    }
}

fn failure() -> StepResult {
    StepResult::Failure {
        code: FailureCode::NotExecuted,
        detail: "never".to_owned(),
    }
}

impl Given {
    async fn accepted(&self, order: i64) {
        self.commands
            .accept(noon(), vec![command(order, "buy")], false)
            .await
            .unwrap();
    }

    async fn dead(&self, order: i64) {
        self.accepted(order).await;
        let claimed = self.commands.claim(noon(), vec![key(order)]).await.unwrap().remove(0);
        let error = "makes no sense".to_owned();
        let settled = vec![(key(order), claimed.epoch, Settlement::Dead { error })];
        self.commands.settle(noon(), settled).await.unwrap();
    }

    fn statuses(&mut self) -> Vec<(Queue, Status)> {
        std::iter::from_fn(|| self.rows.try_recv().ok())
            .map(|row| match row.destination {
                Destination::Queue(queue) => (queue, message(&row).status),
                Destination::Service(service) => panic!("nothing goes to {service}"),
            })
            .collect()
    }
}

#[tokio::test]
async fn an_intervention_fences_off_whoever_is_at_work_and_is_recorded_with_its_effect() {
    let mut given = a_fresh_store().await;
    given.accepted(1).await;
    let worker = given.commands.claim(noon(), vec![key(1)]).await.unwrap().remove(0);
    given.statuses();
    let once = Some(("resolve:attempt 1", "not executed"));
    let amended = given
        .commands
        .intervene(noon_plus(1), intervention(1, once, reopen("ruled")))
        .await;
    assert_eq!(amended, Ok(Amended::Reopened));
    assert_eq!(given.statuses(), [(Queue::ExchangeOrders, Status::Accepted)]);
    let late = Settlement::Finished {
        result: success(),
        progress: None,
    };
    let settled = vec![(key(1), worker.epoch, late)];
    assert_eq!(
        given.commands.settle(noon_plus(2), settled).await,
        Ok(vec![Fencing::Fenced]),
        "its answer came too late"
    );
    let next = given
        .commands
        .claim(noon_plus(1), vec![key(1)])
        .await
        .unwrap()
        .remove(0);
    assert_eq!((next.progress.as_str(), next.tries), ("ruled", 0));
    let standing = given.commands.standing(key(1)).await.unwrap().unwrap();
    assert_eq!(standing.acts.len(), 1);
    let act = &standing.acts[0];
    assert_eq!((act.time, act.operator.as_str()), (noon_plus(1), "operator:ann"));
    assert_eq!(
        (act.verb.as_str(), act.subject.as_str()),
        ("resolve", "order:1:exchange")
    );
    assert_eq!(act.reason, "seen in the statement");
    assert_eq!(act.content.as_deref(), Some("not executed"));
}

#[tokio::test]
async fn what_was_said_of_an_attempt_is_said_again_and_never_otherwise() {
    let mut given = a_fresh_store().await;
    given.accepted(1).await;
    let end = Amendment::End {
        result: failure(),
        progress: "over".to_owned(),
    };
    let said = |content| intervention(1, Some(("resolve:attempt 1", content)), end.clone());
    assert_eq!(given.commands.intervene(noon(), said("a")).await, Ok(Amended::Ended));
    given.statuses();
    assert_eq!(given.commands.intervene(noon(), said("a")).await, Ok(Amended::Replayed));
    assert_eq!(given.statuses(), [(Queue::SagaSteps, Status::Failed)], "told again");
    assert_eq!(
        given.commands.intervene(noon(), said("b")).await,
        Ok(Amended::Contradicted)
    );
    assert_eq!(given.statuses(), []);
    let standing = given.commands.standing(key(1)).await.unwrap().unwrap();
    assert_eq!((standing.record.state, standing.acts.len()), (State::Failed, 1));
    assert_eq!(given.commands.claim_due(noon_plus(999), 10).await, Ok(vec![]));
}

#[tokio::test]
async fn a_refused_intervention_and_one_on_nothing_leave_no_trace() {
    let mut given = a_fresh_store().await;
    given.accepted(1).await;
    given.statuses();
    let detail = "not in doubt".to_owned();
    let refuse = Amendment::Refuse { detail: detail.clone() };
    let amended = given.commands.intervene(noon(), intervention(1, None, refuse)).await;
    assert_eq!(amended, Ok(Amended::Refused { detail }));
    let unknown = given
        .commands
        .intervene(noon(), intervention(2, None, reopen("x")))
        .await;
    assert_eq!(unknown, Ok(Amended::Unknown));
    assert_eq!(given.statuses(), []);
    let standing = given.commands.standing(key(1)).await.unwrap().unwrap();
    assert_eq!(
        (standing.acts.len(), standing.record.progress.as_str()),
        (0, "attempt 1")
    );
    assert_eq!(given.commands.standing(key(2)).await, Ok(None));
}

#[tokio::test]
async fn a_nudge_hurries_what_waits_and_leaves_what_is_being_worked_on() {
    let given = a_fresh_store().await;
    let nudge = || intervention(1, None, Amendment::Nudge);
    given.accepted(1).await;
    let first = given.commands.claim(noon(), vec![key(1)]).await.unwrap().remove(0);
    given.commands.intervene(noon(), nudge()).await.unwrap();
    assert_eq!(
        given.commands.claim(noon(), vec![key(1)]).await,
        Ok(vec![]),
        "somebody has it"
    );
    let wait = Settlement::Postponed {
        until: noon_plus(600),
        reason: "the venue is away".to_owned(),
        answer_missing: true,
        progress: None,
    };
    given
        .commands
        .settle(noon(), vec![(key(1), first.epoch, wait)])
        .await
        .unwrap();
    let standing = given.commands.standing(key(1)).await.unwrap().unwrap();
    assert_eq!(standing.last_reason.as_deref(), Some("the venue is away"));
    assert_eq!(standing.answer_missing_since, Some(noon()));
    assert_eq!(given.commands.claim(noon_plus(1), vec![key(1)]).await, Ok(vec![]));
    given.commands.intervene(noon_plus(1), nudge()).await.unwrap();
    assert_eq!(
        given.commands.claim(noon_plus(1), vec![key(1)]).await.unwrap()[0].epoch,
        2
    );
}

#[tokio::test]
async fn dead_letters_and_dead_commands_are_counted_until_they_are_sent_again() {
    let given = a_fresh_store().await;
    assert_eq!(given.waiting().await, (0, 0));
    given.dead(1).await;
    given.accepted(2).await;
    assert_eq!(given.waiting().await, (1, 1), "a dead command leaves a letter");
    let letters = given.letters();
    let listed = letters.list(None, 10).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].source.as_str(), listed[0].error.as_str()),
        ("command:1:exchange", "makes no sense")
    );
    assert_eq!((listed[0].payload.as_str(), listed[0].died_at), ("buy", noon()));
    let id = listed[0].id;
    let replay = || letters.replay(noon_plus(5), id, by_ann("repaired"));
    assert_eq!(replay().await, Ok(Replay::Replayed { before: false }));
    assert_eq!(given.waiting().await, (0, 0));
    assert_eq!(replay().await, Ok(Replay::Replayed { before: true }));
    assert_eq!(letters.list(None, 10).await, Ok(vec![]));
    assert_eq!(
        given.commands.claim(noon_plus(5), vec![key(1)]).await.unwrap()[0].content,
        "buy"
    );
    assert_eq!(letters.replay(noon(), 99, by_ann("?")).await, Ok(Replay::Unknown));
}

#[tokio::test]
async fn a_dead_command_that_is_tried_again_or_ended_takes_its_letters_with_it_and_no_others() {
    let ended = Amendment::End {
        result: failure(),
        progress: "ruled".to_owned(),
    };
    let refused = Amendment::Refuse {
        detail: "no".to_owned(),
    };
    for (amendment, waiting) in [
        (reopen("ruled"), (1, 1)),
        (ended, (1, 1)),
        (Amendment::Nudge, (2, 2)),
        (refused, (2, 2)),
    ] {
        let given = a_fresh_store().await;
        given.dead(1).await;
        given.dead(11).await;
        assert_eq!(given.waiting().await, (2, 2));
        let act = intervention(1, None, amendment.clone());
        given.commands.intervene(noon_plus(1), act).await.unwrap();
        assert_eq!(given.waiting().await, waiting, "{amendment:?}");
        let letters = given.letters();
        let left = letters.list(None, 10).await.unwrap();
        assert_eq!(left.last().unwrap().source, "command:11:exchange");
        if waiting == (1, 1) {
            let late = letters.replay(noon_plus(2), 1, by_ann("again")).await;
            assert_eq!(late, Ok(Replay::Replayed { before: true }), "{amendment:?}");
        }
    }
}

#[tokio::test]
async fn a_command_that_dies_again_leaves_a_letter_again() {
    let given = a_fresh_store().await;
    given.dead(1).await;
    given
        .commands
        .intervene(noon_plus(1), intervention(1, None, reopen("ruled")))
        .await
        .unwrap();
    assert_eq!(given.waiting().await, (0, 0));
    let claimed = given
        .commands
        .claim(noon_plus(1), vec![key(1)])
        .await
        .unwrap()
        .remove(0);
    let error = "still makes no sense".to_owned();
    let settled = vec![(key(1), claimed.epoch, Settlement::Dead { error })];
    given.commands.settle(noon_plus(1), settled).await.unwrap();
    assert_eq!(given.waiting().await, (1, 1));
}

#[tokio::test]
async fn a_row_that_could_not_be_delivered_goes_where_it_was_going_and_may_die_again() {
    let given = a_fresh_store().await;
    let letters = given.letters();
    given.accepted(1).await;
    let queue = Destination::Queue(Queue::ExchangeOrders);
    for id in [1, 2] {
        let lease = std::time::Duration::from_secs(1);
        let rows = given.outbox.claim_due(noon_plus(60), queue, 10, lease).await.unwrap();
        let error = "nobody listens".to_owned();
        given
            .outbox
            .settle(noon(), vec![(rows[0].id, Delivery::Dead { error })])
            .await
            .unwrap();
        let listed = letters.list(None, 10).await.unwrap();
        assert_eq!(
            (listed.len(), listed[0].id),
            (1, id),
            "each death is a letter of its own"
        );
        assert_eq!(listed[0].source, "queue:exchange_orders");
        assert_eq!(
            letters.replay(noon(), id, by_ann("again")).await,
            Ok(Replay::Replayed { before: false })
        );
    }
    assert_eq!(given.outbox.backlog().await, Ok(1));
}

#[tokio::test]
async fn a_letter_that_belongs_nowhere_stays_listed() {
    let given = a_fresh_store().await;
    given
        .bury(&[
            ("pigeon post", "no such way"),
            ("command:9:exchange", "no such command"),
        ])
        .await;
    let letters = given.letters();
    for id in [1, 2] {
        let replayed = letters.replay(noon(), id, by_ann("try")).await.unwrap();
        assert!(matches!(replayed, Replay::Impossible { .. }), "{replayed:?}");
    }
    let ids =
        |page: Vec<contracts::operators::DeadLetter>| page.into_iter().map(|letter| letter.id).collect::<Vec<_>>();
    assert_eq!(ids(letters.list(None, 10).await.unwrap()), [1, 2]);
    assert_eq!(ids(letters.list(None, 1).await.unwrap()), [1]);
    assert_eq!(ids(letters.list(Some(1), 10).await.unwrap()), [2]);
}

#[tokio::test]
async fn what_arrives_and_cannot_be_read_is_kept_with_where_it_came_from() {
    let given = a_fresh_store().await;
    let letters = given.letters();
    let queue = Destination::Queue(Queue::ExchangeOrders);
    let buried = letters.bury(noon(), queue, "no\u{0}JSON".to_owned(), "expected value".to_owned());
    buried.await.unwrap();
    let listed = letters.list(None, 10).await.unwrap();
    assert_eq!((listed.len(), listed[0].source.as_str()), (1, "queue:exchange_orders"));
    assert!(listed[0].payload.starts_with("no") && listed[0].payload.ends_with("JSON"));
}

#[tokio::test]
async fn a_mail_that_failed_unheard_is_tried_again_by_its_letter() {
    let given = a_store_that_tells_nobody().await;
    given.accepted(1).await;
    let claimed = given.commands.claim(noon(), vec![key(1)]).await.unwrap().remove(0);
    let failed = Settlement::Finished {
        result: failure(),
        progress: None,
    };
    given
        .commands
        .settle(noon(), vec![(key(1), claimed.epoch, failed)])
        .await
        .unwrap();
    let letters = given.letters();
    let replayed = letters
        .replay(noon_plus(1), 1, by_ann("the address is right now"))
        .await;
    assert_eq!(replayed, Ok(Replay::Replayed { before: false }));
    assert_eq!(given.commands.claim(noon_plus(1), vec![key(1)]).await.unwrap().len(), 1);
    let standing = given.commands.standing(key(1)).await.unwrap().unwrap();
    assert_eq!(standing.acts.len(), 1);
}
