//! Effects are stored with their cause, handed over after the commit, and found again when that gets lost.

use std::time::Duration;

use contracts::ServiceName;
use storage::outbox::{Destination, HAND_OVER, OutboxStore, Settlement};

use super::{Given, a_fresh_store};
use crate::given::{noon, noon_plus};

pub(crate) const TO_WALLET: Destination = Destination::Service(ServiceName::Wallet);
pub(crate) const LEASE: Duration = Duration::from_secs(10);

async fn put(given: &Given, payload: &str) {
    given.put_all([(noon(), TO_WALLET, payload.to_owned())]).await;
}

pub(crate) fn lost() -> jiff::Timestamp {
    contracts::time::later(noon(), HAND_OVER)
}

#[tokio::test]
async fn a_row_is_handed_over_after_its_commit_and_goes_when_it_is_delivered() {
    let mut given = a_fresh_store().await;
    put(&given, "hello").await;
    let row = given.rows.try_recv().unwrap();
    assert_eq!(
        (row.destination, row.payload.as_str(), row.attempts),
        (TO_WALLET, "hello", 0)
    );
    assert_eq!(given.outbox.backlog().await, Ok(1));
    given
        .outbox
        .settle(noon(), vec![(row.id, Settlement::Delivered)])
        .await
        .unwrap();
    assert_eq!(given.outbox.backlog().await, Ok(0));
}

#[tokio::test]
async fn a_row_of_a_rolled_back_transaction_never_existed() {
    let mut given = a_fresh_store().await;
    assert!(given.put_and_fail(TO_WALLET, "never").await.is_err());
    assert!(given.rows.try_recv().is_err());
    assert_eq!(given.outbox.backlog().await, Ok(0));
}

#[tokio::test]
async fn a_row_lost_on_the_way_is_due_later_and_taken_by_one_dispatcher_only() {
    let given = a_fresh_store().await;
    put(&given, "lost").await;
    assert_eq!(
        given.outbox.claim_due(noon(), TO_WALLET, 10, LEASE).await,
        Ok(vec![]),
        "it may still be under way"
    );
    let found = given.outbox.claim_due(lost(), TO_WALLET, 10, LEASE).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        given.outbox.claim_due(lost(), TO_WALLET, 10, LEASE).await,
        Ok(vec![]),
        "it is in other hands"
    );
    let after_lease = contracts::time::later(lost(), LEASE);
    assert_eq!(
        given.outbox.claim_due(after_lease, TO_WALLET, 10, LEASE).await.unwrap(),
        found,
        "those hands died"
    );
}

#[tokio::test]
async fn a_failed_delivery_is_tried_again_at_its_time_and_counts_its_attempts() {
    let given = a_fresh_store().await;
    put(&given, "patient").await;
    let [row] = given
        .outbox
        .claim_due(lost(), TO_WALLET, 10, LEASE)
        .await
        .unwrap()
        .try_into()
        .unwrap();
    given
        .outbox
        .settle(lost(), vec![(row.id, Settlement::Retry { at: noon_plus(60) })])
        .await
        .unwrap();
    assert_eq!(
        given.outbox.claim_due(noon_plus(59), TO_WALLET, 10, LEASE).await,
        Ok(vec![])
    );
    let [row] = given
        .outbox
        .claim_due(noon_plus(60), TO_WALLET, 10, LEASE)
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(row.attempts, 1);
}

#[tokio::test]
async fn what_can_never_be_delivered_becomes_a_dead_letter_with_its_error() {
    let mut given = a_fresh_store().await;
    put(&given, "nonsense").await;
    let row = given.rows.try_recv().unwrap();
    let dead = Settlement::Dead {
        error: "not JSON".to_owned(),
    };
    // Twice, as after a lost answer: there is one letter.
    given
        .outbox
        .settle(noon(), vec![(row.id, dead.clone()), (row.id, dead)])
        .await
        .unwrap();
    let letters = given
        .texts("SELECT source || ', ' || payload || ', ' || error FROM {}dead_letters")
        .await;
    assert_eq!(letters, ["service:wallet, nonsense, not JSON"]);
    assert_eq!(given.outbox.backlog().await, Ok(0));
}

#[tokio::test]
async fn settling_a_row_twice_never_hits_a_newer_one() {
    let mut given = a_fresh_store().await;
    put(&given, "old").await;
    let old = given.rows.try_recv().unwrap();
    given
        .outbox
        .settle(noon(), vec![(old.id, Settlement::Delivered)])
        .await
        .unwrap();
    put(&given, "new").await;
    given
        .outbox
        .settle(noon(), vec![(old.id, Settlement::Delivered)])
        .await
        .unwrap();
    assert_eq!(given.outbox.backlog().await, Ok(1));
}

#[tokio::test]
async fn the_many_rows_of_one_destination_never_stand_before_those_of_another() {
    let given = a_fresh_store().await;
    for n in 0..20 {
        put(&given, &format!("for the wallet {n}")).await;
    }
    let to_balance = Destination::Service(ServiceName::Balance);
    let for_the_ledger = (noon_plus(1), to_balance, "for the ledger".to_owned());
    given.put_all([for_the_ledger]).await;
    let rows = given
        .outbox
        .claim_due(noon_plus(10), to_balance, 1, LEASE)
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].payload, "for the ledger");
}

#[tokio::test]
async fn a_row_for_nobody_we_know_disturbs_no_other() {
    let given = a_fresh_store().await;
    put(&given, "known").await;
    given
        .execute(
            "INSERT INTO {}outbox (destination, payload, next_attempt_at, created_at) VALUES ('service:tax', '', 0, 0)",
        )
        .await;
    assert_eq!(
        given
            .outbox
            .claim_due(lost(), TO_WALLET, 10, LEASE)
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(given.outbox.backlog().await, Ok(2), "it is seen as waiting");
}

#[tokio::test]
async fn rows_that_nobody_takes_over_wait_in_the_table() {
    let mut given = a_fresh_store().await;
    let rows = 1_001;
    given
        .put_all((0..rows).map(|n| (noon(), TO_WALLET, n.to_string())))
        .await;
    let mut handed_over = 0;
    while given.rows.try_recv().is_ok() {
        handed_over += 1;
    }
    assert_eq!(handed_over, 1_000, "the hand-over is bounded");
    let due = given.outbox.claim_due(lost(), TO_WALLET, 2_000, LEASE).await.unwrap();
    assert_eq!(due.len(), rows);
}

#[tokio::test]
async fn messages_of_one_transaction_have_fates_of_their_own() {
    let mut given = a_fresh_store().await;
    let payloads = ["arrives", "later", "never"];
    given
        .put_all(
            payloads
                .iter()
                .map(|payload| (noon(), TO_WALLET, (*payload).to_owned())),
        )
        .await;
    let rows: Vec<_> = std::iter::from_fn(|| given.rows.try_recv().ok()).collect();
    assert_eq!(
        rows.iter().map(|row| row.payload.as_str()).collect::<Vec<_>>(),
        payloads
    );
    let fates = [
        Settlement::Delivered,
        Settlement::Retry { at: noon_plus(1) },
        Settlement::Dead {
            error: "as\u{0}arranged".to_owned(),
        },
    ];
    let settlements = rows.iter().map(|row| row.id).zip(fates).collect();
    given.outbox.settle(noon(), settlements).await.unwrap();
    let due = given
        .outbox
        .claim_due(noon_plus(1), TO_WALLET, 10, LEASE)
        .await
        .unwrap();
    assert_eq!((due.len(), due[0].payload.as_str(), due[0].attempts), (1, "later", 1));
    let letters = given
        .texts("SELECT source || ', ' || payload FROM {}dead_letters")
        .await;
    assert_eq!(letters, ["service:wallet, never"]);
}

#[tokio::test]
async fn what_waits_longer_by_a_clock_that_was_set_back_is_brought_forward() {
    let given = a_fresh_store().await;
    let to_balance = Destination::Service(ServiceName::Balance);
    let late = noon_plus(3_600);
    given
        .put_all([(late, TO_WALLET, "1".to_owned()), (late, to_balance, "2".to_owned())])
        .await;
    assert_eq!(given.outbox.bring_forward(noon(), TO_WALLET).await, Ok(1));
    assert_eq!(given.outbox.bring_forward(noon(), TO_WALLET).await, Ok(0));
    let due = |destination| given.outbox.claim_due(noon(), destination, 10, LEASE);
    assert_eq!(due(TO_WALLET).await.unwrap().len(), 1);
    assert_eq!(due(to_balance).await.unwrap().len(), 0);
}

#[tokio::test]
async fn those_that_wait_longest_are_taken_first_and_nothing_settled_is_nothing_done() {
    let given = a_fresh_store().await;
    for second in [2, 0, 1] {
        given
            .put_all([(noon_plus(second), TO_WALLET, second.to_string())])
            .await;
    }
    for wanted in ["0", "1", "2"] {
        let taken = given
            .outbox
            .claim_due(noon_plus(60), TO_WALLET, 1, LEASE)
            .await
            .unwrap();
        assert_eq!(
            taken.iter().map(|row| row.payload.as_str()).collect::<Vec<_>>(),
            [wanted]
        );
    }
    given.outbox.settle(noon(), vec![]).await.unwrap();
    assert_eq!(given.outbox.backlog().await, Ok(3));
}
