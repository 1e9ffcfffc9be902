//! Plans that were made while the tables were empty: they must do when these are full.

use std::time::Duration;

use storage::postgres::Options;
use test_servers::plans::that_read_everything;
use wallet::domain::Fact;
use wallet::ports::{NewDeposit, NewOrder, Placement};

use super::{connect_with, given, replica};
use crate::conformance::{Replica, after, key, new_order, start};
use crate::samples::*;

/// Enough for a statement to have a generic plan.
const ROUNDS: i64 = 8;
const FULL: &str = "
    INSERT INTO wallet.orders (order_id, user_id, side, asset, currency, requested, definition, state, revision,
        next_attempt_at, created_at, updated_at)
    SELECT number, number, 'buy', 'BTC', 'USD', 1, 1, 'created', 1, 0, 0, 0 FROM generate_series(1000, 5000) AS number;
    INSERT INTO wallet.order_events (order_id, seq, time, to_state, event, cause, actor)
    SELECT number, 1, 0, 'created', '', '', '' FROM generate_series(1000, 5000) AS number;
    INSERT INTO wallet.freezes (user_id, operator, reason, since)
    SELECT number, '', '', 0 FROM generate_series(1000, 5000) AS number";

/// What a user, an order and a deposit ask of the store.
async fn live(store: &Replica, round: i64) {
    let order = NewOrder {
        client_reference: Some(format!("r{round}")),
        idempotency: key(&format!("k{round}"), 1),
        ..new_order(2)
    };
    assert_eq!(store.freezes.is_frozen(user(2)).await, Ok(false));
    let placed = store
        .orders
        .create_orders(start(), after(3), vec![order], Box::new(|_| {}))
        .await
        .unwrap();
    let [Placement::Created(order)] = placed.as_slice() else {
        panic!("{placed:?}")
    };
    let pauses = || vec![Duration::from_secs(5)];
    assert_eq!(store.orders.claim_due(after(3), 10, pauses()).await.unwrap().len(), 1);
    for fact in [Fact::Held, exchange_failed(), Fact::Released] {
        let events = vec![(order.id, event(fact))];
        store.orders.advance(after(1), after(4), events).await.unwrap();
    }
    assert!(store.orders.order(user(2), order.id).await.unwrap().is_some());
    store.orders.orders(user(2), None, 10).await.unwrap();
    store.orders.order_named(user(2), format!("r{round}")).await.unwrap();
    store.orders.log_after(order.id, 1, 10).await.unwrap();
    store.orders.saga(order.id).await.unwrap();

    let deposit = NewDeposit {
        user_id: user(2),
        amount: usd("1"),
        reference: format!("r{round}"),
        idempotency: key(&format!("k{round}"), 1),
        instruction: None,
    };
    let placed = store
        .deposits
        .create_deposits(start(), after(3), vec![deposit], Box::new(|_| {}))
        .await
        .unwrap();
    let [Placement::Created(deposit)] = placed.as_slice() else {
        panic!("{placed:?}")
    };
    assert_eq!(store.deposits.claim_due(after(3), 10, pauses()).await.unwrap().len(), 1);
    store.deposits.book_deposits(after(2), vec![deposit.id]).await.unwrap();
}

#[tokio::test]
async fn what_was_planned_while_a_table_was_empty_does_not_read_all_of_it_when_it_is_full() {
    let given = given().await;
    let one_connection = Options {
        connections: 1,
        ..Options::default()
    };
    let database = connect_with(&given.home.url(), one_connection).await;
    let store = replica(database.clone());
    for round in 1..=ROUNDS {
        live(&store, round).await;
    }
    given.owner().await.batch_execute(FULL).await.unwrap();
    let ask = async |sql: String| -> Vec<String> {
        let rows = database.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let (seen, found) = that_read_everything("wallet.", ask).await;
    assert!(seen >= 18, "{seen}");
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
