//! The part of the suite about what is read beside the ports: by the audit, by the bench, and by whoever watches.

use std::sync::Arc;

use contracts::ManualClock;
use contracts::clients::Side;
use contracts::messages::Step;
use service_kit::metrics::Registry;
use wallet::domain::{DepositStatus, Fact, OrderState, replay};
use wallet::ports::NewOrder;

use super::deposits::new_deposit;
use super::{Counts, Subject, after, apply, new_order, place, start};
use crate::samples::*;

pub(super) async fn the_audit_reads_orders_with_their_logs_and_deposits_by_ranges_of_ids(subject: Subject) {
    let mut placed = Vec::new();
    for _ in 0..3 {
        let terms = terms(Side::Sell);
        placed.push(place(&subject, NewOrder { terms, ..new_order(2) }).await);
    }
    apply(&subject, placed[1], Fact::Held).await;
    apply(&subject, placed[1], exchanged(Side::Sell)).await;
    let deposits = ["a", "b"].map(new_deposit).to_vec();
    let made = subject
        .deposits()
        .create_deposits(start(), after(3), deposits, Box::new(|_| {}))
        .await;
    assert_eq!(made.unwrap().len(), 2);

    let first = subject.beside.order_facts(None, 2).await;
    assert_eq!(first.len(), 2);
    for facts in &first {
        assert_eq!(replay(&facts.log).as_ref(), Ok(&facts.order.saga));
        let stored = subject.orders().order(user(2), facts.order.id).await.unwrap();
        assert_eq!(stored, Some((facts.order.clone(), facts.log.clone())));
    }
    assert_eq!((first[1].order.id, first[1].log.len()), (placed[1], 3));
    let rest = subject.beside.order_facts(Some(placed[1]), 2).await;
    assert_eq!(rest.iter().map(|facts| facts.order.id).collect::<Vec<_>>(), placed[2..]);

    let deposits = subject.beside.deposit_facts(None, 10).await;
    assert_eq!(deposits.len(), 2);
    subject
        .deposits()
        .book_deposits(after(5), vec![deposits[1].id])
        .await
        .unwrap();
    let rest = subject.beside.deposit_facts(Some(deposits[0].id), 10).await;
    assert_eq!(rest.len(), 1);
    assert_eq!(
        (rest[0].id, rest[0].status, rest[0].booked_at),
        (deposits[1].id, DepositStatus::Booked, Some(after(5)))
    );
}

pub(super) async fn the_audit_counts_what_is_open_stuck_and_completed(subject: Subject) {
    let none = Counts {
        stuck: 0,
        open: vec![],
        last: 0,
        completed: 0,
    };
    assert_eq!(subject.beside.counts(1).await, none);
    let [open, stuck, failed] = [
        place(&subject, new_order(2)).await,
        place(&subject, new_order(2)).await,
        place(&subject, new_order(2)).await,
    ];
    let sell = NewOrder {
        terms: terms(Side::Sell),
        ..new_order(2)
    };
    let completed = [place(&subject, sell.clone()).await, place(&subject, sell).await];
    apply(&subject, stuck, Fact::Held).await;
    apply(&subject, stuck, unresolved(Step::Exchange)).await;
    apply(&subject, failed, Fact::HoldRefused).await;
    for id in completed {
        apply(&subject, id, Fact::Held).await;
        apply(&subject, id, exchanged(Side::Sell)).await;
    }
    let counts = Counts {
        stuck: 1,
        open: vec![open.get(), stuck.get()],
        last: completed[1].get(),
        completed: 2,
    };
    assert_eq!(subject.beside.counts(1).await, counts);
    let later = subject.beside.counts(completed[1].get()).await;
    assert_eq!(later, Counts { completed: 1, ..counts });
}

pub(super) async fn what_is_under_way_is_shown_by_state_with_its_age(subject: Subject) {
    let stuck = place(&subject, new_order(2)).await;
    place(&subject, new_order(2)).await;
    place(&subject, new_order(2)).await;
    apply(&subject, stuck, Fact::Held).await;
    apply(&subject, stuck, unresolved(Step::Exchange)).await;
    let ended = place(&subject, new_order(2)).await;
    apply(&subject, ended, Fact::HoldRefused).await;
    let deposits = ["a", "b"].map(new_deposit).to_vec();
    let made = subject
        .deposits()
        .create_deposits(start(), after(3), deposits, Box::new(|_| {}))
        .await;
    assert_eq!(made.unwrap().len(), 2);

    let mut registry = Registry::new();
    registry.survey(subject.beside.survey());
    let text = registry
        .into_scrape(Arc::new(ManualClock::new(after(10))))
        .text()
        .await
        .unwrap();
    let shown: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.ends_with(" 0"))
        .collect();
    for line in [
        "cambist_sagas{state=\"created\"} 2",
        "cambist_sagas{state=\"stuck_exchanging\"} 1",
        "cambist_saga_oldest_age_seconds{state=\"created\"} 10",
    ] {
        assert!(shown.contains(&line), "{line}: {text}");
    }
    let deposits = shown.iter().filter(|line| line.contains("deposit"));
    let deposits: Vec<_> = deposits.filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(deposits, ["10", "2"], "{text}");
    for state in OrderState::ALL.into_iter().filter(|state| !state.is_end()) {
        let line = format!("cambist_sagas{{state=\"{state}\"}} ");
        assert!(text.contains(&line), "{line}: {text}");
    }
}
