//! What was measured, for people and for machines.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::Plan;
use super::books::Ended;
use super::load::Placed;
use super::machine::{Facts, Memory};

/// Half, 19 in 20, 99 in 100 were at least this fast, and the slowest; in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Latency {
    p50: u64,
    p95: u64,
    p99: u64,
    max: u64,
}

impl Latency {
    fn of(mut micros: Vec<u64>) -> Self {
        micros.sort_unstable();
        // The nearest rank: the smallest value that at least so many of a hundred do not exceed.
        let rank = |percent: usize| {
            let rank = (micros.len() * percent).div_ceil(100).max(1);
            micros.get(rank - 1).copied().unwrap_or(0)
        };
        Self {
            p50: rank(50),
            p95: rank(95),
            p99: rank(99),
            max: rank(100),
        }
    }

    fn to_json(self) -> Value {
        json!({"p50": millis(self.p50), "p95": millis(self.p95), "p99": millis(self.p99), "max": millis(self.max)})
    }

    fn line(self) -> String {
        let Self { p50, p95, p99, max } = self;
        let [p50, p95, p99, max] = [p50, p95, p99, max].map(millis);
        format!("p50 {p50:>6} ms   p95 {p95:>6} ms   p99 {p99:>6} ms   max {max:>6} ms")
    }
}

/// Rounded up: nothing is faster than it is said to be.
const fn millis(micros: u64) -> u64 {
    micros.div_ceil(1_000)
}

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    users: usize,
    in_flight: usize,
    /// Whether an order was in flight until its user was told, or a request until it was answered.
    by_orders: bool,
    accepted: u64,
    completed: u64,
    placing: Duration,
    took: Duration,
    in_flight_at_end: u64,
    failures: Vec<(u16, u64)>,
    answer: Latency,
    completion: Latency,
    pub(super) audit: Option<crate::audit::Report>,
    pub(super) memory: Option<Memory>,
    /// Of the instance, and of the load's generator.
    pub(super) processor_time: Option<(Duration, Duration)>,
    pub(super) machine: Facts,
}

impl Report {
    /// Of a load that kept orders in flight, whose ends were watched: completion is from the request to the first look at
    /// the books that showed the end.
    pub(super) fn of_orders(plan: &Plan, placed: &Placed, ended: &Ended) -> Self {
        let ends: HashMap<i64, u64> = ended.orders.iter().copied().collect();
        let took = placed
            .orders
            .iter()
            .filter_map(|order| Some(ends.get(&order.id)?.saturating_sub(order.asked_at)));
        let completion = Latency::of(took.collect());
        Self::new(plan, placed, ended, true, completion)
    }

    /// Of a load that kept requests in flight: completion is from an order's acceptance to its end, by the instance's own
    /// clock.
    pub(super) fn of_requests(plan: &Plan, placed: &Placed, ended: &Ended) -> Self {
        let completion = Latency::of(ended.orders.iter().map(|(_, took)| *took).collect());
        Self::new(plan, placed, ended, false, completion)
    }

    fn new(plan: &Plan, placed: &Placed, ended: &Ended, by_orders: bool, completion: Latency) -> Self {
        let answers = placed
            .orders
            .iter()
            .map(|order| order.answered_at.saturating_sub(order.asked_at));
        Self {
            users: plan.users,
            in_flight: plan.in_flight,
            by_orders,
            accepted: placed.accepted(),
            completed: placed.completed,
            placing: placed.took,
            took: ended.took,
            in_flight_at_end: ended.in_flight,
            failures: placed
                .failures
                .iter()
                .map(|(status, count)| (*status, *count))
                .collect(),
            answer: Latency::of(answers.collect()),
            completion,
            audit: None,
            memory: None,
            processor_time: None,
            machine: Facts::default(),
        }
    }

    /// Whether anything was accepted, all of it came to its end, and the books are in order, as far as they can be seen.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.accepted > 0
            && self.in_flight_at_end == 0
            && self.audit.as_ref().is_none_or(crate::audit::Report::is_clean)
    }

    fn completed_per_second(&self) -> u64 {
        per_second(self.completed, self.took)
    }

    fn accepted_per_second(&self) -> u64 {
        per_second(self.accepted, self.placing)
    }

    /// The report as one JSON object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let failures = self.failures.iter().map(|(status, count)| (status.to_string(), *count));
        let [instance, generator] = match self.processor_time {
            Some((instance, generator)) => [Some(instance), Some(generator)],
            None => [None, None],
        };
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        json!({
            "completed_orders_per_s": self.completed_per_second(),
            "accepted_orders_per_s": self.accepted_per_second(),
            "in_flight": self.in_flight,
            "in_flight_means": if self.by_orders { "orders until their users are told" } else { "requests until they are answered" },
            "in_flight_at_end": self.in_flight_at_end,
            "accepted_orders": self.accepted,
            "completed_orders": self.completed,
            "other_answers": failures.collect::<HashMap<_, _>>(),
            "users": self.users,
            "placing_ms": ms(self.placing),
            "took_ms": ms(self.took),
            "latency_ms": {"answer": self.answer.to_json(), "completion": self.completion.to_json()},
            "audit": self.audit.as_ref().map(|audit| json!({"clean": audit.is_clean(), "findings": audit.findings().len()})),
            "resident_bytes": self.memory.map(|memory| memory.peak),
            "resident_bytes_at_end": self.memory.map(|memory| memory.resident),
            "processor_ms": {"instance": instance.map(ms), "load_generator": generator.map(ms)},
            "machine": self.machine.to_json(),
            "version": env!("CARGO_PKG_VERSION"),
        })
    }
}

fn per_second(count: u64, time: Duration) -> u64 {
    let per_second = u128::from(count) * 1_000_000 / time.as_micros().max(1);
    u64::try_from(per_second).unwrap_or(u64::MAX)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Duration| format!("{}.{} s", time.as_secs(), time.subsec_millis() / 100);
        let means = if self.by_orders { "orders" } else { "requests" };
        writeln!(f, "completed    {:>7} orders/s", self.completed_per_second())?;
        writeln!(f, "accepted     {:>7} orders/s", self.accepted_per_second())?;
        writeln!(
            f,
            "orders       {:>7} accepted, {} completed in {}",
            self.accepted,
            self.completed,
            seconds(self.took)
        )?;
        for (status, count) in &self.failures {
            let what = match status {
                0 => "broken connections".to_owned(),
                status => format!("answers {status}"),
            };
            writeln!(f, "             {count:>7} {what}")?;
        }
        writeln!(
            f,
            "in flight    {:>7} {means}, {} at the end",
            self.in_flight, self.in_flight_at_end
        )?;
        writeln!(f, "answer       {}", self.answer.line())?;
        writeln!(f, "completion   {}", self.completion.line())?;
        if let Some(Memory { resident, peak }) = self.memory {
            writeln!(
                f,
                "memory       {:>7} MiB at most, {} at the end",
                peak >> 20,
                resident >> 20
            )?;
        }
        if let Some((instance, generator)) = self.processor_time {
            writeln!(
                f,
                "processors   {:>7} for the instance, {} for the load",
                seconds(instance),
                seconds(generator)
            )?;
        }
        writeln!(f, "machine      {}", self.machine.line())?;
        match &self.audit {
            Some(audit) => write!(
                f,
                "audit        {}",
                audit.to_string().lines().last().unwrap_or_default()
            ),
            None => write!(f, "audit        run `cambist audit` on the instance's database"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let latency = Latency::of((1..=200).rev().collect());
        let expected = Latency {
            p50: 100,
            p95: 190,
            p99: 198,
            max: 200,
        };
        assert_eq!(latency, expected);
        assert_eq!(
            Latency::of(vec![7]),
            Latency {
                p50: 7,
                p95: 7,
                p99: 7,
                max: 7
            }
        );
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }

    #[test]
    fn rates_are_exact_and_never_divide_by_nothing() {
        assert_eq!(per_second(50_000, Duration::from_millis(2_500)), 20_000);
        assert_eq!(per_second(1, Duration::ZERO), 1_000_000);
    }
}
