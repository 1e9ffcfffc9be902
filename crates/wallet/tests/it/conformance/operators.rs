//! The part of the suite about what operators do to orders, and what is left to them.

use std::time::Duration;

use contracts::operators::Instruction;
use wallet::domain::{Fact, OrderState};
use wallet::ports::{DeadLetter, SagaRecord};

use super::{Subject, after, apply, new_order, place, start};
use crate::samples::*;

pub(super) fn instruction(reason: &str) -> Instruction {
    Instruction {
        operator: "operator:ann".to_owned(),
        reason: reason.to_owned(),
    }
}

pub(super) async fn an_operator_hurries_an_order_and_leaves_a_record(subject: Subject) {
    let id = place(&subject, new_order(2)).await;
    let pause = vec![Duration::from_secs(60)];
    let claimed = subject.orders().claim_due(after(3), 10, pause).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let hurry = async |at, id, reason| {
        subject
            .orders()
            .hurry(after(at), id, instruction(reason))
            .await
            .unwrap()
    };
    let order = hurry(5, id, "the user asks").await.unwrap();
    assert_eq!((order.next_attempt_at, order.tries), (after(5), 0));
    let order = hurry(9, id, "and again").await.unwrap();
    assert_eq!(order.next_attempt_at, after(5), "it is not put off");
    apply(&subject, id, Fact::HoldRefused).await;
    let ended = hurry(10, id, "too late").await.unwrap();
    assert_eq!(
        (ended.saga.state, ended.next_attempt_at),
        (OrderState::Failed, after(4))
    );

    let SagaRecord { order, log, acts } = subject.orders().saga(id).await.unwrap().unwrap();
    assert_eq!((order, log.len()), (ended, 2));
    let acts: Vec<_> = acts
        .iter()
        .map(|act| (act.verb.as_str(), act.subject.as_str(), act.reason.as_str(), act.time))
        .collect();
    let subject_of = format!("order:{id}");
    assert_eq!(
        acts,
        [("the user asks", 5), ("and again", 9), ("too late", 10)].map(|(reason, at)| (
            "retry",
            subject_of.as_str(),
            reason,
            after(at)
        ))
    );
    assert_eq!(hurry(11, order_id(999), "nobody's").await, None);
    assert_eq!(subject.orders().saga(order_id(999)).await, Ok(None));
}

pub(super) async fn dead_letters_are_taken(subject: Subject) {
    let letter = |error: &str| DeadLetter {
        source: "queue:saga_steps".to_owned(),
        payload: "{}\0".to_owned(),
        error: error.to_owned(),
    };
    let letters = (0..40).map(|number| letter(&format!("nonsense {number:02}"))).collect();
    subject.orders().bury(start(), letters).await.unwrap();
    let errors = subject
        .beside
        .texts("SELECT error FROM {}dead_letters ORDER BY id")
        .await;
    let expected: Vec<_> = (0..40).map(|number| format!("nonsense {number:02}")).collect();
    assert_eq!(errors, expected);
}
