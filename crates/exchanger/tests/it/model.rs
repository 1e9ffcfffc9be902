//! The decision against the worst world we can think of: workers that stall and come back, answers that get lost, orders
//! that arrive late, a venue whose clock is not ours and which hides what it has executed for a while. Whatever happens,
//! what is booked is what was executed, a trade is executed under one name at most, and what a refused reversal had sold is
//! on record.

use std::collections::BTreeMap;
use std::time::Duration;

use contracts::clients::ExchangeCommand;
use contracts::time::{later, until};
use contracts::{Amount, Asset};
use exchanger::Rules;
use exchanger::domain::decision::{Claim, Lesson, Plan, Question, learn, plan};
use exchanger::domain::progress::Progress;
use exchanger::ports::{Answer, ClientOrderId, Fill, Limit, VenueOrder};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::booking::cases;
use crate::scene::{INSTALLATION, buy, price, undo, usd};

const LEASE: Duration = Duration::from_secs(8);

/// The row in the command store.
struct Row {
    progress: Progress,
    epoch: i64,
    due: Timestamp,
    end: Option<End>,
}

#[derive(Debug, Clone, PartialEq)]
enum End {
    Booked(Vec<Fill>),
    Failed,
}

/// A worker with a claim. It keeps what it knows, however long it stalls.
struct Worker {
    claim: Claim,
    progress: Progress,
    asked: Option<Asked>,
}

/// A question on its way, and its time.
#[derive(Clone, Copy)]
struct Asked {
    question: Question,
    id: ClientOrderId,
    at: Timestamp,
}

struct Executed {
    answer: Answer,
    visible_from: Timestamp,
}

struct World {
    command: ExchangeCommand,
    rules: Rules,
    now: Timestamp,
    /// How far the venue's clock is ahead of ours, in half seconds. It may be anything: only the venue's counts.
    skew: i64,
    row: Row,
    workers: Vec<Worker>,
    on_the_way: Vec<VenueOrder>,
    venue: BTreeMap<ClientOrderId, Executed>,
}

impl World {
    fn new(command: ExchangeCommand, skew: i64) -> Self {
        let rules = Rules::default();
        let now = "2026-01-01T00:00:00Z".parse().unwrap();
        let owed = command.compensate.then(|| usd("30"));
        Self {
            row: Row {
                progress: Progress::new(&command, INSTALLATION, later(now, rules.order_life), owed),
                epoch: 0,
                due: now,
                end: None,
            },
            command,
            rules,
            now,
            skew,
            workers: Vec::new(),
            on_the_way: Vec::new(),
            venue: BTreeMap::new(),
        }
    }

    fn venue_clock(&self) -> Timestamp {
        self.venue_time(self.now)
    }

    /// What the venue's clock shows when ours shows this.
    fn venue_time(&self, ours: Timestamp) -> Timestamp {
        let half_second = jiff::SignedDuration::from_millis(500);
        ours + half_second * i32::try_from(self.skew).unwrap()
    }

    fn claim(&mut self) {
        if self.row.end.is_some() || self.row.due > self.now {
            return;
        }
        self.row.epoch += 1;
        self.row.due = later(self.now, LEASE);
        self.workers.push(Worker {
            claim: Claim {
                epoch: self.row.epoch,
                lease_until: self.row.due,
                tries: 0,
            },
            progress: self.row.progress.clone(),
            asked: None,
        });
    }

    /// Lets a worker do one thing. `chance` decides what the venue and the network make of it.
    fn step(&mut self, index: usize, chance: u8) {
        if self.workers.is_empty() {
            return;
        }
        let index = index % self.workers.len();
        let mut worker = self.workers.swap_remove(index);
        match worker.asked.take() {
            Some(asked) => self.answer(worker, asked, chance),
            None => self.plan(worker, chance),
        }
    }

    fn plan(&mut self, mut worker: Worker, chance: u8) {
        match plan(&self.command, &worker.progress, worker.claim, self.now, &self.rules).unwrap() {
            Plan::Store(progress) => {
                if worker.claim.epoch == self.row.epoch && self.row.end.is_none() {
                    self.row.progress = progress.clone();
                    worker.progress = progress;
                    self.workers.push(worker);
                }
            }
            Plan::Place(order) => {
                let attempt = self
                    .row
                    .progress
                    .attempts
                    .iter()
                    .find(|a| a.client_order_id == order.client_order_id);
                assert!(
                    attempt.is_some() || worker.claim.epoch != self.row.epoch,
                    "an order is sent whose name is not stored"
                );
                assert!(
                    order.expires_at <= worker.claim.lease_until,
                    "an order outlives its claim"
                );
                self.on_the_way.push(order);
                if !chance.is_multiple_of(4) {
                    self.deliver(self.on_the_way.len() - 1, chance);
                }
                worker.asked = Some(Asked {
                    question: Question::Placed,
                    id: order.client_order_id,
                    at: self.now,
                });
                self.workers.push(worker);
            }
            Plan::Find(id) => {
                // The question arrives now; its answer may be heard of much later.
                worker.asked = Some(Asked {
                    question: Question::Asked,
                    id,
                    at: self.now,
                });
                self.workers.push(worker);
            }
            Plan::Book => self.end(&worker, End::Booked(worker.progress.fills.clone())),
            Plan::Fail { .. } => self.end(&worker, End::Failed),
            Plan::Later(progress) => self.postpone(&worker, Some(progress)),
        }
    }

    /// An order that was on the way arrives at the venue.
    fn deliver(&mut self, index: usize, chance: u8) {
        if self.on_the_way.is_empty() {
            return;
        }
        let order = self.on_the_way.swap_remove(index % self.on_the_way.len());
        if self.venue_clock() >= order.expires_at || self.venue.contains_key(&order.client_order_id) {
            return;
        }
        let answer = match (chance / 4) % 8 {
            0 => Answer::Rejected {
                reason: "no".to_owned(),
            },
            1 => Answer::Done(Vec::new()),
            2 => Answer::Done(vec![self.fill(order.limit, 3)]),
            3..=7 => Answer::Done(vec![self.fill(order.limit, 1)]),
            _ => unreachable!("a remainder of eight"),
        };
        // Accepted before its expiry, and hidden for no longer than the engine's time-out.
        let hidden = self.rules.engine_timeout * u32::from(chance / 32) / 8;
        let executed = Executed {
            answer,
            visible_from: later(self.now, hidden),
        };
        self.venue.insert(order.client_order_id, executed);
    }

    fn fill(&self, limit: Limit, share: i128) -> Fill {
        let quantity = match limit {
            Limit::Spend(ceiling) => ceiling.units() * 100_000 / share,
            Limit::Quantity(quantity) => (quantity.units() / share).max(1),
        };
        Fill {
            quantity: Amount::new(quantity, Asset::BTC),
            price: price("10"),
            fee: Amount::zero(self.command.currency),
        }
    }

    fn answer(&mut self, mut worker: Worker, asked: Asked, chance: u8) {
        let Asked { question, id, at } = asked;
        let lost = || Answer::Unknown {
            reason: "lost".to_owned(),
        };
        let truth = self.venue.get(&id);
        let answer = match question {
            _ if chance.is_multiple_of(3) => lost(),
            Question::Placed => truth.map_or_else(lost, |executed| executed.answer.clone()),
            // The answer is as old as the question: it shows what was visible when it was asked.
            Question::Asked => truth.filter(|executed| executed.visible_from <= at).map_or(
                Answer::NotFound {
                    at: self.venue_time(at),
                },
                |executed| executed.answer.clone(),
            ),
        };
        let lesson = learn(&self.command, worker.progress.clone(), question, answer, 0, &self.rules).unwrap();
        match lesson {
            Lesson::Closed(progress) => {
                worker.progress = progress;
                self.workers.push(worker);
            }
            Lesson::Paused { progress, .. } => self.postpone(&worker, Some(progress)),
            Lesson::Missing { .. } => self.postpone(&worker, None),
        }
    }

    fn postpone(&mut self, worker: &Worker, progress: Option<Progress>) {
        if worker.claim.epoch != self.row.epoch || self.row.end.is_some() {
            return;
        }
        self.row.due = later(self.now, Duration::from_millis(500));
        if let Some(progress) = progress {
            self.row.progress = progress;
        }
    }

    /// Booking is not fenced: whoever has a final answer books, and it must be the same for all of them.
    fn end(&mut self, worker: &Worker, end: End) {
        if let End::Booked(fills) = &end {
            assert_eq!(*fills, self.executed(), "what is booked is not what was executed");
        }
        if let Some(ended) = &self.row.end {
            if matches!(end, End::Booked(_)) {
                assert_eq!(*ended, end, "two ends");
            }
        } else if worker.claim.epoch == self.row.epoch {
            self.row.progress = worker.progress.clone();
            self.row.end = Some(end);
        }
    }

    fn executed(&self) -> Vec<Fill> {
        let fills = self.venue.values().filter_map(|executed| match &executed.answer {
            Answer::Done(fills) => Some(fills.clone()),
            Answer::Open | Answer::Rejected { .. } | Answer::NotFound { .. } | Answer::Unknown { .. } => None,
        });
        fills.flatten().collect()
    }

    fn check(&self) {
        let fills = self.executed();
        if self.command.compensate {
            let sold: i128 = fills.iter().map(|fill| fill.quantity.units()).sum();
            assert!(
                sold <= self.command.amount.units(),
                "more was sold than was to be undone"
            );
        } else {
            assert!(fills.len() <= 1, "a trade was executed twice: {fills:?}");
        }
        if self.row.end == Some(End::Failed) {
            assert!(self.command.compensate || fills.is_empty(), "failed, and executed");
            assert_eq!(fills, self.row.progress.fills, "sold, and nobody knows");
        }
    }

    /// From now on nothing goes wrong any more: the command has to end.
    fn calm_down(&mut self) {
        // A venue whose clock is behind takes that much longer to prove that something is absent.
        let behind = Duration::from_millis(500) * u32::try_from(self.skew.min(0).unsigned_abs()).unwrap();
        let deadline = later(self.now, Duration::from_secs(60) + behind);
        while self.row.end.is_none() {
            assert!(!until(self.now, deadline).is_zero(), "it does not end by itself");
            self.claim();
            for _ in 0..self.workers.len() {
                // Neither lost nor late, filled completely, visible at once.
                self.step(0, 13);
            }
            self.now = later(self.now, Duration::from_millis(250));
            self.check();
        }
        // What is still on the way arrives now, far too late.
        while !self.on_the_way.is_empty() {
            self.deliver(0, 13);
        }
        while !self.workers.is_empty() {
            self.step(0, 13);
        }
        self.check();
    }
}

#[derive(Debug, Clone)]
enum Event {
    Pass(u64),
    Claim,
    Step(usize, u8),
    Deliver(usize, u8),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        2 => (1..4_000_u64).prop_map(Event::Pass),
        2 => Just(Event::Claim),
        6 => (0..8_usize, any::<u8>()).prop_map(|(index, chance)| Event::Step(index, chance)),
        1 => (0..8_usize, any::<u8>()).prop_map(|(index, chance)| Event::Deliver(index, chance)),
    ];
    prop::collection::vec(event, 0..120)
}

fn skews() -> impl Strategy<Value = i64> {
    prop_oneof![2 => -4..=4_i64, 1 => -200..=200_i64]
}

fn live_through(command: ExchangeCommand, skew: i64, events: Vec<Event>) {
    let mut world = World::new(command, skew);
    for event in events {
        match event {
            Event::Pass(millis) => world.now = later(world.now, Duration::from_millis(millis)),
            Event::Claim => world.claim(),
            Event::Step(index, chance) => world.step(index, chance),
            Event::Deliver(index, chance) => world.deliver(index, chance),
        }
        world.check();
    }
    world.calm_down();
}

proptest! {
    #![proptest_config(cases(3_000))]

    #[test]
    fn a_trade_is_executed_once_and_booked_as_executed(skew in skews(), events in events()) {
        live_through(buy(1, "30"), skew, events);
    }

    #[test]
    fn a_reversal_sells_what_was_bought_and_no_more(skew in skews(), events in events()) {
        live_through(undo(1, "3"), skew, events);
    }
}
