//! The part of the suite about users who are frozen.

use contracts::operators::Instruction;
use wallet::ports::{NewDeposit, NewOrder, Placement};

use super::deposits::new_deposit;
use super::{Subject, after, key, listen, new_order, place, sent, start};
use crate::samples::*;

fn instruction(reason: &str) -> Instruction {
    Instruction {
        operator: "operator:ann".to_owned(),
        reason: reason.to_owned(),
    }
}

pub(crate) async fn nothing_is_stored_for_a_user_after_their_freeze_but_what_an_operator_books(subject: Subject) {
    let keyed = NewOrder {
        idempotency: key("k", 1),
        ..new_order(2)
    };
    let id = place(&subject, keyed.clone()).await;
    sent(&subject);
    let freeze = subject.freezes.freeze(start(), user(2), instruction("card stolen"));
    freeze.await.unwrap();

    let (heard, announce) = listen();
    let orders = vec![keyed.clone(), new_order(2), new_order(3)];
    let placements = subject.orders.create_orders(after(1), after(4), orders, announce).await;
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
        .deposits
        .create_deposits(after(1), after(4), deposits, announce)
        .await;
    let placements = placements.unwrap();
    assert_eq!(placements[0], Placement::Frozen);
    assert!(matches!(placements[1], Placement::Created(_)), "{placements:?}");
    assert_eq!(sent(&subject).len(), 2);

    let lifted = subject.freezes.unfreeze(after(2), user(2), instruction("found"));
    assert!(lifted.await.unwrap());
    let orders = vec![keyed, new_order(2)];
    let placements = subject
        .orders
        .create_orders(after(3), after(6), orders, Box::new(|_| {}))
        .await;
    let placements = placements.unwrap();
    assert!(
        matches!(&placements[0], Placement::Replayed(order) if order.id == id),
        "{placements:?}"
    );
    assert!(matches!(placements[1], Placement::Created(_)), "{placements:?}");
}
