//! The part of the suite about lists and single orders, as users and operators read them.

use contracts::OrderId;
use contracts::messages::Step;
use wallet::domain::{Fact, OrderState};
use wallet::ports::{NewOrder, SagaFilter, StateFilter};

use super::{Subject, apply, new_order, place, start};
use crate::samples::*;

pub(super) async fn a_user_lists_their_own_orders_newest_first(subject: Subject) {
    let mut mine = Vec::new();
    for _ in 0..5 {
        mine.push(place(&subject, new_order(2)).await);
        place(&subject, new_order(3)).await;
    }
    mine.reverse();
    let first = subject.orders().orders(user(2), None, 3).await.unwrap();
    let ids: Vec<_> = first.iter().map(|order| order.id).collect();
    assert_eq!(ids, mine[..3]);
    let rest = subject.orders().orders(user(2), Some(ids[2].get()), 3).await.unwrap();
    let ids: Vec<_> = rest.iter().map(|order| order.id).collect();
    assert_eq!(ids, mine[3..]);
    assert!(subject.orders().order(user(3), mine[0]).await.unwrap().is_none());
}

pub(super) async fn a_user_finds_their_own_order_by_its_reference(subject: Subject) {
    let named = |user, name: &str| NewOrder {
        client_reference: Some(name.to_owned()),
        ..new_order(user)
    };
    place(&subject, new_order(2)).await;
    let mine = place(&subject, named(2, "rent")).await;
    let theirs = place(&subject, named(3, "rent")).await;
    place(&subject, named(2, "rent 2")).await;
    let find = async |id, name: &str| {
        let found = subject.orders().order_named(user(id), name.to_owned()).await.unwrap();
        found.map(|order| order.id)
    };
    assert_eq!(find(2, "rent").await, Some(mine));
    assert_eq!(find(3, "rent").await, Some(theirs));
    for nobody in ["Rent", "ren", "rent%", ""] {
        assert_eq!(find(2, nobody).await, None, "{nobody}");
    }
    assert_eq!(find(4, "rent").await, None);
}

pub(super) async fn a_log_is_read_on_from_any_entry(subject: Subject) {
    let id = place(&subject, new_order(2)).await;
    let other = place(&subject, new_order(2)).await;
    for fact in [Fact::Held, unresolved(Step::Exchange), exchange_failed()] {
        apply(&subject, id, fact).await;
    }
    let (_, log) = subject.orders().order(user(2), id).await.unwrap().unwrap();
    for after in 0..5_usize {
        let seq = i64::try_from(after).unwrap();
        let rest = subject.orders().log_after(id, seq, 10).await.unwrap();
        assert_eq!(rest, log[after.min(4)..], "after {after}");
    }
    assert_eq!(
        subject.orders().log_after(id, 1, 2).await.unwrap(),
        log[1..3],
        "bounded"
    );
    assert_eq!(subject.orders().log_after(other, 0, 10).await.unwrap().len(), 1);
}

pub(super) async fn an_operator_finds_open_orders_by_state_and_age(subject: Subject) {
    let created = place(&subject, new_order(2)).await;
    let stuck = place(&subject, new_order(2)).await;
    apply(&subject, stuck, Fact::Held).await;
    apply(&subject, stuck, unresolved(Step::Exchange)).await;
    let ended = place(&subject, new_order(2)).await;
    apply(&subject, ended, Fact::HoldRefused).await;
    let find = async |state, created_until, cursor| -> Vec<OrderId> {
        let filter = SagaFilter { state, created_until };
        let found = subject.orders().open_orders(filter, cursor, 10).await.unwrap();
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
    assert_eq!(subject.orders().count_open(10).await, Ok(2), "the third has ended");
    assert_eq!(subject.orders().count_open(1).await, Ok(1));
}
