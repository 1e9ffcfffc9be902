//! Every order's bookings are exactly what its end says, and its log leads to its state.

use std::collections::BTreeMap;

use balance::domain::PostedTransfer;
use balance::store::sqlite::audit::transfers_of_orders;
use contracts::clients::Side;
use contracts::ledger::{Leg, Origin, Owner};
use contracts::{Amount, OrderId};
use rusqlite::Connection;
use wallet::domain::{Order, OrderState, Saga, replay};
use wallet::store::sqlite::audit::{self as wallet_facts, OrderFacts};

use super::PAGE;
use super::hot_wallet::HotWallet;
use super::neighbours::Neighbours;
use super::nets::Nets;
use super::report::Report;

pub(super) fn check(
    snapshot: &Connection,
    report: &mut Report,
    hot_wallet: &mut HotWallet,
    on_progress: &mut dyn FnMut(u64),
) -> rusqlite::Result<()> {
    let mut after = None;
    loop {
        let orders = wallet_facts::orders(snapshot, after, PAGE)?;
        let from = after.map_or(1, |id: OrderId| id.get().saturating_add(1));
        let last = orders.last().map(|facts| facts.order.id);
        let mut booked: BTreeMap<OrderId, Vec<PostedTransfer>> = BTreeMap::new();
        for transfer in transfers_of_orders(snapshot, from, last.map_or(i64::MAX, OrderId::get))? {
            let Origin::Order(id) = transfer.transfer.id.origin else {
                continue;
            };
            booked.entry(id).or_default().push(transfer);
        }
        let first = OrderId::try_new(from).unwrap_or(OrderId::FIRST);
        let mut neighbours = Neighbours::read(snapshot, first, last.unwrap_or(OrderId::LAST))?;
        for facts in &orders {
            let transfers = booked.remove(&facts.order.id).unwrap_or_default();
            let problems = problems(facts, &transfers)
                .into_iter()
                .chain(neighbours.problems(&facts.order));
            for problem in problems {
                report.find(format!("order {}", facts.order.id), problem);
            }
            report.untold += u64::from(neighbours.is_untold(&facts.order));
            report.orders.count(&facts.order.saga);
            hot_wallet.add(&Nets::of(&transfers));
        }
        for id in booked.into_keys() {
            report.find(format!("order {id}"), "has bookings, but there is no such order");
        }
        let known: Vec<OrderId> = orders.iter().map(|facts| facts.order.id).collect();
        for id in neighbours.strangers(&known) {
            report.find(
                format!("order {id}"),
                "is known to the other services, but there is no such order",
            );
        }
        if last.is_none() {
            return Ok(());
        }
        on_progress(report.orders.total());
        after = last;
    }
}

/// What is wrong with one order, its log and its bookings.
fn problems(facts: &OrderFacts, booked: &[PostedTransfer]) -> Vec<String> {
    let OrderFacts { order, log } = facts;
    let mut problems = Vec::new();
    match replay(log) {
        Ok(saga) if saga == order.saga => {}
        Ok(saga) if saga.state == order.saga.state => {
            let fields = differing(&order.saga, &saga).join(", ");
            problems.push(format!("is not what its log leads to; they differ in {fields}"));
        }
        Ok(saga) => problems.push(format!("is {}, but its log leads to {}", order.saga.state, saga.state)),
        Err(error) => problems.push(format!("has a log that explains nothing: {error}")),
    }
    let nets = Nets::of(booked).of_wallets();
    let user = Owner::wallet(order.user_id);
    for (owner, _) in nets
        .iter()
        .filter(|(owner, _)| **owner != user && **owner != Owner::HotWallet)
    {
        problems.push(format!("moved money of {owner}, whose order it is not"));
    }
    problems.extend(hold_problem(order, booked));
    problems.extend(match order.saga.state {
        OrderState::Completed => completed_problem(order, &user, &nets),
        // A failed order leaves its user, and the hot wallet, exactly where they were.
        OrderState::Failed => differs(&nets, &Nets::default(), order),
        OrderState::Created
        | OrderState::Exchanging
        | OrderState::Withdrawing
        | OrderState::Reversing
        | OrderState::Releasing
        | OrderState::Stuck { .. } => in_flight_problem(&nets),
    });
    problems
}

/// What a row and its log tell differently of the same state.
fn differing(row: &Saga, log: &Saga) -> Vec<&'static str> {
    let fields = [
        ("its definition", row.definition == log.definition),
        ("what was ordered", row.terms == log.terms),
        ("whether money is held", row.held == log.held),
        ("what was traded", row.trade == log.trade),
        ("the transaction on the chain", row.transaction == log.transaction),
        ("refused releases", row.refusals == log.refusals),
        ("why it fails", row.failure == log.failure),
    ];
    let different = fields.into_iter().filter(|(_, same)| !same);
    different.map(|(field, _)| field).collect()
}

fn hold_problem(order: &Order, booked: &[PostedTransfer]) -> Option<String> {
    let hold = booked.iter().find(|transfer| transfer.transfer.id.leg == Leg::Hold);
    match hold {
        Some(hold) if hold.transfer.amount != order.saga.terms.hold => {
            Some(format!("holds {}, not what was ordered", hold.transfer.amount))
        }
        None if order.saga.held => Some("says that it holds money, and none is booked".to_owned()),
        None if !booked.is_empty() => Some("has bookings without a hold".to_owned()),
        Some(_) | None => None,
    }
}

/// A completed order changes its user by exactly what was filled and charged, and leaves nothing in the hot wallet.
fn completed_problem(order: &Order, user: &Owner, nets: &Nets) -> Option<String> {
    let Some(trade) = &order.saga.trade else {
        return Some("is completed without a trade".to_owned());
    };
    let mut expected = Nets::default();
    let mut change =
        |amount: Amount, sign: i128| expected.add(user, amount.asset(), amount.units().saturating_mul(sign));
    match order.saga.terms.side {
        Side::Buy => {
            change(trade.filled, 1);
            change(trade.value, -1);
        }
        Side::Sell => {
            change(trade.filled, -1);
            change(trade.value, 1);
        }
    }
    change(trade.fee, -1);
    differs(nets, &expected, order)
}

fn differs(actual: &Nets, expected: &Nets, order: &Order) -> Option<String> {
    (actual != expected).then(|| {
        format!(
            "is {} and should have moved {expected}; it moved {actual}",
            order.saga.state
        )
    })
}

/// What an order in flight has moved lies in the hot wallet: never less than nothing.
fn in_flight_problem(nets: &Nets) -> Option<String> {
    let overdrawn = nets
        .iter()
        .find(|(owner, amount)| **owner == Owner::HotWallet && amount.is_negative());
    overdrawn.map(|(_, amount)| {
        format!(
            "has taken {amount} {} more from the hot wallet than it put there",
            amount.asset()
        )
    })
}
