//! Handing over what is to be sent.

use contracts::clients::{MAX_COMMANDS, Submission};
use notification::domain::letter::Letter;
use storage::commands::State;

use super::notification;
use crate::given::{ToldMailer, command, order};

const NEW: Submission = Submission::Accepted { replayed: false };
const AGAIN: Submission = Submission::Accepted { replayed: true };

fn invalid(submission: &Submission) -> bool {
    matches!(submission, Submission::Invalid { .. })
}

#[tokio::test]
async fn an_order_has_one_notification() {
    let given = notification(ToldMailer::new([]).0).await;
    assert_eq!(given.submit(vec![command(7)]).await, [NEW]);
    assert_eq!(given.submit(vec![command(7)]).await, [AGAIN]);
    let mut other = command(7);
    other.payload.push('!');
    assert_eq!(given.submit(vec![other]).await, [Submission::Conflict]);
    let mut other = command(7);
    other.email = "eve@example.com".to_owned();
    assert_eq!(given.submit(vec![other]).await, [Submission::Conflict]);
    let record = given.record(7).await.unwrap();
    assert_eq!(record.state, State::Open);
    let letter = Letter::from_content(&record.content).unwrap();
    assert_eq!(
        (letter.email(), letter.payload()),
        ("ada@example.com", command(7).payload.as_str())
    );
}

#[tokio::test]
async fn each_of_a_batch_has_an_outcome_of_its_own() {
    let given = notification(ToldMailer::new([]).0).await;
    given.submit(vec![command(2)]).await;
    let mut nowhere = command(1);
    nowhere.email = "nowhere".to_owned();
    let mut other = command(2);
    other.payload = "Something else".to_owned();
    let outcomes = given
        .submit(vec![nowhere, other, command(3), command(3), command(2)])
        .await;
    assert!(invalid(&outcomes[0]));
    assert_eq!(outcomes[1..], [Submission::Conflict, NEW, AGAIN, AGAIN]);
    assert_eq!(given.record(1).await, None);
}

#[tokio::test]
async fn nothing_at_all_and_only_nonsense_are_answered_too() {
    let given = notification(ToldMailer::new([]).0).await;
    assert_eq!(given.submit(vec![]).await, []);
    let mut blank = command(1);
    blank.payload = String::new();
    assert!(invalid(&given.submit(vec![blank]).await[0]));
}

#[tokio::test]
async fn a_hundred_at_once_and_no_more() {
    let given = notification(ToldMailer::new([]).0).await;
    let most = i64::try_from(MAX_COMMANDS).unwrap();
    let outcomes = given.submit((1..=most + 1).map(command).collect()).await;
    assert_eq!(outcomes.len(), MAX_COMMANDS + 1);
    assert!(outcomes.iter().all(invalid));
    assert_eq!(given.stores.commands.open_count().await.unwrap(), 0);
    let outcomes = given.submit((1..=most).map(command).collect()).await;
    assert!(outcomes.iter().all(|outcome| *outcome == NEW));
    assert_eq!(given.record(most).await.unwrap().key.order_id, order(most));
}
