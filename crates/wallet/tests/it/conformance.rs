//! What every adapter of the wallet's store must do, written against the ports. Each promise is tried on SQLite, on
//! PostgreSQL, and on two replicas that share a PostgreSQL, with every other call going to the other one.

mod audit;
mod deposits;
mod freezes;
mod keys;
mod operators;
mod orders;
mod reads;
mod sweeps;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::clients::Side;
use contracts::time::later;
use contracts::{DepositId, OrderId};
use jiff::Timestamp;
use service_kit::metrics::Survey;
use storage::outbox::OutboxRows;
use wallet::domain::{Deposit, Fact};
use wallet::ports::{
    Advanced, Announce, DepositStore, FreezeStore, Idempotency, KeyStore, NewOrder, OrderStore, Placement, Undecided,
};
use wallet::store::audit::OrderFacts;

use crate::samples::*;

macro_rules! on_every_store {
    ($($suite:ident: $($promise:ident)+;)+) => {
        mod sqlite {
            $($(
                #[tokio::test]
                async fn $promise() {
                    super::$suite::$promise(crate::sqlite::subject()).await;
                }
            )+)+
        }
        mod postgres {
            $($(
                #[tokio::test]
                async fn $promise() {
                    super::$suite::$promise(crate::postgres::subject(1).await).await;
                }
            )+)+
        }
        mod replicas {
            $($(
                #[tokio::test]
                async fn $promise() {
                    super::$suite::$promise(crate::postgres::subject(2).await).await;
                }
            )+)+
        }
    };
}

on_every_store! {
    orders:
        an_order_is_stored_with_its_log_and_the_command_of_its_hold
        ids_ascend_in_the_order_of_creation
        a_key_finds_its_order_again_and_only_for_its_user_and_request
        what_one_call_asks_for_twice_is_stored_once
        orders_that_are_placed_at_once_are_answered_and_announced_one_by_one
        a_decided_order_is_not_announced_again
        a_reference_belongs_to_one_order_of_a_user
        any_text_finds_its_order_again
        the_largest_amounts_come_back_exactly
        an_order_moves_with_its_log_and_its_commands_and_a_repetition_changes_nothing
        events_of_one_call_are_applied_in_order_and_none_harms_another
        many_orders_move_in_one_call;
    sweeps:
        a_stuck_order_alerts_and_a_refused_release_keeps_its_pause
        what_is_due_is_claimed_once_and_put_off_longer_each_time
        a_claim_is_bounded_and_takes_the_longest_due_first
        however_many_are_under_way_all_are_made_due
        an_order_that_only_a_newer_program_can_read_keeps_no_other_from_being_found_or_moved
        a_deposit_that_only_a_newer_program_can_read_keeps_no_other_from_being_found;
    reads:
        a_user_lists_their_own_orders_newest_first
        a_user_finds_their_own_order_by_its_reference
        a_log_is_read_on_from_any_entry
        an_operator_finds_open_orders_by_state_and_age;
    operators:
        an_operator_hurries_an_order_and_leaves_a_record
        dead_letters_are_taken;
    keys:
        keys_are_forgotten_when_they_are_old_and_orders_stay
        the_key_of_what_has_not_ended_is_not_forgotten
        many_keys_are_forgotten_in_steps
        time_in_which_several_processes_run_is_counted_once;
    freezes:
        nothing_is_stored_for_a_user_after_their_freeze_but_what_an_operator_books
        a_freeze_stands_until_it_is_lifted_and_both_are_recorded
        those_who_are_frozen_are_listed_by_number;
    deposits:
        a_deposit_is_pending_with_its_command_until_it_is_booked
        deposits_have_keys_and_references_of_their_own
        what_an_operator_books_twice_is_one_deposit_and_no_user_s
        deposits_that_are_not_booked_are_claimed_when_due;
    audit:
        the_audit_reads_orders_with_their_logs_and_deposits_by_ranges_of_ids
        the_audit_counts_what_is_open_stuck_and_completed
        what_is_under_way_is_shown_by_state_with_its_age;
}

/// A store under test: its ports, in as many processes as there are, and what is done beside them.
pub(crate) struct Subject {
    replicas: Vec<Replica>,
    calls: AtomicUsize,
    beside: Box<dyn Beside>,
}

/// The ports of one process, and what left their outbox since it was asked last.
pub(crate) struct Replica {
    pub(crate) orders: Arc<dyn OrderStore>,
    pub(crate) deposits: Arc<dyn DepositStore>,
    pub(crate) freezes: Arc<dyn FreezeStore>,
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) rows: Mutex<OutboxRows>,
}

/// What the ports do not offer. It lives as long as the database.
#[async_trait]
pub(crate) trait Beside: Send + Sync {
    /// Does what a newer program may have done; `{}` begins the name of each table.
    async fn execute(&self, sql: &str);
    /// The texts in the first column.
    async fn texts(&self, sql: &str) -> Vec<String>;
    /// As the audit reads them.
    async fn order_facts(&self, after: Option<OrderId>, limit: usize) -> Vec<OrderFacts>;
    /// As the audit reads them.
    async fn deposit_facts(&self, after: Option<DepositId>, limit: usize) -> Vec<Deposit>;
    /// As the audit and the bench count them, the completed ones from a number on.
    async fn counts(&self, first: i64) -> Counts;
    /// What is shown of sagas.
    fn survey(&self) -> Arc<dyn Survey>;
}

/// Counts of orders.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) stuck: u64,
    pub(crate) open: Vec<i64>,
    pub(crate) last: i64,
    pub(crate) completed: u64,
}

impl Subject {
    pub(crate) fn new(replicas: Vec<Replica>, beside: Box<dyn Beside>) -> Self {
        Self {
            replicas,
            calls: AtomicUsize::new(0),
            beside,
        }
    }

    /// Every call goes to the next process.
    fn next(&self) -> &Replica {
        &self.replicas[self.calls.fetch_add(1, Ordering::Relaxed) % self.replicas.len()]
    }

    fn orders(&self) -> &dyn OrderStore {
        &*self.next().orders
    }

    fn deposits(&self) -> &dyn DepositStore {
        &*self.next().deposits
    }

    fn freezes(&self) -> &dyn FreezeStore {
        &*self.next().freezes
    }

    fn keys(&self) -> &dyn KeyStore {
        &*self.next().keys
    }
}

pub(crate) fn start() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

pub(crate) fn after(seconds: u64) -> Timestamp {
    later(start(), Duration::from_secs(seconds))
}

pub(crate) fn new_order(user_id: i64) -> NewOrder {
    NewOrder {
        user_id: user(user_id),
        terms: terms(Side::Buy),
        client_reference: None,
        idempotency: None,
    }
}

pub(crate) fn key(key: &str, request: u8) -> Option<Idempotency> {
    Some(Idempotency {
        key: key.to_owned(),
        fingerprint: [request; 32],
    })
}

pub(crate) type Heard<Id> = Arc<Mutex<Vec<Undecided<Id>>>>;

pub(crate) fn listen<Id: Send + 'static>() -> (Heard<Id>, Announce<Id>) {
    let heard = Heard::default();
    let ear = Arc::clone(&heard);
    (heard, Box::new(move |undecided| ear.lock().unwrap().push(undecided)))
}

async fn place(subject: &Subject, order: NewOrder) -> OrderId {
    let placements = subject
        .orders()
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
    let mut advanced = subject.orders().advance(after(1), after(4), events).await.unwrap();
    advanced.remove(0)
}

/// Where the commands went that were committed since the last time.
fn sent(subject: &Subject) -> Vec<String> {
    let mut sent = Vec::new();
    for replica in &subject.replicas {
        let mut rows = replica.rows.lock().unwrap();
        sent.extend(std::iter::from_fn(|| rows.try_recv().ok()));
    }
    sent.sort_by_key(|row| row.id);
    sent.into_iter().map(|row| row.destination.to_string()).collect()
}
