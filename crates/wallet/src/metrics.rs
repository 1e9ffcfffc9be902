//! What the wallet counts, and what it shows of its tables: orders, sagas, deposits.

use std::sync::Arc;

use contracts::clients::Side;
use contracts::messages::FailureCode;
use contracts::metrics::{Counter, Histogram};
use service_kit::metrics::{Family, Registry};

use crate::Service;
use crate::domain::{Order, OrderState};

const ACCEPTED: Family = Family::counter(
    "cambist_orders_accepted_total",
    &["side"],
    "Orders that were stored; a repeated request counts once.",
);
const COMPLETED: Family = Family::counter(
    "cambist_orders_completed_total",
    &["side"],
    "Orders that ended with effect.",
);
const FAILED: Family = Family::counter(
    "cambist_orders_failed_total",
    &["side", "reason"],
    "Orders that ended without effect, by failure code.",
);
const DURATION: Family = Family::histogram(
    "cambist_order_duration_seconds",
    &["side", "state"],
    "How long orders took from their acceptance to this end.",
)
.in_seconds();
const TURNED_AWAY: Family = Family::counter(
    "cambist_orders_turned_away_total",
    &[],
    "Requests to buy or sell that were answered 503 unseen, because `max_in_flight` orders are under way.",
);
const NEEDING_OPERATOR: Family = Family::counter(
    "cambist_orders_needing_operator_total",
    &[],
    "How many times an order came to need an operator: it got stuck, or its release was refused.",
);
const IN_FLIGHT: Family = Family::gauge(
    "cambist_orders_in_flight",
    &[],
    "Orders under way, as admission counts them in this process.",
);
const IN_FLIGHT_LIMIT: Family = Family::gauge(
    "cambist_orders_in_flight_limit",
    &[],
    "How many orders may be under way before new ones are turned away.",
);
const STREAMS: Family = Family::gauge(
    "cambist_order_event_streams",
    &[],
    "Streams of server-sent events that are open.",
);

pub(crate) const SAGAS: Family = Family::gauge(
    "cambist_sagas",
    &["state"],
    "Orders that are not at their end, by state; of more than 100,000 only so many are counted.",
);
pub(crate) const SAGA_AGE: Family = Family::gauge(
    "cambist_saga_oldest_age_seconds",
    &["state"],
    "How long ago the oldest order in this state was accepted; 0 where there is none.",
)
.in_seconds();
pub(crate) const DEPOSITS: Family = Family::gauge(
    "cambist_deposits_pending",
    &[],
    "Deposits that are accepted and not booked.",
);
pub(crate) const DEPOSIT_AGE: Family = Family::gauge(
    "cambist_deposit_oldest_age_seconds",
    &[],
    "How long ago the oldest pending deposit was accepted; 0 where there is none.",
)
.in_seconds();

/// Where the lives of orders are divided, in microseconds.
const LIVES: &[u64] = &[
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    30_000_000,
    60_000_000,
    300_000_000,
    3_600_000_000,
];

/// What this process counts of its orders.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    buys: OfSide,
    sells: OfSide,
    pub(crate) needing_operator: Counter,
}

#[derive(Debug)]
struct OfSide {
    accepted: Counter,
    completed: Histogram,
    failed: Histogram,
    reasons: [Counter; FailureCode::ALL.len()],
}

impl Default for OfSide {
    fn default() -> Self {
        Self {
            accepted: Counter::new(),
            completed: Histogram::new(LIVES),
            failed: Histogram::new(LIVES),
            reasons: std::array::from_fn(|_| Counter::new()),
        }
    }
}

impl Metrics {
    /// An order is stored that was not before.
    pub(crate) fn accepted(&self, side: Side) {
        self.of(side).accepted.one();
    }

    /// An order has moved to its end.
    pub(crate) fn ended(&self, order: &Order) {
        let side = self.of(order.saga.terms.side);
        let life = contracts::time::until(order.created_at, order.updated_at);
        if order.saga.state == OrderState::Completed {
            side.completed.record_time(life);
            return;
        }
        side.failed.record_time(life);
        let reason = order.saga.failure.and_then(place_of);
        if let Some(count) = reason.and_then(|place| side.reasons.get(place)) {
            count.one();
        }
    }

    const fn of(&self, side: Side) -> &OfSide {
        match side {
            Side::Buy => &self.buys,
            Side::Sell => &self.sells,
        }
    }
}

fn place_of(code: FailureCode) -> Option<usize> {
    FailureCode::ALL.iter().position(|known| *known == code)
}

/// How many a histogram has recorded.
fn recorded(histogram: &Histogram) -> u64 {
    histogram.distribution().counts.iter().sum()
}

impl Service {
    /// Shows what this service counts. What stands in its tables is shown by its store, which is a
    /// [`service_kit::metrics::Survey`].
    ///
    /// # Panics
    /// As [`Registry::value`].
    pub fn register_metrics(&self, registry: &mut Registry) {
        for (side, name) in [(Side::Buy, "buy"), (Side::Sell, "sell")] {
            let wallet = Arc::clone(&self.wallet);
            registry.value(&ACCEPTED, &[name], move || wallet.metrics.of(side).accepted.get());
            let wallet = Arc::clone(&self.wallet);
            registry.value(&COMPLETED, &[name], move || {
                recorded(&wallet.metrics.of(side).completed)
            });
            for (place, code) in FailureCode::ALL
                .into_iter()
                .enumerate()
                .filter(|(_, code)| is_of_orders(*code))
            {
                let wallet = Arc::clone(&self.wallet);
                registry.value(&FAILED, &[name, code.as_str()], move || {
                    wallet.metrics.of(side).reasons.get(place).map_or(0, Counter::get)
                });
            }
            let wallet = Arc::clone(&self.wallet);
            registry.distribution(&DURATION, &[name, "completed"], move || {
                wallet.metrics.of(side).completed.distribution()
            });
            let wallet = Arc::clone(&self.wallet);
            registry.distribution(&DURATION, &[name, "failed"], move || {
                wallet.metrics.of(side).failed.distribution()
            });
        }
        let wallet = Arc::clone(&self.wallet);
        registry.value(&NEEDING_OPERATOR, &[], move || wallet.metrics.needing_operator.get());
        let admission = Arc::clone(&self.wallet.admission);
        registry.value(&TURNED_AWAY, &[], move || admission.turned_away.get());
        let admission = Arc::clone(&self.wallet.admission);
        registry.value(&IN_FLIGHT, &[], move || whole(admission.orders()));
        let most = self.wallet.ports.settings.max_in_flight.get();
        registry.value(&IN_FLIGHT_LIMIT, &[], move || whole(most));
        let watchers = Arc::clone(&self.wallet.watchers);
        registry.value(&STREAMS, &[], move || whole(watchers.open()));
    }
}

fn whole(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Whether an order can fail for this reason; a mail that cannot be delivered fails nothing.
const fn is_of_orders(code: FailureCode) -> bool {
    match code {
        FailureCode::InsufficientFunds
        | FailureCode::VenueRejected
        | FailureCode::NothingFilled
        | FailureCode::NotExecuted
        | FailureCode::WithdrawalRefused
        | FailureCode::Cancelled => true,
        FailureCode::Undeliverable => false,
    }
}
