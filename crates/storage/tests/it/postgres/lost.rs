//! The connection breaks: before a commit nothing is done and the store tries again; during one nobody knows, and says so.

use std::time::Duration;

use contracts::messages::Queue;
use storage::commands::{Acceptance, CommandStore as _};
use storage::outbox::OutboxStore as _;
use storage::postgres::{Options, Tx, TxError, migrate};
use storage::{StoreError, in_transaction};
use test_servers::postgres::{Postgres, TestDatabase, Way};

use super::{a_fresh_store, a_replica, administer, impatient, migrations};
use crate::given::{command, key, noon};

#[tokio::test]
async fn a_connection_that_is_killed_in_the_middle_of_a_batch_costs_a_second_try() {
    let mut given = a_fresh_store().await;
    let mut tries = 0;
    let work = async |tx: &mut Tx, tries: &mut i32| {
        *tries += 1;
        let sql = "INSERT INTO exchanger.outbox (destination, payload, next_attempt_at, created_at)
                   VALUES ('service:wallet', '', 0, 0) RETURNING pg_backend_pid()";
        let rows = tx.query(sql, &[]).await?;
        if *tries == 1 {
            let pid: i32 = rows[0].get(0);
            administer(&given.url, &[format!("SELECT pg_terminate_backend({pid}, 5000)")]).await;
        }
        given.outbox.put(
            tx,
            noon(),
            storage::outbox::Destination::Queue(Queue::SagaSteps),
            "{}".to_owned(),
        );
        Ok::<_, TxError>(())
    };
    let done: Result<(), StoreError> = in_transaction!(given.database, tx => work(&mut tx, &mut tries));
    assert_eq!((done, tries), (Ok(()), 2));
    assert_eq!(given.outbox.backlog().await, Ok(2), "once each");
    assert!(given.rows.try_recv().is_ok());
    assert!(given.rows.try_recv().is_err(), "handed on once");
}

#[tokio::test]
async fn a_backend_that_dies_while_it_commits_leaves_the_outcome_unknown() {
    let mut given = a_fresh_store().await;
    let dies_at_commit = "
        CREATE FUNCTION exchanger.die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON exchanger.commands DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION exchanger.die()";
    administer(&given.url, &[dies_at_commit.to_owned()]).await;
    let accepted = given.commands.accept(noon(), vec![command(1, "buy")], false).await;
    assert!(matches!(accepted, Err(StoreError::Unknown(_))), "{accepted:?}");
    assert!(given.rows.try_recv().is_err(), "nothing is handed on");
    administer(&given.url, &["DROP TRIGGER dies ON exchanger.commands".to_owned()]).await;
    assert_eq!(given.commands.record(key(1)).await, Ok(None));
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown_and_asking_again_finds_it_done() {
    let given = a_fresh_store().await;
    let way = Way::to(&given.url);
    let mut far = a_replica(way.url(), Some(Queue::SagaSteps), Options::default()).await;
    let buy = || vec![command(1, "buy")];
    way.break_at_commit(1);
    let lost = far.commands.accept(noon(), buy(), false).await;
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    assert!(far.rows.try_recv().is_err(), "its wake-up waits in the table");
    assert_eq!(given.outbox.backlog().await, Ok(1));
    assert_eq!(
        far.commands.accept(noon(), buy(), false).await,
        Ok(vec![Acceptance::Known])
    );
}

#[tokio::test]
async fn a_server_that_crashes_between_two_calls_loses_nothing_and_fails_no_call() {
    let mut server = tokio::task::spawn_blocking(|| Postgres::start().unwrap())
        .await
        .unwrap();
    let database = TestDatabase::create_on(&server.url());
    migrate(&database.url(), &[migrations()], noon()).await.unwrap();
    let mut given = a_replica(&database.url(), Some(Queue::SagaSteps), Options::default()).await;
    // Several connections, all of which the crash breaks.
    let accept = |order| given.commands.accept(noon(), vec![command(order, "buy")], false);
    futures::future::try_join_all((1..=5).map(accept)).await.unwrap();
    server.restart();
    let keys = (1..=5).map(key).collect();
    assert_eq!(given.commands.claim(noon(), keys).await.unwrap().len(), 5);
    assert_eq!(given.outbox.backlog().await, Ok(5));
    while given.rows.try_recv().is_ok() {}

    server.stop();
    let refused = given.commands.accept(noon(), vec![command(6, "buy")], false).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(given.rows.try_recv().is_err());
    server.start_again();
    let accepted = given.commands.accept(noon(), vec![command(6, "buy")], false).await;
    assert_eq!(accepted, Ok(vec![Acceptance::New(None)]));
}

#[tokio::test]
async fn waits_for_a_connection_and_for_a_lock_have_an_end() {
    let given = a_fresh_store().await;
    given
        .commands
        .accept(noon(), vec![command(1, "buy")], false)
        .await
        .unwrap();
    let options = Options {
        connections: 1,
        ..impatient()
    };
    let busy = a_replica(&given.url, Some(Queue::SagaSteps), options).await;
    let mut held = busy.database.snapshot().await.unwrap();
    held.query("SELECT 1", &[]).await.unwrap();
    let full = busy.commands.open_count().await;
    assert_eq!(full, Err(StoreError::Overloaded), "the only connection is in use");
    held.roll_back().await;
    assert_eq!(busy.commands.open_count().await, Ok(1));

    let mut holder = given.database.tries().begin().await.unwrap();
    holder
        .query("SELECT 1 FROM exchanger.commands FOR UPDATE", &[])
        .await
        .unwrap();
    let claim = tokio::time::timeout(Duration::from_secs(5), busy.commands.claim(noon(), vec![key(1)]));
    let waited = claim.await.unwrap();
    assert!(matches!(waited, Err(StoreError::Unavailable(_))), "{waited:?}");
    drop(holder);
    assert_eq!(given.commands.claim(noon(), vec![key(1)]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_caller_that_stops_waiting_leaves_no_transaction_behind() {
    let given = a_fresh_store().await;
    given
        .commands
        .accept(noon(), vec![command(1, "buy")], false)
        .await
        .unwrap();
    let options = Options {
        connections: 1,
        ..Options::default()
    };
    let replica = a_replica(&given.url, Some(Queue::SagaSteps), options).await;
    let mut holder = given.database.tries().begin().await.unwrap();
    holder
        .query("SELECT 1 FROM exchanger.commands FOR UPDATE", &[])
        .await
        .unwrap();
    let claim = replica.commands.claim(noon(), vec![key(1)]);
    assert!(
        tokio::time::timeout(Duration::from_millis(100), claim).await.is_err(),
        "it is blocked"
    );
    drop(holder);
    // The same connection, or a new one in its place: nothing of what was dropped is left in it.
    assert_eq!(replica.commands.open_count().await, Ok(1));
    let claimed = given.commands.claim(noon(), vec![key(1)]).await.unwrap();
    assert_eq!(claimed[0].epoch, 1, "what was dropped has claimed nothing");
}
