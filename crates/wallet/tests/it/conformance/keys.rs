//! The part of the suite about how long idempotency keys live. All of it happens at one time of the clock.

use std::time::Duration;

use wallet::domain::Fact;
use wallet::ports::{NewDeposit, NewOrder};

use super::{Placement, Subject, after, apply, key, new_order, place, start};
use crate::samples::*;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn keyed(name: &str) -> NewOrder {
    NewOrder {
        idempotency: key(name, 1),
        ..new_order(2)
    }
}

/// Whether the store still knows the request.
async fn knows(subject: &Subject, name: &str) -> bool {
    let placements = subject
        .orders()
        .create_orders(start(), after(3), vec![keyed(name)], Box::new(|_| {}))
        .await
        .unwrap();
    matches!(placements.as_slice(), [Placement::Replayed(_)])
}

pub(super) async fn keys_are_forgotten_when_they_are_old_and_orders_stay(subject: Subject) {
    let count = async |seen, more| {
        let counted = subject.keys().count_running_time(seconds(seen), seconds(more)).await;
        counted.unwrap()
    };
    let forget = async |until| subject.keys().forget_keys(seconds(until), 10).await.unwrap();
    let old = place(&subject, keyed("old")).await;
    apply(&subject, old, Fact::HoldRefused).await;
    assert_eq!(count(0, 10).await, seconds(10));
    let young = place(&subject, keyed("young")).await;
    apply(&subject, young, Fact::HoldRefused).await;
    assert_eq!(forget(9).await, 0, "nobody knows what was there by then");
    assert_eq!(count(10, 10).await, seconds(20));
    assert_eq!((forget(19).await, forget(19).await), (1, 0));
    assert!(knows(&subject, "young").await);
    assert!(!knows(&subject, "old").await, "it made another order");
    assert!(subject.orders().order(user(2), old).await.unwrap().is_some());
    assert_eq!(forget(20).await, 1);
    assert!(!knows(&subject, "young").await);
}

pub(super) async fn the_key_of_what_has_not_ended_is_not_forgotten(subject: Subject) {
    let id = place(&subject, keyed("k")).await;
    let deposit = NewDeposit {
        user_id: user(2),
        amount: usd("600"),
        reference: "salary".to_owned(),
        idempotency: key("k", 1),
        instruction: None,
    };
    let placed = subject
        .deposits()
        .create_deposits(start(), after(3), vec![deposit], Box::new(|_| {}))
        .await
        .unwrap();
    let [Placement::Created(deposit)] = placed.as_slice() else {
        panic!("{placed:?}")
    };
    let forget = async || subject.keys().forget_keys(seconds(10), 10).await.unwrap();
    subject
        .keys()
        .count_running_time(seconds(0), seconds(10))
        .await
        .unwrap();
    assert_eq!(forget().await, 0);
    subject
        .deposits()
        .book_deposits(after(1), vec![deposit.id])
        .await
        .unwrap();
    assert_eq!(forget().await, 1);
    apply(&subject, id, Fact::HoldRefused).await;
    assert_eq!(forget().await, 1);
}

pub(super) async fn many_keys_are_forgotten_in_steps(subject: Subject) {
    for number in 0..5 {
        let id = place(&subject, keyed(&number.to_string())).await;
        apply(&subject, id, Fact::HoldRefused).await;
    }
    subject
        .keys()
        .count_running_time(seconds(0), seconds(10))
        .await
        .unwrap();
    for forgotten in [2, 2, 1, 0] {
        assert_eq!(subject.keys().forget_keys(seconds(10), 2).await.unwrap(), forgotten);
    }
}

pub(super) async fn time_in_which_several_processes_run_is_counted_once(subject: Subject) {
    let count = async |seen, more| {
        let counted = subject.keys().count_running_time(seconds(seen), seconds(more)).await;
        counted.unwrap()
    };
    assert_eq!(subject.keys().running_time().await.unwrap(), seconds(0));
    assert_eq!(count(0, 10).await, seconds(10));
    assert_eq!(count(0, 12).await, seconds(10), "another has counted meanwhile");
    assert_eq!(count(10, 0).await, seconds(10));
    assert_eq!(count(10, 5).await, seconds(15));
    assert_eq!(subject.keys().running_time().await.unwrap(), seconds(15));
}
