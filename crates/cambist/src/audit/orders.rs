//! Every order's bookings are exactly what its state and the other services' records allow, and its log leads to its
//! state.

use std::collections::BTreeMap;

use balance::domain::PostedTransfer;
use contracts::OrderId;
use contracts::ledger::{Leg, Origin, Owner};
use wallet::domain::{LogEntry, Order, Saga, replay};
use wallet::store::audit::OrderFacts;

use super::PAGE;
use super::expected::{self, Traded};
use super::legs;
use super::neighbours::{Neighbours, News, Records};
use super::nets::Nets;
use super::report::Report;
use super::snapshot::{ReadError, Snapshot};
use super::tie_out::TieOut;
use super::transit;

pub(super) async fn check(
    snapshot: &mut dyn Snapshot,
    report: &mut Report,
    (hot_wallet, in_transit): (&mut TieOut, &mut TieOut),
    on_progress: &mut (dyn FnMut(u64) + Send),
) -> Result<(), ReadError> {
    let mut after = None;
    loop {
        let orders = snapshot.orders(after, PAGE).await?;
        let from = after.map_or(1, |id: OrderId| id.get().saturating_add(1));
        let last = orders.last().map(|facts| facts.order.id);
        let mut booked: BTreeMap<OrderId, Vec<PostedTransfer>> = BTreeMap::new();
        let to = last.map_or(i64::MAX, OrderId::get);
        for transfer in snapshot.transfers_of_orders(from, to).await? {
            let Origin::Order(id) = transfer.transfer.id.origin else {
                continue;
            };
            booked.entry(id).or_default().push(transfer);
        }
        let first = OrderId::try_new(from).unwrap_or(OrderId::FIRST);
        let mut neighbours = Neighbours::read(snapshot, first, last.unwrap_or(OrderId::LAST)).await?;
        for OrderFacts { order, log } in &orders {
            let transfers = booked.remove(&order.id).unwrap_or_default();
            let records = neighbours.take(order.id);
            let verdict = judge(order, &transfers, &records);
            let problems = log_problem(order, log).into_iter().chain(verdict.problems);
            for problem in problems.chain(records.problems(order)) {
                report.find(format!("order {}", order.id), problem);
            }
            match records.news(order) {
                News::Told => {}
                News::Coming => report.untold += 1,
                News::Lost => report.attention.undelivered += 1,
            }
            report.orders.count(&order.saga);
            hot_wallet.add(&verdict.expected);
            in_transit.add(&transit::under_way(&transfers, &records.withdrawals));
        }
        for id in booked.keys() {
            report.find(format!("order {id}"), "has bookings, but there is no such order");
        }
        for id in neighbours.strangers() {
            let transfers = booked.remove(&id).unwrap_or_default();
            in_transit.add(&transit::under_way(&transfers, &neighbours.take(id).withdrawals));
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

/// What the audit makes of one order's bookings.
struct Verdict {
    problems: Vec<String>,
    /// What the order must have moved: what it did move if that is allowed.
    expected: Nets,
}

fn judge(order: &Order, booked: &[PostedTransfer], records: &Records) -> Verdict {
    let saga = &order.saga;
    let user = Owner::wallet(order.user_id);
    let nets = Nets::of(booked).of_wallets();
    let mut problems = Vec::new();
    for (owner, _) in nets
        .iter()
        .filter(|(owner, _)| **owner != user && **owner != Owner::HotWallet)
    {
        problems.push(format!("moved money of {owner}, whose order it is not"));
    }
    problems.extend(hold_problem(order, booked));
    problems.extend(legs::misplaced(booked, saga.terms.side, &user));
    problems.extend(transit::problems(booked, &records.withdrawals));
    let in_books = legs::traded(booked, &saga.terms).unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    let evidence = records.evidence(in_books);
    let recorded = saga.trade.as_ref().map(Traded::from).or(evidence.traded);
    if in_books.is_some() && in_books != recorded {
        problems.push("has another trade in the books than was made".to_owned());
    }
    let allowed = expected::allowed(saga, &user, &evidence);
    if !allowed.contains(&nets) {
        problems.push(not_allowed(saga, &nets, &allowed));
    }
    let matching = allowed.iter().position(|allowed| *allowed == nets).unwrap_or(0);
    Verdict {
        problems,
        expected: allowed.into_iter().nth(matching).unwrap_or_default(),
    }
}

fn not_allowed(saga: &Saga, nets: &Nets, allowed: &[Nets]) -> String {
    if allowed.is_empty() {
        return format!("is {} without a trade", saga.state);
    }
    let allowed: Vec<String> = allowed.iter().map(ToString::to_string).collect();
    format!(
        "is {} and should have moved {}; it moved {nets}",
        saga.state,
        allowed.join(" or ")
    )
}

/// The log leads to the row.
fn log_problem(order: &Order, log: &[LogEntry]) -> Option<String> {
    match replay(log) {
        Ok(saga) if saga == order.saga => None,
        Ok(saga) if saga.state == order.saga.state => {
            let fields = differing(&order.saga, &saga).join(", ");
            Some(format!("is not what its log leads to; they differ in {fields}"))
        }
        Ok(saga) => Some(format!("is {}, but its log leads to {}", order.saga.state, saga.state)),
        Err(error) => Some(format!("has a log that explains nothing: {error}")),
    }
}

/// What a row and its log tell differently of the same state.
fn differing(row: &Saga, log: &Saga) -> Vec<&'static str> {
    let fields = [
        ("its definition", row.definition == log.definition),
        ("what was ordered", row.terms == log.terms),
        ("whether money is held", row.held == log.held),
        ("whether it was promised", row.promised == log.promised),
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
