//! The conformance suite on SQLite, and what only this adapter has: the facts for the audit.

use std::path::Path;
use std::sync::{Arc, Mutex};

use contracts::ServiceName;
use contracts::clients::Side;
use jiff::Timestamp;
use rusqlite::Connection;
use storage::migrations::SchemaError;
use storage::sqlite::{Database, Durability, OpenError, Options, SqliteOutbox, migrate, reader};
use tempfile::TempDir;
use wallet::domain::{Fact, replay};
use wallet::ports::{NewDeposit, NewOrder};
use wallet::store::sqlite::{SqliteWallet, audit};

use crate::conformance::Subject;
use crate::samples::*;

#[derive(Debug)]
#[allow(
    dead_code,
    reason = "only its Debug form is of use, when a test cannot open its database"
)]
pub(crate) enum Refused {
    Open(OpenError),
    Schema(SchemaError),
}

impl From<OpenError> for Refused {
    fn from(error: OpenError) -> Self {
        Self::Open(error)
    }
}

/// A database with the wallet's schema. Tests are about logic, not about power cuts.
pub(crate) fn open(path: &Path) -> Database {
    let options = Options {
        durability: Durability::ProcessCrash,
        ..Options::default()
    };
    let prepare = |connection: &mut Connection| {
        migrate(connection, &[wallet::migrations()], Timestamp::UNIX_EPOCH)
            .map(drop)
            .map_err(Refused::Schema)
    };
    Database::open(path, options, prepare).unwrap()
}

fn subject() -> (TempDir, Subject) {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("wallet.db"));
    let (outbox, rows) = SqliteOutbox::new(ServiceName::Wallet, database.clone(), 64);
    let rows = Mutex::new(rows);
    let store = Arc::new(SqliteWallet::new(database, outbox));
    let subject = Subject {
        orders: Arc::clone(&store) as _,
        deposits: Arc::clone(&store) as _,
        freezes: Arc::clone(&store) as _,
        keys: store,
        sent: Arc::new(move || {
            let mut rows = rows.lock().unwrap();
            std::iter::from_fn(|| rows.try_recv().ok())
                .map(|row| row.destination.to_string())
                .collect()
        }),
    };
    (folder, subject)
}

macro_rules! conforms {
    ($suite:path: $($name:ident,)*) => {$(
        #[tokio::test]
        async fn $name() {
            use $suite as suite;
            let (_folder, subject) = subject();
            suite::$name(subject).await;
        }
    )*};
}

conforms! { crate::conformance:
    an_order_is_stored_with_its_log_and_the_command_of_its_hold,
    ids_ascend_in_the_order_of_creation,
    a_key_finds_its_order_again_and_only_for_its_user_and_request,
    orders_that_are_placed_at_once_are_answered_and_announced_one_by_one,
    a_decided_order_is_not_announced_again,
    a_reference_belongs_to_one_order_of_a_user,
    an_order_moves_with_its_log_and_its_commands_and_a_repetition_changes_nothing,
    events_of_one_call_are_applied_in_order_and_none_harms_another,
    a_stuck_order_alerts_and_a_refused_release_keeps_its_pause,
    what_is_due_is_claimed_once_and_put_off_longer_each_time,
    a_claim_is_bounded_and_takes_the_longest_due_first,
    a_user_lists_their_own_orders_newest_first,
    a_user_finds_their_own_order_by_its_reference,
    a_log_is_read_on_from_any_entry,
    an_operator_finds_open_orders_by_state_and_age,
    dead_letters_are_taken,
}

conforms! { crate::conformance::keys:
    keys_are_forgotten_when_they_are_old_and_orders_stay,
    the_key_of_what_has_not_ended_is_not_forgotten,
    many_keys_are_forgotten_in_steps,
    time_in_which_several_processes_run_is_counted_once,
}

conforms! { crate::conformance::freezes:
    nothing_is_stored_for_a_user_after_their_freeze_but_what_an_operator_books,
}

conforms! { crate::conformance::deposits:
    a_deposit_is_pending_with_its_command_until_it_is_booked,
    deposits_have_keys_and_references_of_their_own,
    deposits_that_are_not_booked_are_claimed_when_due,
}

#[tokio::test]
async fn the_audit_reads_orders_with_their_logs_and_deposits_by_ranges_of_ids() {
    let (folder, subject) = subject();
    let now = Timestamp::UNIX_EPOCH;
    let order = NewOrder {
        user_id: user(2),
        terms: terms(Side::Sell),
        client_reference: None,
        idempotency: None,
    };
    let orders = vec![order.clone(), order.clone(), order];
    let placed = subject.orders.create_orders(now, now, orders, Box::new(|_| {})).await;
    assert_eq!(placed.unwrap().len(), 3);
    let events = vec![
        (order_id(2), event(Fact::Held)),
        (order_id(2), event(exchanged(Side::Sell))),
    ];
    subject.orders.advance(now, now, events).await.unwrap();
    let deposits = ["a", "b"].map(|reference| NewDeposit {
        user_id: user(2),
        amount: usd("600"),
        reference: reference.to_owned(),
        idempotency: None,
        instruction: None,
    });
    let placed = subject
        .deposits
        .create_deposits(now, now, deposits.to_vec(), Box::new(|_| {}))
        .await;
    assert_eq!(placed.unwrap().len(), 2);

    let connection = reader(&folder.path().join("wallet.db")).unwrap();
    let first = audit::orders(&connection, None, 2).unwrap();
    assert_eq!(first.len(), 2);
    for facts in &first {
        assert_eq!(replay(&facts.log).as_ref(), Ok(&facts.order.saga));
    }
    assert_eq!(first[1].log.len(), 3);
    let rest = audit::orders(&connection, Some(first[1].order.id), 2).unwrap();
    assert_eq!(
        rest.iter().map(|facts| facts.order.id).collect::<Vec<_>>(),
        [order_id(3)]
    );
    let deposits = audit::deposits(&connection, None, 10).unwrap();
    assert_eq!(deposits.len(), 2);
    assert_eq!(audit::deposits(&connection, Some(deposits[0].id), 10).unwrap().len(), 1);
}

#[tokio::test]
async fn an_order_that_only_a_newer_program_can_read_keeps_no_other_from_being_found() {
    let (folder, subject) = subject();
    let now = Timestamp::UNIX_EPOCH;
    let order = NewOrder {
        user_id: user(2),
        terms: terms(Side::Sell),
        client_reference: None,
        idempotency: None,
    };
    let orders = vec![order.clone(), order];
    subject
        .orders
        .create_orders(now, now, orders, Box::new(|_| ()))
        .await
        .unwrap();
    let beside = Connection::open(folder.path().join("wallet.db")).unwrap();
    beside
        .execute("UPDATE wallet_orders SET asset = 'NEW' WHERE order_id = 1", ())
        .unwrap();
    let due = subject.orders.claim_due(now, 1, vec![]).await.unwrap();
    assert_eq!(due, [], "it came first, and is left aside");
    let due = subject.orders.claim_due(now, 1, vec![]).await.unwrap();
    assert_eq!(due.iter().map(|order| order.id).collect::<Vec<_>>(), [order_id(2)]);
}

#[test]
fn the_cheaper_check_of_a_state_takes_the_place_of_the_old_one_and_refuses_as_much() {
    let mut connection = Connection::open_in_memory().unwrap();
    let insert = |connection: &Connection, state: &str| {
        connection.execute(
            "INSERT INTO wallet_orders (user_id, side, asset, currency, requested, definition, state, revision,
             next_attempt_at, created_at, updated_at) VALUES (2, 'buy', 'BTC', 'USD', x'00', 1, ?, 1, 0, 0, 0)",
            [state],
        )
    };
    let migrations = wallet::migrations();
    for migration in migrations.list() {
        if migration.name == "cheaper checks" {
            for state in ["created", "stuck_releasing", "completed"] {
                insert(&connection, state).unwrap();
            }
        }
        let transaction = connection.transaction().unwrap();
        transaction.execute_batch(&migration.sql).unwrap();
        transaction.commit().unwrap();
    }
    let text = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, String>(0)).unwrap();
    let schema = text("SELECT sql FROM sqlite_schema WHERE name = 'wallet_orders'");
    assert!(schema.contains("CHECK (state = 'created' OR"), "{schema}");
    assert!(!schema.contains("state IN"), "{schema}");
    for state in ["failed", "exchanging", "stuck_withdrawing"] {
        insert(&connection, state).unwrap();
    }
    for state in ["", "stuck", "Created"] {
        insert(&connection, state).unwrap_err();
    }
    assert_eq!(text("SELECT count(*) || '' FROM wallet_orders"), "6");
    assert_eq!(text("PRAGMA integrity_check"), "ok");
}
