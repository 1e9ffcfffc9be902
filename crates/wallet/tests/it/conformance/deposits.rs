//! The part of the suite about deposits.

use std::time::Duration;

use contracts::DepositId;
use wallet::domain::DepositStatus;
use wallet::ports::{NewDeposit, Placement};

use super::operators::instruction;
use super::{Subject, after, key, listen, sent, start};
use crate::samples::*;

pub(super) fn new_deposit(reference: &str) -> NewDeposit {
    NewDeposit {
        user_id: user(2),
        amount: usd("600"),
        reference: reference.to_owned(),
        idempotency: None,
        instruction: None,
    }
}

async fn put(subject: &Subject, deposit: NewDeposit) -> DepositId {
    let placements = subject
        .deposits()
        .create_deposits(start(), after(3), vec![deposit], Box::new(|_| {}))
        .await
        .unwrap();
    match placements.as_slice() {
        [Placement::Created(deposit)] => deposit.id,
        other => panic!("a new deposit, not {other:?}"),
    }
}

pub(super) async fn a_deposit_is_pending_with_its_command_until_it_is_booked(subject: Subject) {
    let deposit = NewDeposit {
        idempotency: key("k", 1),
        ..new_deposit("salary")
    };
    let id = put(&subject, deposit.clone()).await;
    assert_eq!(sent(&subject), ["service:balance"]);
    let again = async || {
        let (heard, announce) = listen();
        let mut placements = subject
            .deposits()
            .create_deposits(after(1), after(4), vec![deposit.clone()], announce)
            .await
            .unwrap();
        let heard = heard.lock().unwrap().len();
        match placements.remove(0) {
            Placement::Replayed(deposit) => (deposit, heard),
            other @ (Placement::Created(_)
            | Placement::KeyReused
            | Placement::ReferenceTaken(_)
            | Placement::Frozen) => panic!("{other:?}"),
        }
    };
    let (pending, heard) = again().await;
    assert_eq!((pending.id, pending.status, heard), (id, DepositStatus::Pending, 1));
    assert_eq!((pending.amount, pending.reference.as_str()), (usd("600"), "salary"));
    for at in [2, 3] {
        subject.deposits().book_deposits(after(at), vec![id]).await.unwrap();
        let (booked, heard) = again().await;
        assert_eq!((booked.status, heard), (DepositStatus::Booked, 0));
        assert_eq!(booked.booked_at, Some(after(2)), "booked once");
    }
}

pub(super) async fn deposits_have_keys_and_references_of_their_own(subject: Subject) {
    let deposit = NewDeposit {
        idempotency: key("k", 1),
        ..new_deposit("salary")
    };
    let id = put(&subject, deposit.clone()).await;
    let other_request = NewDeposit {
        idempotency: key("k", 2),
        ..new_deposit("bonus")
    };
    let deposits = vec![other_request, new_deposit("salary")];
    let placements = subject
        .deposits()
        .create_deposits(start(), after(3), deposits, Box::new(|_| {}))
        .await
        .unwrap();
    assert_eq!(placements, [Placement::KeyReused, Placement::ReferenceTaken(id)]);
}

pub(super) async fn deposits_that_are_not_booked_are_claimed_when_due(subject: Subject) {
    let id = put(&subject, new_deposit("salary")).await;
    let booked = put(&subject, new_deposit("bonus")).await;
    subject.deposits().book_deposits(after(1), vec![booked]).await.unwrap();
    let claim = async |at| -> Vec<DepositId> {
        let pauses = vec![Duration::from_secs(5)];
        let claimed = subject.deposits().claim_due(after(at), 10, pauses).await.unwrap();
        claimed.iter().map(|deposit| deposit.id).collect()
    };
    assert_eq!(claim(2).await, []);
    assert_eq!(claim(3).await, [id]);
    assert_eq!(claim(7).await, []);
    assert_eq!(subject.deposits().make_due(after(7)).await.unwrap(), 1);
    assert_eq!(claim(7).await, [id]);
}

pub(super) async fn what_an_operator_books_twice_is_one_deposit_and_no_user_s(subject: Subject) {
    let paid = |reference: &str| NewDeposit {
        instruction: Some(instruction("bank statement")),
        ..new_deposit(reference)
    };
    let create = async |deposits| {
        let placed = subject
            .deposits()
            .create_deposits(start(), after(3), deposits, Box::new(|_| {}))
            .await;
        placed.unwrap()
    };
    let placed = create(vec![paid("SEPA-1"), paid("SEPA-1")]).await;
    let [Placement::Created(deposit), Placement::Replayed(again)] = placed.as_slice() else {
        panic!("{placed:?}")
    };
    assert_eq!(deposit, again);
    let placed = create(vec![paid("SEPA-1")]).await;
    assert_eq!(placed, [Placement::Replayed(deposit.clone())]);
    let other = NewDeposit {
        amount: usd("1"),
        ..paid("SEPA-1")
    };
    let taken = Placement::ReferenceTaken(deposit.id);
    assert_eq!(create(vec![other, new_deposit("SEPA-1")]).await, [taken.clone(), taken]);
    let salary = put(&subject, new_deposit("salary")).await;
    assert_eq!(create(vec![paid("salary")]).await, [Placement::ReferenceTaken(salary)]);
    assert_eq!(sent(&subject).len(), 2);
}
