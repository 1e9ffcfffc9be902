//! What every adapter of the wallet's store must do, written against the ports. Each database runs all of it.

pub(crate) mod deposits;
pub(crate) mod freezes;
pub(crate) mod keys;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use contracts::OrderId;
use contracts::clients::Side;
use contracts::messages::Step;
use contracts::time::later;
use jiff::Timestamp;
use wallet::domain::{Fact, OrderState, Stage, Why, replay};
use wallet::ports::{
    Advanced, Announce, DeadLetter, DepositStore, FreezeStore, Idempotency, KeyStore, NewOrder, OrderStore, Placement,
    SagaFilter, StateFilter, Undecided,
};

use crate::samples::*;

/// A store under test: its ports, and the destinations of what left their outbox since it was asked last.
#[derive(Clone)]
pub(crate) struct Subject {
    pub(crate) orders: Arc<dyn OrderStore>,
    pub(crate) deposits: Arc<dyn DepositStore>,
    pub(crate) freezes: Arc<dyn FreezeStore>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) sent: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

fn start() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn after(seconds: u64) -> Timestamp {
    later(start(), Duration::from_secs(seconds))
}

fn new_order(user_id: i64) -> NewOrder {
    NewOrder {
        user_id: user(user_id),
        terms: terms(Side::Buy),
        client_reference: None,
        idempotency: None,
    }
}

fn key(key: &str, request: u8) -> Option<Idempotency> {
    Some(Idempotency {
        key: key.to_owned(),
        fingerprint: [request; 32],
    })
}

type Heard<Id> = Arc<Mutex<Vec<Undecided<Id>>>>;

fn listen<Id: Send + 'static>() -> (Heard<Id>, Announce<Id>) {
    let heard = Heard::default();
    let ear = Arc::clone(&heard);
    (heard, Box::new(move |undecided| ear.lock().unwrap().push(undecided)))
}

async fn place(subject: &Subject, order: NewOrder) -> OrderId {
    let placements = subject
        .orders
        .create_orders(start(), after(3), vec![order], Box::new(|_| {}))
        .await
        .unwrap();
    match placements.as_slice() {
        [Placement::Created(order)] => order.id,
        other => panic!("a new order, not {other:?}"),
    }
}

async fn apply(subject: &Subject, id: OrderId, fact: Fact) -> Advanced {
    let events = vec![(id, event(fact))];
    let mut advanced = subject.orders.advance(after(1), after(4), events).await.unwrap();
    advanced.remove(0)
}

/// Where the commands went that were committed since the last time.
fn sent(subject: &Subject) -> Vec<String> {
    (subject.sent)()
}

pub(crate) async fn an_order_is_stored_with_its_log_and_the_command_of_its_hold(subject: Subject) {
    let order = NewOrder {
        client_reference: Some("rent".to_owned()),
        ..new_order(2)
    };
    let id = place(&subject, order).await;
    let (order, log) = subject.orders.order(user(2), id).await.unwrap().unwrap();
    assert_eq!(order.saga.terms, terms(Side::Buy));
    assert_eq!((order.saga.state, order.revision), (OrderState::Created, 1));
    assert_eq!(order.client_reference.as_deref(), Some("rent"));
    assert_eq!((order.created_at, order.next_attempt_at), (start(), after(3)));
    assert_eq!(log.len(), 1);
    assert_eq!(replay(&log), Ok(order.saga));
    assert_eq!(sent(&subject), ["service:balance"]);
}

pub(crate) async fn ids_ascend_in_the_order_of_creation(subject: Subject) {
    let placements = subject
        .orders
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

pub(crate) async fn a_key_finds_its_order_again_and_only_for_its_user_and_request(subject: Subject) {
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
        .orders
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
pub(crate) async fn orders_that_are_placed_at_once_are_answered_and_announced_one_by_one(subject: Subject) {
    let wishes = [("a", 1), ("b", 1), ("a", 1), ("b", 2)].map(|(name, request)| NewOrder {
        idempotency: key(name, request),
        ..new_order(2)
    });
    let requests = wishes.map(|order| {
        let (heard, announce) = listen();
        let placing = subject.orders.create_orders(start(), after(3), vec![order], announce);
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

pub(crate) async fn a_decided_order_is_not_announced_again(subject: Subject) {
    let order = NewOrder {
        idempotency: key("k", 1),
        ..new_order(2)
    };
    let id = place(&subject, order.clone()).await;
    apply(&subject, id, Fact::HoldRefused).await;
    let (heard, announce) = listen();
    let placements = subject
        .orders
        .create_orders(after(5), after(9), vec![order], announce)
        .await
        .unwrap();
    assert!(matches!(&placements[0], Placement::Replayed(order) if order.saga.refused_at_hold()));
    assert!(heard.lock().unwrap().is_empty());
}

pub(crate) async fn a_reference_belongs_to_one_order_of_a_user(subject: Subject) {
    let named = |user_id| NewOrder {
        client_reference: Some("rent".to_owned()),
        ..new_order(user_id)
    };
    let id = place(&subject, named(2)).await;
    place(&subject, named(3)).await;
    let placements = subject
        .orders
        .create_orders(start(), after(3), vec![named(2)], Box::new(|_| {}))
        .await
        .unwrap();
    assert_eq!(placements, [Placement::ReferenceTaken(id)]);
}

pub(crate) async fn an_order_moves_with_its_log_and_its_commands_and_a_repetition_changes_nothing(subject: Subject) {
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
        let (stored, log) = subject.orders.order(user(2), id).await.unwrap().unwrap();
        assert_eq!(stored, *order);
        assert_eq!(replay(&log), Ok(stored.saga.clone()), "the log gives the state");
        assert!(matches!(apply(&subject, id, fact).await, Advanced::Ignored { .. }));
        let (same, _) = subject.orders.order(user(2), id).await.unwrap().unwrap();
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

pub(crate) async fn events_of_one_call_are_applied_in_order_and_none_harms_another(subject: Subject) {
    let first = place(&subject, new_order(2)).await;
    let second = place(&subject, new_order(3)).await;
    let events = vec![
        (first, event(Fact::Held)),
        (order_id(999), event(Fact::Held)),
        (second, event(Fact::HoldRefused)),
        (first, event(exchange_failed())),
        (second, event(Fact::Held)),
    ];
    let advanced = subject.orders.advance(after(1), after(4), events).await.unwrap();
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

pub(crate) async fn a_stuck_order_alerts_and_a_refused_release_keeps_its_pause(subject: Subject) {
    let id = place(&subject, new_order(2)).await;
    apply(&subject, id, Fact::Held).await;
    let stuck = apply(&subject, id, unresolved(Step::Exchange)).await;
    assert!(matches!(stuck, Advanced::Moved { alert: true, .. }));
    apply(&subject, id, exchange_failed()).await;
    let due = subject
        .orders
        .claim_due(after(4), 10, vec![Duration::from_secs(9)])
        .await
        .unwrap();
    assert_eq!(due.len(), 1);
    let refused = apply(&subject, id, Fact::ReleaseRefused).await;
    let Advanced::Moved { order, alert: true, .. } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!(
        (order.saga.refusals, order.tries, order.next_attempt_at),
        (1, 1, after(13))
    );
    let (stored, log) = subject.orders.order(user(2), id).await.unwrap().unwrap();
    assert_eq!(stored, *order);
    assert_eq!(replay(&log), Ok(stored.saga));
}

pub(crate) async fn what_is_due_is_claimed_once_and_put_off_longer_each_time(subject: Subject) {
    let id = place(&subject, new_order(2)).await;
    let ended = place(&subject, new_order(2)).await;
    apply(&subject, ended, Fact::HoldRefused).await;
    let pauses = || vec![Duration::from_secs(5), Duration::from_secs(10)];
    let claim = async |at| -> Vec<OrderId> {
        let claimed = subject.orders.claim_due(after(at), 10, pauses()).await.unwrap();
        claimed.iter().map(|order| order.id).collect()
    };
    assert_eq!(claim(2).await, [], "not due yet");
    assert_eq!(claim(3).await, [id]);
    assert_eq!(claim(7).await, [], "claimed until 8");
    assert_eq!(claim(8).await, [id]);
    assert_eq!(claim(17).await, [], "claimed until 18");
    assert_eq!(claim(18).await, [id]);
    assert_eq!(claim(27).await, [], "the last pause repeats");
    assert_eq!(subject.orders.make_due(after(20)).await.unwrap(), 1);
    assert_eq!(claim(20).await, [id]);
    apply(&subject, id, Fact::Held).await;
    assert_eq!(claim(4).await, [id], "a new step begins with the first pause");
    assert_eq!(claim(8).await, []);
    assert_eq!(claim(9).await, [id]);
}

pub(crate) async fn a_claim_is_bounded_and_takes_the_longest_due_first(subject: Subject) {
    let mut placed = Vec::new();
    for due in [9, 5, 7] {
        let placements = subject
            .orders
            .create_orders(start(), after(due), vec![new_order(2)], Box::new(|_| {}))
            .await
            .unwrap();
        match &placements[0] {
            Placement::Created(order) => placed.push(order.id),
            other @ (Placement::Replayed(_)
            | Placement::KeyReused
            | Placement::ReferenceTaken(_)
            | Placement::Frozen) => {
                panic!("{other:?}")
            }
        }
    }
    let claimed = subject
        .orders
        .claim_due(after(10), 2, vec![Duration::from_secs(60)])
        .await
        .unwrap();
    let ids: Vec<_> = claimed.iter().map(|order| order.id).collect();
    assert_eq!(ids, [placed[1], placed[2]]);
}

pub(crate) async fn a_user_lists_their_own_orders_newest_first(subject: Subject) {
    let mut mine = Vec::new();
    for _ in 0..5 {
        mine.push(place(&subject, new_order(2)).await);
        place(&subject, new_order(3)).await;
    }
    mine.reverse();
    let first = subject.orders.orders(user(2), None, 3).await.unwrap();
    let ids: Vec<_> = first.iter().map(|order| order.id).collect();
    assert_eq!(ids, mine[..3]);
    let rest = subject.orders.orders(user(2), Some(ids[2].get()), 3).await.unwrap();
    let ids: Vec<_> = rest.iter().map(|order| order.id).collect();
    assert_eq!(ids, mine[3..]);
    assert!(subject.orders.order(user(3), mine[0]).await.unwrap().is_none());
}

pub(crate) async fn a_user_finds_their_own_order_by_its_reference(subject: Subject) {
    let named = |user, name: &str| NewOrder {
        client_reference: Some(name.to_owned()),
        ..new_order(user)
    };
    place(&subject, new_order(2)).await;
    let mine = place(&subject, named(2, "rent")).await;
    let theirs = place(&subject, named(3, "rent")).await;
    place(&subject, named(2, "rent 2")).await;
    let find = async |id, name: &str| {
        let found = subject.orders.order_named(user(id), name.to_owned()).await.unwrap();
        found.map(|order| order.id)
    };
    assert_eq!(find(2, "rent").await, Some(mine));
    assert_eq!(find(3, "rent").await, Some(theirs));
    for nobody in ["Rent", "ren", "rent%", ""] {
        assert_eq!(find(2, nobody).await, None, "{nobody}");
    }
    assert_eq!(find(4, "rent").await, None);
}

pub(crate) async fn a_log_is_read_on_from_any_entry(subject: Subject) {
    let id = place(&subject, new_order(2)).await;
    let other = place(&subject, new_order(2)).await;
    for fact in [Fact::Held, unresolved(Step::Exchange), exchange_failed()] {
        apply(&subject, id, fact).await;
    }
    let (_, log) = subject.orders.order(user(2), id).await.unwrap().unwrap();
    for after in 0..5_usize {
        let seq = i64::try_from(after).unwrap();
        let rest = subject.orders.log_after(id, seq, 10).await.unwrap();
        assert_eq!(rest, log[after.min(4)..], "after {after}");
    }
    assert_eq!(subject.orders.log_after(id, 1, 2).await.unwrap(), log[1..3], "bounded");
    assert_eq!(subject.orders.log_after(other, 0, 10).await.unwrap().len(), 1);
}

pub(crate) async fn an_operator_finds_open_orders_by_state_and_age(subject: Subject) {
    let created = place(&subject, new_order(2)).await;
    let stuck = place(&subject, new_order(2)).await;
    apply(&subject, stuck, Fact::Held).await;
    apply(&subject, stuck, unresolved(Step::Exchange)).await;
    let ended = place(&subject, new_order(2)).await;
    apply(&subject, ended, Fact::HoldRefused).await;
    let find = async |state, created_until, cursor| -> Vec<OrderId> {
        let filter = SagaFilter { state, created_until };
        let found = subject.orders.open_orders(filter, cursor, 10).await.unwrap();
        found.iter().map(|order| order.id).collect()
    };
    assert_eq!(find(None, None, None).await, [created, stuck]);
    assert_eq!(find(Some(StateFilter::Stuck), None, None).await, [stuck]);
    assert_eq!(
        find(Some(StateFilter::Is(OrderState::Created)), None, None).await,
        [created]
    );
    assert_eq!(
        find(Some(StateFilter::Is(OrderState::Exchanging)), None, None).await,
        []
    );
    assert_eq!(find(None, Some(start()), None).await, [created, stuck]);
    let before = start() - jiff::SignedDuration::from_micros(1);
    assert_eq!(find(None, Some(before), None).await, []);
    assert_eq!(find(None, None, Some(created.get())).await, [stuck]);
    let mut counts = subject.orders.open_counts().await.unwrap();
    counts.sort();
    let stuck = OrderState::Stuck {
        from: Stage::Exchanging,
    };
    assert_eq!(counts, [(OrderState::Created, 1), (stuck, 1)]);
}

pub(crate) async fn dead_letters_are_taken(subject: Subject) {
    let letter = DeadLetter {
        source: "queue:saga_steps".to_owned(),
        payload: "{}".to_owned(),
        error: "nonsense".to_owned(),
    };
    subject
        .orders
        .bury(start(), vec![letter.clone(), letter])
        .await
        .unwrap();
}
