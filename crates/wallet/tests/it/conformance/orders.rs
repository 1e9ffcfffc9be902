//! The part of the suite about accepting orders and moving them.

use contracts::clients::Side;
use contracts::messages::Trade;
use contracts::{Amount, Asset, Price};
use wallet::domain::{Fact, MAX_UNITS, OrderState, Terms, Why, replay};
use wallet::ports::{Advanced, NewOrder, Placement, SagaRecord, Undecided};

use super::{Subject, after, apply, key, listen, new_order, place, sent, start};
use crate::samples::*;

pub(super) async fn an_order_is_stored_with_its_log_and_the_command_of_its_hold(subject: Subject) {
    let order = NewOrder {
        client_reference: Some("rent".to_owned()),
        ..new_order(2)
    };
    let id = place(&subject, order).await;
    let (order, log) = subject.orders().order(user(2), id).await.unwrap().unwrap();
    assert_eq!(order.saga.terms, terms(Side::Buy));
    assert_eq!((order.saga.state, order.revision), (OrderState::Created, 1));
    assert_eq!(order.client_reference.as_deref(), Some("rent"));
    assert_eq!((order.created_at, order.next_attempt_at), (start(), after(3)));
    assert_eq!(log.len(), 1);
    assert_eq!(replay(&log), Ok(order.saga));
    assert_eq!(sent(&subject), ["service:balance"]);
}

pub(super) async fn ids_ascend_in_the_order_of_creation(subject: Subject) {
    let placements = subject
        .orders()
        .create_orders(
            start(),
            after(3),
            vec![new_order(2), new_order(3), new_order(2)],
            Box::new(|_| {}),
        )
        .await
        .unwrap();
    let ids: Vec<i64> = placements
        .iter()
        .map(|placement| match placement {
            Placement::Created(order) => order.id.get(),
            other @ (Placement::Replayed(_)
            | Placement::KeyReused
            | Placement::ReferenceTaken(_)
            | Placement::Frozen) => {
                panic!("a new order, not {other:?}")
            }
        })
        .collect();
    assert!(ids.is_sorted() && ids[0] < ids[2], "{ids:?}");
}

pub(super) async fn a_key_finds_its_order_again_and_only_for_its_user_and_request(subject: Subject) {
    let with_key = |user_id, request| NewOrder {
        idempotency: key("k", request),
        ..new_order(user_id)
    };
    let id = place(&subject, with_key(2, 1)).await;
    let other = place(&subject, with_key(3, 1)).await;
    assert_ne!(id, other);
    let (heard, announce) = listen();
    let again = vec![with_key(2, 1), with_key(2, 2), new_order(2)];
    let placements = subject
        .orders()
        .create_orders(after(5), after(9), again, announce)
        .await
        .unwrap();
    assert!(matches!(&placements[0], Placement::Replayed(order) if order.id == id && order.created_at == start()));
    assert_eq!(placements[1], Placement::KeyReused);
    let Placement::Created(third) = &placements[2] else {
        panic!("{placements:?}")
    };
    let undecided = [(0, id, false), (2, third.id, true)].map(|(index, id, new)| Undecided { index, id, new });
    assert_eq!(*heard.lock().unwrap(), undecided);
    assert_eq!(sent(&subject).len(), 3, "a replay sends nothing");
}

/// As requests do: each asks for itself, and all at once.
pub(super) async fn orders_that_are_placed_at_once_are_answered_and_announced_one_by_one(subject: Subject) {
    let wishes = [("a", 1), ("b", 1), ("a", 1), ("b", 2)].map(|(name, request)| NewOrder {
        idempotency: key(name, request),
        ..new_order(2)
    });
    let requests = wishes.map(|order| {
        let (heard, announce) = listen();
        let placing = subject.orders().create_orders(start(), after(3), vec![order], announce);
        async move { (placing.await.unwrap(), heard) }
    });
    let answers = futures::future::join_all(requests).await;
    let mut answers = answers
        .iter()
        .map(|(placements, heard)| (placements.as_slice(), heard.lock().unwrap().clone()));
    let mut next = || answers.next().unwrap();
    for new in [true, true, false] {
        let (placements, heard) = next();
        let (([Placement::Created(order)], true) | ([Placement::Replayed(order)], false)) = (placements, new) else {
            panic!("{placements:?}")
        };
        let id = order.id;
        assert_eq!(heard, [Undecided { index: 0, id, new }]);
    }
    assert_eq!(next(), ([Placement::KeyReused].as_slice(), vec![]));
    assert_eq!(sent(&subject).len(), 2);
}

pub(super) async fn a_decided_order_is_not_announced_again(subject: Subject) {
    let order = NewOrder {
        idempotency: key("k", 1),
        ..new_order(2)
    };
    let id = place(&subject, order.clone()).await;
    apply(&subject, id, Fact::HoldRefused).await;
    let (heard, announce) = listen();
    let placements = subject
        .orders()
        .create_orders(after(5), after(9), vec![order], announce)
        .await
        .unwrap();
    assert!(matches!(&placements[0], Placement::Replayed(order) if order.saga.refused_at_hold()));
    assert!(heard.lock().unwrap().is_empty());
}

pub(super) async fn a_reference_belongs_to_one_order_of_a_user(subject: Subject) {
    let named = |user_id| NewOrder {
        client_reference: Some("rent".to_owned()),
        ..new_order(user_id)
    };
    let id = place(&subject, named(2)).await;
    place(&subject, named(3)).await;
    let placements = subject
        .orders()
        .create_orders(start(), after(3), vec![named(2)], Box::new(|_| {}))
        .await
        .unwrap();
    assert_eq!(placements, [Placement::ReferenceTaken(id)]);
}

pub(super) async fn an_order_moves_with_its_log_and_its_commands_and_a_repetition_changes_nothing(subject: Subject) {
    let id = place(&subject, new_order(2)).await;
    let facts = [
        Fact::Held,
        Fact::Exchanged {
            trade: partial_trade(Side::Buy),
        },
        withdrawn(),
    ];
    for fact in facts {
        let Advanced::Moved { order, alert, .. } = apply(&subject, id, fact.clone()).await else {
            panic!("{fact:?} moves the order");
        };
        assert!(!alert);
        assert_eq!((order.next_attempt_at, order.updated_at), (after(4), after(1)));
        let (stored, log) = subject.orders().order(user(2), id).await.unwrap().unwrap();
        assert_eq!(stored, *order);
        assert_eq!(replay(&log), Ok(stored.saga.clone()), "the log gives the state");
        assert!(matches!(apply(&subject, id, fact).await, Advanced::Ignored { .. }));
        let (same, _) = subject.orders().order(user(2), id).await.unwrap().unwrap();
        assert_eq!(same, stored);
    }
    let destinations = [
        "service:balance",
        "service:exchanger",
        "service:bc_gateway",
        "service:notification",
    ];
    assert_eq!(sent(&subject), destinations);
}

pub(super) async fn events_of_one_call_are_applied_in_order_and_none_harms_another(subject: Subject) {
    let first = place(&subject, new_order(2)).await;
    let second = place(&subject, new_order(3)).await;
    let events = vec![
        (first, event(Fact::Held)),
        (order_id(999), event(Fact::Held)),
        (second, event(Fact::HoldRefused)),
        (first, event(exchange_failed())),
        (second, event(Fact::Held)),
    ];
    let advanced = subject.orders().advance(after(1), after(4), events).await.unwrap();
    assert!(matches!(
        &advanced[0],
        Advanced::Moved {
            from: OrderState::Created,
            ..
        }
    ));
    assert_eq!(advanced[1], Advanced::Unknown);
    assert!(matches!(&advanced[2], Advanced::Moved { order, .. } if order.saga.refused_at_hold()));
    assert!(matches!(&advanced[3], Advanced::Moved { order, .. } if order.saga.state == OrderState::Releasing));
    let state = OrderState::Failed;
    assert_eq!(advanced[4], Advanced::Ignored { state, why: Why::Ended });
}

pub(super) async fn what_one_call_asks_for_twice_is_stored_once(subject: Subject) {
    let keyed = |request| NewOrder {
        idempotency: key("k", request),
        ..new_order(2)
    };
    let named = || NewOrder {
        client_reference: Some("rent".to_owned()),
        ..new_order(2)
    };
    let (heard, announce) = listen();
    let orders = vec![keyed(1), keyed(1), keyed(2), named(), named(), new_order(2)];
    let placements = subject
        .orders()
        .create_orders(start(), after(3), orders, announce)
        .await;
    let placements = placements.unwrap();
    let [
        Placement::Created(first),
        Placement::Replayed(again),
        Placement::KeyReused,
        Placement::Created(rent),
        Placement::ReferenceTaken(taken),
        Placement::Created(last),
    ] = placements.as_slice()
    else {
        panic!("{placements:?}")
    };
    assert_eq!((first, rent.id), (again, *taken));
    let undecided = [
        (0, first.id, true),
        (1, first.id, false),
        (3, rent.id, true),
        (5, last.id, true),
    ];
    let undecided = undecided.map(|(index, id, new)| Undecided { index, id, new });
    assert_eq!(*heard.lock().unwrap(), undecided);
    assert_eq!(sent(&subject).len(), 3);
    assert_eq!(subject.orders().orders(user(2), None, 10).await.unwrap().len(), 3);
}

pub(super) async fn any_text_finds_its_order_again(subject: Subject) {
    for text in ["a\0b", "'; --", "Ω≈ç√", "\u{1f980}", "%", "\\"] {
        let order = NewOrder {
            client_reference: Some(text.to_owned()),
            idempotency: key(text, 1),
            ..new_order(2)
        };
        let id = place(&subject, order.clone()).await;
        let found = subject.orders().order_named(user(2), text.to_owned()).await.unwrap();
        assert_eq!(found.map(|order| order.id), Some(id), "{text:?}");
        let again = subject
            .orders()
            .create_orders(start(), after(3), vec![order], Box::new(|_| {}))
            .await;
        assert!(
            matches!(again.unwrap().as_slice(), [Placement::Replayed(order)] if order.id == id),
            "{text:?}"
        );
        let mut told = event(Fact::HoldRefused);
        told.cause = text.to_owned();
        let events = vec![(id, told)];
        let advanced = subject.orders().advance(after(1), after(4), events).await.unwrap();
        assert!(matches!(advanced.as_slice(), [Advanced::Moved { .. }]), "{advanced:?}");
    }
}

/// Amounts of ETH, with its 18 decimals, go beyond 64 bits at nineteen coins.
pub(super) async fn the_largest_amounts_come_back_exactly(subject: Subject) {
    let hold = Amount::new(MAX_UNITS, Asset::ETH);
    let terms = Terms {
        side: Side::Sell,
        asset: Asset::ETH,
        currency: Asset::USD,
        hold,
    };
    let id = place(&subject, NewOrder { terms, ..new_order(2) }).await;
    apply(&subject, id, Fact::Held).await;
    let returned = Amount::new((1 << 64) + 1, Asset::ETH);
    let trade = Trade {
        filled: hold.checked_sub(returned).unwrap(),
        value: Amount::new(MAX_UNITS - 1, Asset::USD),
        fee: Amount::new((1 << 65) - 1, Asset::USD),
        returned,
        price: Price::parse("0.000000000000000001").unwrap(),
    };
    let moved = apply(&subject, id, Fact::Exchanged { trade: trade.clone() }).await;
    assert!(matches!(moved, Advanced::Moved { .. }), "{moved:?}");
    let (order, log) = subject.orders().order(user(2), id).await.unwrap().unwrap();
    assert_eq!((order.saga.terms, order.saga.trade.as_ref()), (terms, Some(&trade)));
    assert_eq!(replay(&log), Ok(order.saga));
}

pub(super) async fn many_orders_move_in_one_call(subject: Subject) {
    let orders = (2..102).map(new_order).collect();
    let placements = subject
        .orders()
        .create_orders(start(), after(3), orders, Box::new(|_| {}))
        .await;
    let ids: Vec<_> = placements
        .unwrap()
        .iter()
        .map(|placement| match placement {
            Placement::Created(order) => order.id,
            other @ (Placement::Replayed(_)
            | Placement::KeyReused
            | Placement::ReferenceTaken(_)
            | Placement::Frozen) => panic!("{other:?}"),
        })
        .collect();
    // The last first, each twice.
    let events = ids
        .iter()
        .rev()
        .flat_map(|id| [(*id, event(Fact::Held)), (*id, event(exchange_failed()))]);
    let advanced = subject
        .orders()
        .advance(after(1), after(4), events.collect())
        .await
        .unwrap();
    assert_eq!(advanced.len(), 200);
    for (place, advanced) in advanced.iter().enumerate() {
        let Advanced::Moved { from, order, .. } = advanced else {
            panic!("{advanced:?}")
        };
        assert_eq!(order.id, ids[99 - place / 2]);
        let (was, revision) = [(OrderState::Created, 2), (OrderState::Exchanging, 3)][place % 2];
        assert_eq!((*from, order.revision), (was, revision));
    }
    for id in ids {
        let SagaRecord { order, log, .. } = subject.orders().saga(id).await.unwrap().unwrap();
        assert_eq!((order.saga.state, log.len()), (OrderState::Releasing, 3));
        assert_eq!(replay(&log), Ok(order.saga));
    }
    assert_eq!(sent(&subject).len(), 300);
}
