//! Orders that an earlier program wrote: their logs are read as before.

use contracts::ServiceName;
use jiff::Timestamp;
use rusqlite::Connection;
use storage::migrations::Migrations;
use storage::sqlite::migrate;

use crate::sqlite::open;

/// Two orders whose events were written in turns.
const ORDERS: &str = "
INSERT INTO wallet_orders (order_id, user_id, side, asset, currency, requested, definition, state, revision,
                           next_attempt_at, created_at, updated_at)
VALUES (1, 2, 'buy', 'BTC', 'USD', x'80000000000000000000000000000bb8', 1, 'exchanging', 2, 0, 10, 30),
       (2, 3, 'buy', 'BTC', 'USD', x'80000000000000000000000000000bb8', 1, 'failed', 2, 0, 20, 40);
INSERT INTO wallet_order_events (order_id, seq, time, from_state, to_state, event, cause, actor)
VALUES (1, 1, 10, NULL, 'created', '{}', 'accepted', 'user:2'),
       (1, 2, 30, 'created', 'exchanging', '{}', 'the hold is booked', 'balance'),
       (2, 1, 20, NULL, 'created', '{}', 'accepted', 'user:3'),
       (2, 2, 40, 'created', 'failed', '{}', 'the hold is refused', 'balance');";

fn texts(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map((), |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[tokio::test]
async fn the_events_of_an_earlier_program_come_along_in_the_order_in_which_they_happened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wallet.db");
    let all = wallet::migrations();
    let moves = all
        .list()
        .iter()
        .position(|migration| migration.name == "events as they come");
    let earlier = all.list()[..moves.unwrap()]
        .iter()
        .fold(Migrations::new(ServiceName::Wallet), |earlier, migration| {
            earlier.then(migration.name, &migration.sql)
        });
    let mut connection = Connection::open(&path).unwrap();
    migrate(&mut connection, &[earlier], Timestamp::UNIX_EPOCH).unwrap();
    connection.execute_batch(ORDERS).unwrap();
    let content = "SELECT order_id || ' ' || seq || ' ' || time || ' ' || coalesce(from_state, '-') || ' ' || to_state
         || ' ' || event || ' ' || cause || ' ' || actor FROM wallet_order_events ORDER BY order_id, seq";
    let before = texts(&connection, content);
    drop(connection);
    drop(open(&path));
    let connection = Connection::open(&path).unwrap();
    assert_eq!(texts(&connection, content), before);
    let stored = "SELECT order_id || ' ' || seq FROM wallet_order_events ORDER BY rowid";
    assert_eq!(texts(&connection, stored), ["1 1", "2 1", "1 2", "2 2"]);
}
