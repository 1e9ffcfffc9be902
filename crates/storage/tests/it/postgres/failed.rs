//! Something fails on the way to a commit: what was asked for is done once and whole, or the caller hears that it is not.

use std::sync::Arc;
use std::time::Duration;

use contracts::messages::Queue;
use contracts::operators::Instruction;
use contracts::random::SeededEntropy;
use futures::FutureExt as _;
use storage::commands::{Amended, Amendment, CommandStore as _, Intervention};
use storage::outbox::{Destination, OutboxStore as _};
use storage::postgres::{ConnectError, Database, Options, Tx, TxError, migrate};
use storage::{StoreError, in_transaction};
use test_servers::postgres::{Postgres, TestDatabase};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::{SERVICE, a_fresh_store, administer, connect, impatient, migrations};
use crate::given::{command, key, noon};

const INSERT: &str = "INSERT INTO exchanger.outbox (destination, payload, next_attempt_at, created_at)
                      VALUES ('service:wallet', '', 0, 0) RETURNING id";

#[tokio::test]
async fn a_transaction_that_goes_on_after_a_failed_statement_is_not_taken_for_done() {
    let mut given = a_fresh_store().await;
    // The second fails before the transaction has begun on the server.
    for statements in [[INSERT, "SELECT 1 / 0"], ["SELECT 1 FROM exchanger.nothing", INSERT]] {
        for says_something in [false, true] {
            let forgives = async |tx: &mut Tx| {
                for statement in statements {
                    let _ = tx.query(statement, &[]).await;
                }
                if says_something {
                    given
                        .outbox
                        .put(tx, noon(), Destination::Queue(Queue::SagaSteps), "{}".to_owned());
                }
                Ok::<_, TxError>(())
            };
            let done: Result<(), StoreError> = in_transaction!(given.database, tx => forgives(&mut tx));
            assert!(
                matches!(done, Err(StoreError::Unavailable(_))),
                "{done:?} {statements:?}"
            );
            assert_eq!(given.outbox.backlog().await, Ok(0), "{statements:?}");
            assert!(given.rows.try_recv().is_err(), "nothing is handed on");
        }
    }
}

/// Lets everybody in, and says nothing more. (PostgreSQL documentation, "Message Formats": AuthenticationOk, ReadyForQuery.)
async fn a_server_that_only_lets_in() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut visitors = Vec::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let _ = near.read(&mut [0; 1_024]).await.unwrap();
            near.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.unwrap();
            visitors.push(near);
        }
    });
    format!("postgres://cambist@{address}/cambist?sslmode=disable")
}

#[tokio::test]
async fn a_server_that_says_nothing_to_a_new_connection_is_given_up() {
    let url = a_server_that_only_lets_in().await;
    let options = Options {
        connect: Duration::from_millis(200),
        ..impatient()
    };
    let connecting = Database::connect(&url, SERVICE, options, Arc::new(SeededEntropy::new(1)));
    let refused = tokio::time::timeout(Duration::from_secs(5), connecting).await.unwrap();
    assert!(
        matches!(refused, Err(ConnectError::Unreachable(_))),
        "{:?}",
        refused.err()
    );
}

#[tokio::test]
async fn an_intervention_whose_connection_breaks_is_done_by_the_second_try() {
    let given = a_fresh_store().await;
    given
        .commands
        .accept(noon(), vec![command(1, "buy")], false)
        .await
        .unwrap();
    // A sequence is not undone with the transaction.
    let dies_once = "
        CREATE SEQUENCE exchanger.deaths;
        GRANT SELECT ON SEQUENCE exchanger.deaths TO PUBLIC;
        CREATE FUNCTION exchanger.die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN IF nextval('exchanger.deaths') = 1 THEN
        PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); END IF; RETURN NEW; END $$;
        CREATE TRIGGER dies BEFORE UPDATE ON exchanger.commands FOR EACH ROW EXECUTE FUNCTION exchanger.die()";
    administer(&given.url, &[dies_once.to_owned()]).await;
    let reopen = Intervention {
        key: key(1),
        verb: "resolve",
        once: None,
        instruction: Instruction {
            operator: "operator:ann".to_owned(),
            reason: "seen in the statement".to_owned(),
        },
        decide: Box::new(|_| Amendment::Reopen {
            progress: "attempt 2".to_owned(),
        }),
    };
    assert_eq!(given.commands.intervene(noon(), reopen).await, Ok(Amended::Reopened));
    assert_eq!(given.texts("SELECT last_value::text FROM {}deaths").await, ["2"]);
    let standing = given.commands.standing(key(1)).await.unwrap().unwrap();
    assert_eq!(
        (standing.record.progress.as_str(), standing.acts.len()),
        ("attempt 2", 1)
    );
}

#[tokio::test]
async fn a_server_that_has_gone_silent_is_not_asked_again() {
    let given = a_fresh_store().await;
    let options = Options {
        answer: Duration::from_millis(200),
        ..Options::default()
    };
    let hasty = connect(&given.url, SERVICE, options).await;
    let mut tx = hasty.tries().begin().await.unwrap();
    let silent = tx.query("SELECT pg_sleep(5)", &[]).await;
    assert!(matches!(silent, Err(TxError::Silent(_))), "{silent:?}");
    assert!(tx.roll_back().now_or_never().is_some(), "it waits for nothing");
}

#[tokio::test]
async fn a_statement_whose_caller_has_hung_up_is_ended_by_the_server() {
    let given = a_fresh_store().await;
    given
        .commands
        .accept(noon(), vec![command(1, "buy")], false)
        .await
        .unwrap();
    let lock = "SELECT 1 FROM exchanger.commands FOR UPDATE";
    let mut holder = given.database.tries().begin().await.unwrap();
    holder.query(lock, &[]).await.unwrap();
    let options = Options {
        statement: Duration::from_secs(60),
        ..Options::default()
    };
    let patient = connect(&given.url, SERVICE, options).await;
    let mut hangs_up = patient.tries().begin().await.unwrap();
    hangs_up.query("SELECT pg_advisory_xact_lock(1)", &[]).await.unwrap();
    let waits = tokio::time::timeout(Duration::from_millis(100), hangs_up.query(lock, &[]));
    assert!(waits.await.is_err(), "it is blocked");
    drop(hangs_up);
    // Had as soon as the other is no more.
    let freed = given.database.query("SELECT pg_advisory_xact_lock(1)", &[]).await;
    assert!(freed.is_ok(), "{freed:?}");
    holder.roll_back().await;
}

#[tokio::test]
async fn a_start_waits_for_a_server_that_is_not_there_yet() {
    let mut server = tokio::task::spawn_blocking(|| Postgres::start().unwrap())
        .await
        .unwrap();
    let database = TestDatabase::create_on(&server.url());
    let url = database.url();
    migrate(&url, &[migrations()], noon()).await.unwrap();
    server.stop();
    let entropy = || Arc::new(SeededEntropy::new(1));
    let refused = Database::connect(&url, SERVICE, impatient(), entropy()).await;
    assert!(
        matches!(refused, Err(ConnectError::Unreachable(_))),
        "{:?}",
        refused.err()
    );
    let mut starts = Box::pin(Database::connect(&url, SERVICE, Options::default(), entropy()));
    let waited = tokio::time::timeout(Duration::from_millis(100), &mut starts).await;
    assert!(waited.is_err(), "it has not given up");
    server.start_again();
    assert!(starts.await.is_ok());
}
