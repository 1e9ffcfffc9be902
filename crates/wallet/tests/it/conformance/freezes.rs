//! The part of the suite about users who are frozen.

use wallet::ports::{Freeze, Frozen, NewDeposit, NewOrder, Placement};

use super::deposits::new_deposit;
use super::operators::instruction;
use super::{Subject, after, key, listen, new_order, place, sent, start};
use crate::samples::*;

pub(super) async fn nothing_is_stored_for_a_user_after_their_freeze_but_what_an_operator_books(subject: Subject) {
    let keyed = NewOrder {
        idempotency: key("k", 1),
        ..new_order(2)
    };
    let id = place(&subject, keyed.clone()).await;
    sent(&subject);
    let freeze = subject.freezes().freeze(start(), user(2), instruction("card stolen"));
    freeze.await.unwrap();

    let (heard, announce) = listen();
    let orders = vec![keyed.clone(), new_order(2), new_order(3)];
    let placements = subject
        .orders()
        .create_orders(after(1), after(4), orders, announce)
        .await;
    let placements = placements.unwrap();
    assert_eq!(placements[..2], [Placement::Frozen, Placement::Frozen]);
    assert!(matches!(placements[2], Placement::Created(_)), "{placements:?}");
    assert_eq!(heard.lock().unwrap().len(), 1, "of the other user's");

    let paid = NewDeposit {
        instruction: Some(instruction("bank statement")),
        ..new_deposit("SEPA-1")
    };
    let deposits = vec![new_deposit("salary"), paid];
    let (_, announce) = listen();
    let placements = subject
        .deposits()
        .create_deposits(after(1), after(4), deposits, announce)
        .await;
    let placements = placements.unwrap();
    assert_eq!(placements[0], Placement::Frozen);
    assert!(matches!(placements[1], Placement::Created(_)), "{placements:?}");
    assert_eq!(sent(&subject).len(), 2);

    let lifted = subject.freezes().unfreeze(after(2), user(2), instruction("found"));
    assert!(lifted.await.unwrap());
    let orders = vec![keyed, new_order(2)];
    let placements = subject
        .orders()
        .create_orders(after(3), after(6), orders, Box::new(|_| {}))
        .await;
    let placements = placements.unwrap();
    assert!(
        matches!(&placements[0], Placement::Replayed(order) if order.id == id),
        "{placements:?}"
    );
    assert!(matches!(placements[1], Placement::Created(_)), "{placements:?}");
}

pub(super) async fn a_freeze_stands_until_it_is_lifted_and_both_are_recorded(subject: Subject) {
    let is_frozen = async |id| subject.freezes().is_frozen(user(id)).await.unwrap();
    let freeze = async |at, reason| subject.freezes().freeze(after(at), user(2), instruction(reason)).await;
    assert!(!is_frozen(2).await);
    let first = Freeze {
        user_id: user(2),
        instruction: instruction("card stolen"),
        since: after(1),
    };
    assert_eq!(freeze(1, "card stolen").await, Ok(Frozen::Now(first.clone())));
    assert_eq!(freeze(2, "another").await, Ok(Frozen::Before(first.clone())));
    assert_eq!((is_frozen(2).await, is_frozen(3).await), (true, false));
    let (found, acts) = subject.freezes().freeze_of(user(2)).await.unwrap();
    assert_eq!((found, acts.len()), (Some(first), 1));
    for lifted in [true, false] {
        let unfreeze = subject.freezes().unfreeze(after(3), user(2), instruction("found"));
        assert_eq!(unfreeze.await, Ok(lifted));
    }
    assert!(!is_frozen(2).await);
    let (found, acts) = subject.freezes().freeze_of(user(2)).await.unwrap();
    let verbs: Vec<_> = acts.iter().map(|act| (act.verb.as_str(), act.time)).collect();
    assert_eq!(
        (found, verbs),
        (None, vec![("freeze", after(1)), ("unfreeze", after(3))])
    );
}

pub(super) async fn those_who_are_frozen_are_listed_by_number(subject: Subject) {
    for id in [5, 3, 4] {
        let frozen = subject.freezes().freeze(start(), user(id), instruction("r")).await;
        assert!(matches!(frozen, Ok(Frozen::Now(_))), "{frozen:?}");
    }
    let list = async |after, limit| -> Vec<i64> {
        let freezes = subject.freezes().freezes(after, limit).await.unwrap();
        freezes.iter().map(|freeze| freeze.user_id.get()).collect()
    };
    assert_eq!(list(None, 2).await, [3, 4]);
    assert_eq!(list(Some(4), 2).await, [5]);
    assert_eq!(list(Some(5), 2).await, [0; 0]);
}
