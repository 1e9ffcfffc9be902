//! What one job says to one destination shares a row, and still each message has a fate of its own.

use contracts::ServiceName;
use contracts::time::later;
use storage::outbox::{Destination, OutboxRow, OutboxStore as _, Settlement};
use storage::sqlite::SqliteOutbox;

use crate::given::{noon, noon_plus};
use crate::sqlite::outbox::{LEASE, TO_WALLET, lost};
use crate::sqlite::{Given, open_fresh};

/// Puts messages in one job; they are what the dispatcher gets of it.
async fn put(given: &mut Given, payloads: &'static [&'static str]) -> Vec<OutboxRow> {
    let outbox = given.outbox.clone();
    let job = move |tx: &mut storage::sqlite::Tx<'_>| {
        payloads
            .iter()
            .for_each(|payload| outbox.put(tx, noon(), TO_WALLET, (*payload).to_owned()));
        Ok(())
    };
    given.database.writer().run(job).await.unwrap();
    std::iter::from_fn(|| given.rows.try_recv().ok()).collect()
}

async fn rows_in_the_table(given: &Given) -> i64 {
    let count = |connection: &rusqlite::Connection| {
        connection.query_row("SELECT count(*) FROM exchanger_outbox", (), |row| row.get(0))
    };
    given.database.readers().run(count).await.unwrap()
}

async fn due(outbox: &SqliteOutbox) -> Vec<(String, u32)> {
    let rows = outbox.claim_due(lost(), TO_WALLET, 1_000, LEASE).await.unwrap();
    rows.into_iter().map(|row| (row.payload, row.attempts)).collect()
}

#[tokio::test]
async fn messages_of_one_job_share_a_row_and_leave_it_when_the_last_of_them_has_arrived() {
    let mut given = open_fresh();
    let rows = put(&mut given, &["1", "2", "3"]).await;
    let payloads: Vec<_> = rows.iter().map(|row| row.payload.as_str()).collect();
    assert_eq!(payloads, ["1", "2", "3"]);
    assert_eq!(rows_in_the_table(&given).await, 1);
    assert_eq!(given.outbox.backlog().await, Ok(3));
    for (row, left) in rows.iter().zip([3, 3, 0]) {
        given
            .outbox
            .settle(noon(), vec![(row.id, Settlement::Delivered)])
            .await
            .unwrap();
        assert_eq!(given.outbox.backlog().await, Ok(left));
    }
}

#[tokio::test]
async fn those_for_others_and_those_that_are_too_many_have_rows_of_their_own() {
    let mut given = open_fresh();
    let (outbox, to_balance) = (given.outbox.clone(), Destination::Service(ServiceName::Balance));
    let job = move |tx: &mut storage::sqlite::Tx<'_>| {
        for number in 0..100 {
            outbox.put(tx, noon(), TO_WALLET, number.to_string());
            outbox.put(tx, noon(), to_balance, number.to_string());
        }
        Ok(())
    };
    given.database.writer().run(job).await.unwrap();
    assert_eq!(rows_in_the_table(&given).await, 4);
    let ids: std::collections::BTreeSet<_> = std::iter::from_fn(|| given.rows.try_recv().ok())
        .map(|row| row.id)
        .collect();
    assert_eq!(ids.len(), 200, "each has a number of its own");
    let mut found = due(&given.outbox).await;
    found.sort_by_key(|(number, _)| number.parse::<i32>().unwrap());
    let wanted: Vec<_> = (0..100).map(|number| (number.to_string(), 0)).collect();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn what_does_not_arrive_is_tried_again_alone_and_what_never_can_is_buried_alone() {
    let mut given = open_fresh();
    let rows = put(&mut given, &["arrives", "later", "never"]).await;
    let fates = [
        Settlement::Delivered,
        Settlement::Retry { at: noon_plus(1) },
        Settlement::Dead {
            error: "as arranged".to_owned(),
        },
    ];
    let settlements = rows.iter().map(|row| row.id).zip(fates).collect();
    given.outbox.settle(noon(), settlements).await.unwrap();
    assert_eq!(due(&given.outbox).await, [("later".to_owned(), 1)]);
    let letter = |connection: &rusqlite::Connection| {
        connection.query_row(
            "SELECT payload || ': ' || error FROM exchanger_dead_letters",
            (),
            |row| row.get(0),
        )
    };
    let letter: String = given.database.readers().run(letter).await.unwrap();
    assert_eq!(letter, "never: as arranged");
}

#[tokio::test]
async fn a_sweep_finds_those_whose_fate_is_open_and_the_next_process_finds_all_of_the_row() {
    let mut given = open_fresh();
    let rows = put(&mut given, &["1", "2", "3"]).await;
    given
        .outbox
        .settle(noon(), vec![(rows[1].id, Settlement::Delivered)])
        .await
        .unwrap();
    assert_eq!(due(&given.outbox).await, [("1".to_owned(), 0), ("3".to_owned(), 0)]);

    let (next, _) = SqliteOutbox::new(ServiceName::Exchanger, given.database.clone(), 10);
    let after = later(lost(), LEASE);
    let found = next.claim_due(after, TO_WALLET, 10, LEASE).await.unwrap();
    assert_eq!(found.len(), 3, "it may come twice, and is never lost");
}

#[tokio::test]
async fn a_row_that_could_not_be_written_when_all_was_known_is_delivered_again() {
    let mut given = open_fresh();
    let rows = put(&mut given, &["1", "2"]).await;
    let forbid = |tx: &mut storage::sqlite::Tx<'_>| {
        tx.execute_batch("CREATE TRIGGER stay BEFORE DELETE ON exchanger_outbox BEGIN SELECT RAISE(ABORT, 'no'); END")
    };
    given.database.writer().run(forbid).await.unwrap();
    let settlements: Vec<_> = rows.iter().map(|row| (row.id, Settlement::Delivered)).collect();
    given.outbox.settle(noon(), settlements.clone()).await.unwrap_err();
    assert_eq!(due(&given.outbox).await.len(), 2);
    let allow = |tx: &mut storage::sqlite::Tx<'_>| tx.execute_batch("DROP TRIGGER stay");
    given.database.writer().run(allow).await.unwrap();
    given.outbox.settle(noon(), settlements).await.unwrap();
    assert_eq!(given.outbox.backlog().await, Ok(0));
}

#[tokio::test]
async fn a_row_that_was_buried_as_a_whole_comes_back_as_the_messages_that_it_is() {
    let mut given = open_fresh();
    let rows = put(&mut given, &["1\u{1e}2", "3"]).await;
    let payloads: Vec<_> = rows.iter().map(|row| row.payload.as_str()).collect();
    assert_eq!(payloads, ["1", "2", "3"]);
}
