//! What last happened to an order in this process: the cause of whatever happens next.
//!
//! Orders go through batches, transactions and tables that know nothing of traces, and need not: whoever takes up an order
//! asks here for its cause, and says here what it does. Between processes the causes travel with messages and requests.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{TRACES, TraceContext};
use crate::OrderId;
use crate::messages::Message;

/// The most orders whose cause is known; the oldest are forgotten first.
const MAX_ORDERS: usize = 65_536;

#[derive(Default)]
pub(super) struct Orders(Mutex<Table>);

#[derive(Default)]
struct Table {
    causes: HashMap<OrderId, TraceContext>,
    /// In the order in which they came.
    ages: VecDeque<OrderId>,
}

impl Orders {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn note(&mut self, order: OrderId, cause: TraceContext, most: usize) {
        if self.causes.insert(order, cause).is_some() {
            return;
        }
        self.ages.push_back(order);
        while self.ages.len() > most
            && let Some(oldest) = self.ages.pop_front()
        {
            self.causes.remove(&oldest);
        }
    }
}

/// What happens next to `order` is caused by this.
pub fn note(order: OrderId, cause: TraceContext) {
    if let Some(traces) = TRACES.get() {
        traces.orders.table().note(order, cause, MAX_ORDERS);
    }
}

/// What last happened to `order`, as far as this process knows.
#[must_use]
pub fn cause_of(order: OrderId) -> Option<TraceContext> {
    TRACES.get()?.orders.table().causes.get(&order).copied()
}

/// Takes a message for the cause of what happens next to its order.
pub fn learn(message: &Message) {
    if let Some(traces) = TRACES.get()
        && let Some(cause) = message.traceparent.as_deref().and_then(TraceContext::parse)
    {
        traces.orders.table().note(message.order_id, cause, MAX_ORDERS);
    }
}

/// The causes of these orders, as in [`CAUSES_HEADER`](super::CAUSES_HEADER); `None` if none is known.
#[must_use]
pub fn causes_of(orders: impl IntoIterator<Item = OrderId>) -> Option<String> {
    let traces = TRACES.get()?;
    let mut text = String::new();
    let table = traces.orders.table();
    for order in orders {
        if let Some(cause) = table.causes.get(&order) {
            let comma = if text.is_empty() { "" } else { "," };
            write!(text, "{comma}{order}={cause}").expect("writing to a string cannot fail");
        }
    }
    (!text.is_empty()).then_some(text)
}

/// Learns the causes of orders from a [`CAUSES_HEADER`](super::CAUSES_HEADER) of another service. What makes no sense is
/// skipped.
pub fn learn_all(text: &str) {
    let Some(traces) = TRACES.get() else { return };
    let mut table = traces.orders.table();
    for (order, cause) in text.split(',').filter_map(named) {
        table.note(order, cause, MAX_ORDERS);
    }
}

fn named(text: &str) -> Option<(OrderId, TraceContext)> {
    let (order, cause) = text.split_once('=')?;
    Some((order.parse().ok()?, TraceContext::parse(cause)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_orders_are_forgotten_and_a_later_cause_takes_the_place_of_the_former() {
        let order = |number| OrderId::try_new(number).unwrap();
        let entropy = crate::SeededEntropy::new(1);
        let mut table = Table::default();
        for number in 1..=10 {
            table.note(order(number), TraceContext::below(None, &entropy), 3);
        }
        let last = TraceContext::below(None, &entropy);
        table.note(order(8), last, 3);
        assert_eq!((table.causes.len(), table.ages.len()), (3, 3));
        assert_eq!(table.causes.get(&order(8)), Some(&last));
        assert_eq!(table.causes.get(&order(7)), None);
    }

    #[test]
    fn a_cause_is_read_with_its_order_or_not_at_all() {
        let context = TraceContext::below(None, &crate::SeededEntropy::new(1));
        let (order, cause) = named(&format!("17={context}")).unwrap();
        assert_eq!((order.get(), cause), (17, context));
        for wrong in ["", "17", "=", "0=00", &format!("-1={context}"), "17=00-x"] {
            assert_eq!(named(wrong), None, "{wrong}");
        }
    }
}
