//! The part of the suite about what is taken up again when nothing is heard of it.

use std::time::Duration;

use contracts::OrderId;
use contracts::messages::Step;
use wallet::domain::{Fact, replay};
use wallet::ports::{Advanced, NewOrder, Placement};

use super::deposits::new_deposit;
use super::{Subject, after, apply, key, new_order, place, start};
use crate::samples::*;

pub(super) async fn a_stuck_order_alerts_and_a_refused_release_keeps_its_pause(subject: Subject) {
    let id = place(&subject, new_order(2)).await;
    apply(&subject, id, Fact::Held).await;
    let stuck = apply(&subject, id, unresolved(Step::Exchange)).await;
    assert!(matches!(stuck, Advanced::Moved { alert: true, .. }));
    apply(&subject, id, exchange_failed()).await;
    let due = subject
        .orders()
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
    let (stored, log) = subject.orders().order(user(2), id).await.unwrap().unwrap();
    assert_eq!(stored, *order);
    assert_eq!(replay(&log), Ok(stored.saga));
}

pub(super) async fn what_is_due_is_claimed_once_and_put_off_longer_each_time(subject: Subject) {
    let id = place(&subject, new_order(2)).await;
    let ended = place(&subject, new_order(2)).await;
    apply(&subject, ended, Fact::HoldRefused).await;
    let pauses = || vec![Duration::from_secs(5), Duration::from_secs(10)];
    let claim = async |at| -> Vec<OrderId> {
        let claimed = subject.orders().claim_due(after(at), 10, pauses()).await.unwrap();
        claimed.iter().map(|order| order.id).collect()
    };
    assert_eq!(claim(2).await, [], "not due yet");
    assert_eq!(claim(3).await, [id]);
    assert_eq!(claim(7).await, [], "claimed until 8");
    assert_eq!(claim(8).await, [id]);
    assert_eq!(claim(17).await, [], "claimed until 18");
    assert_eq!(claim(18).await, [id]);
    assert_eq!(claim(27).await, [], "the last pause repeats");
    assert_eq!(subject.orders().make_due(after(20)).await.unwrap(), 1);
    assert_eq!(claim(20).await, [id]);
    apply(&subject, id, Fact::Held).await;
    assert_eq!(claim(4).await, [id], "a new step begins with the first pause");
    assert_eq!(claim(8).await, []);
    assert_eq!(claim(9).await, [id]);
}

pub(super) async fn a_claim_is_bounded_and_takes_the_longest_due_first(subject: Subject) {
    let mut placed = Vec::new();
    for due in [9, 5, 7] {
        let placements = subject
            .orders()
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
        .orders()
        .claim_due(after(10), 2, vec![Duration::from_secs(60)])
        .await
        .unwrap();
    let ids: Vec<_> = claimed.iter().map(|order| order.id).collect();
    assert_eq!(ids, [placed[1], placed[2]]);
}

pub(super) async fn however_many_are_under_way_all_are_made_due(subject: Subject) {
    for _ in 0..11 {
        let orders = vec![new_order(2); 100];
        let placements = subject
            .orders()
            .create_orders(start(), after(60), orders, Box::new(|_| {}))
            .await;
        assert_eq!(placements.unwrap().len(), 100);
    }
    assert_eq!(subject.orders().make_due(after(1)).await, Ok(1_100));
    assert_eq!(
        subject.orders().make_due(after(9)).await,
        Ok(1_100),
        "none is put off by that"
    );
    let due = subject
        .orders()
        .claim_due(after(1), 2_000, vec![Duration::from_secs(5)])
        .await;
    assert_eq!(due.unwrap().len(), 1_100);
}

pub(super) async fn an_order_that_only_a_newer_program_can_read_keeps_no_other_from_being_found_or_moved(
    subject: Subject,
) {
    let keyed = NewOrder {
        idempotency: key("k", 1),
        ..new_order(2)
    };
    let strange = place(&subject, keyed.clone()).await;
    let ours = place(&subject, new_order(2)).await;
    let newer = format!("UPDATE {{}}orders SET asset = 'NEW' WHERE order_id = {strange}");
    subject.beside.execute(&newer).await;

    let claim = async |at| {
        let claimed = subject.orders().claim_due(after(at), 1, vec![]).await.unwrap();
        claimed.iter().map(|order| order.id).collect::<Vec<_>>()
    };
    assert_eq!(claim(3).await, [], "it came first, and is left aside");
    assert_eq!(claim(3).await, [ours]);

    let events = vec![(strange, event(Fact::Held)), (ours, event(Fact::Held))];
    let advanced = subject.orders().advance(after(4), after(7), events).await.unwrap();
    assert_eq!(advanced[0], Advanced::Unreadable);
    assert!(matches!(advanced[1], Advanced::Moved { .. }), "{advanced:?}");

    let again = |orders| {
        subject
            .orders()
            .create_orders(after(4), after(7), orders, Box::new(|_| {}))
    };
    let (of_strange, of_others) = tokio::join!(again(vec![new_order(3), keyed]), again(vec![new_order(3)]));
    of_strange.unwrap_err();
    assert!(matches!(of_others.unwrap().as_slice(), [Placement::Created(_)]));
    let stored = subject.orders().orders(user(3), None, 10).await.unwrap();
    assert_eq!(stored.len(), 1, "nothing of the call that failed");
}

pub(super) async fn a_deposit_that_only_a_newer_program_can_read_keeps_no_other_from_being_found(subject: Subject) {
    let mut ids = Vec::new();
    for name in ["strange", "ours"] {
        let deposits = vec![new_deposit(name)];
        let placed = subject
            .deposits()
            .create_deposits(start(), after(3), deposits, Box::new(|_| {}))
            .await;
        let placed = placed.unwrap();
        let [Placement::Created(deposit)] = placed.as_slice() else {
            panic!("{placed:?}")
        };
        ids.push(deposit.id);
    }
    let newer = format!("UPDATE {{}}deposits SET currency = 'NEW' WHERE deposit_id = {}", ids[0]);
    subject.beside.execute(&newer).await;
    let claim = async || {
        let claimed = subject.deposits().claim_due(after(3), 1, vec![]).await.unwrap();
        claimed.iter().map(|deposit| deposit.id).collect::<Vec<_>>()
    };
    assert_eq!(claim().await, []);
    assert_eq!(claim().await, ids[1..]);
}
