//! Effects are stored with their cause, handed over after the commit, and found again when that gets lost.

use std::time::Duration;

use contracts::ServiceName;
use storage::outbox::{Destination, HAND_OVER, OutboxStore, Settlement};

use crate::given::{Given, a_fresh_store, noon, noon_plus};

pub(crate) const TO_WALLET: Destination = Destination::Service(ServiceName::Wallet);
pub(crate) const LEASE: Duration = Duration::from_secs(10);

async fn put(given: &Given, payload: &str) {
    let (outbox, payload) = (given.outbox.clone(), payload.to_owned());
    given
        .database
        .writer()
        .run(move |tx| {
            outbox.put(tx, noon(), TO_WALLET, payload);
            Ok(())
        })
        .await
        .unwrap();
}

pub(crate) fn lost() -> jiff::Timestamp {
    contracts::time::later(noon(), HAND_OVER)
}

#[tokio::test]
async fn a_row_is_handed_over_after_its_commit_and_goes_when_it_is_delivered() {
    let mut given = a_fresh_store();
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
    let mut given = a_fresh_store();
    let outbox = given.outbox.clone();
    let failed = given.database.writer().run(move |tx| {
        outbox.put(tx, noon(), TO_WALLET, "never".to_owned());
        tx.execute("INSERT INTO no_such_table VALUES (1)", ()).map(drop)
    });
    assert!(failed.await.is_err());
    assert!(given.rows.try_recv().is_err());
    assert_eq!(given.outbox.backlog().await, Ok(0));
}

#[tokio::test]
async fn a_row_lost_on_the_way_is_due_later_and_taken_by_one_dispatcher_only() {
    let given = a_fresh_store();
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
    let given = a_fresh_store();
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
    let mut given = a_fresh_store();
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
    let letters: Vec<(String, String, String)> = given
        .database
        .readers()
        .run(|connection| {
            connection
                .prepare("SELECT source, payload, error FROM exchanger_dead_letters")?
                .query_map((), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect()
        })
        .await
        .unwrap();
    assert_eq!(
        letters,
        [(
            "service:wallet".to_owned(),
            "nonsense".to_owned(),
            "not JSON".to_owned()
        )]
    );
    assert_eq!(given.outbox.backlog().await, Ok(0));
}

#[tokio::test]
async fn settling_a_row_twice_never_hits_a_newer_one() {
    let mut given = a_fresh_store();
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
    let given = a_fresh_store();
    for n in 0..20 {
        put(&given, &format!("for the wallet {n}")).await;
    }
    let to_balance = Destination::Service(ServiceName::Balance);
    let outbox = given.outbox.clone();
    given
        .database
        .writer()
        .run(move |tx| {
            outbox.put(tx, noon_plus(1), to_balance, "for the ledger".to_owned());
            Ok(())
        })
        .await
        .unwrap();
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
    let given = a_fresh_store();
    put(&given, "known").await;
    given
        .database
        .writer()
        .run(|tx| {
            let sql =
                "INSERT INTO exchanger_outbox (destination, payload, next_attempt_at) VALUES ('service:tax', '', 0)";
            tx.execute(sql, ()).map(drop)
        })
        .await
        .unwrap();
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
    let mut given = a_fresh_store();
    let (outbox, rows) = (given.outbox.clone(), 1_001);
    given
        .database
        .writer()
        .run(move |tx| {
            (0..rows).for_each(|n| outbox.put(tx, noon(), TO_WALLET, n.to_string()));
            Ok(())
        })
        .await
        .unwrap();
    let mut handed_over = 0;
    while given.rows.try_recv().is_ok() {
        handed_over += 1;
    }
    assert_eq!(handed_over, 1_000, "the hand-over is bounded");
    let due = given.outbox.claim_due(lost(), TO_WALLET, 2_000, LEASE).await.unwrap();
    assert_eq!(due.len(), rows);
}
