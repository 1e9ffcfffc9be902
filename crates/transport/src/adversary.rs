//! A transport that does its worst within its promise, for tests: it puts itself between any transport and its listeners.
//!
//! Delivery is at least once and unordered, so every listener of the system must give the same result when each message
//! comes three times, in another order, and some of it much later. What it keeps true: a message's receipt goes with the copy
//! that is handed out last, so none is lost; with one seed and one order of arrivals it does the same again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::Entropy;
use contracts::messages::{Message, Queue};
use tokio::time::{Instant, sleep_until};

use crate::queue::{Delivery, PublishError, Subscription, Transport};

/// How bad it is.
#[derive(Debug, Clone)]
pub struct Malice {
    /// How often each message is delivered.
    pub copies: usize,
    /// How many copies wait, at least, for one of them to be chosen.
    pub window: usize,
    /// One copy in so many comes late; none if zero.
    pub one_late_in: u64,
    /// How late.
    pub late: Duration,
    /// How long the window waits for company before it hands out what it has.
    pub lull: Duration,
}

impl Default for Malice {
    /// Three times, shuffled over a window of 16, every eighth copy two seconds late.
    fn default() -> Self {
        Self {
            copies: 3,
            window: 16,
            one_late_in: 8,
            late: Duration::from_secs(2),
            lull: Duration::from_millis(20),
        }
    }
}

/// Any transport, with an adversary before its listeners.
pub struct Adversary {
    inner: Arc<dyn Transport>,
    entropy: Arc<dyn Entropy>,
    malice: Malice,
}

impl Adversary {
    /// Stands before the listeners of `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Transport>, entropy: Arc<dyn Entropy>, malice: Malice) -> Self {
        Self { inner, entropy, malice }
    }
}

#[async_trait]
impl Transport for Adversary {
    async fn publish(&self, queue: Queue, messages: Vec<Message>) -> Result<(), PublishError> {
        self.inner.publish(queue, messages).await
    }

    async fn subscribe(&self, queue: Queue) -> Result<Box<dyn Subscription>, PublishError> {
        Ok(Box::new(Disturbed {
            inner: self.inner.subscribe(queue).await?,
            entropy: Arc::clone(&self.entropy),
            malice: self.malice.clone(),
            originals: BTreeMap::new(),
            next: 0,
            window: Vec::new(),
            late: Vec::new(),
            lull: Instant::now(),
            open: true,
        }))
    }

    fn readiness(&self) -> Result<(), String> {
        self.inner.readiness()
    }

    async fn close(&self, patience: Duration) -> bool {
        self.inner.close(patience).await
    }
}

struct Disturbed {
    inner: Box<dyn Subscription>,
    entropy: Arc<dyn Entropy>,
    malice: Malice,
    /// Each message under a number, with how many copies have not been handed out.
    originals: BTreeMap<u64, (Delivery, usize)>,
    next: u64,
    /// The copies among which the next one is chosen.
    window: Vec<u64>,
    /// The copies that come later, each not before its time.
    late: Vec<(Instant, u64)>,
    /// When the window has waited for company for long enough.
    lull: Instant,
    open: bool,
}

#[async_trait]
impl Subscription for Disturbed {
    async fn receive(&mut self, max: usize) -> Vec<Delivery> {
        loop {
            let now = Instant::now();
            self.bring_forward(now);
            // A window that is full gives; one that is not waits for company, until nobody comes any more.
            let full = self.window.len() >= self.malice.window.max(1);
            let alone = !self.open || self.lull <= now;
            if full || (alone && !self.window.is_empty()) {
                return self.hand_out(max);
            }
            let due = self.late.iter().map(|(at, _)| *at).min();
            let lull = (!self.window.is_empty()).then_some(self.lull);
            let Some(next) = due.into_iter().chain(lull).min() else {
                if !self.open {
                    return Vec::new();
                }
                let arrived = self.inner.receive(self.malice.window.max(1)).await;
                self.take(arrived);
                continue;
            };
            tokio::select! {
                arrived = self.inner.receive(self.malice.window.max(1)), if self.open => self.take(arrived),
                // sleep: that some copies come late is what this is for
                () = sleep_until(next) => {}
            }
        }
    }
}

impl Disturbed {
    fn take(&mut self, arrived: Vec<Delivery>) {
        self.open = !arrived.is_empty();
        // Counted from here and not from when somebody began to wait: they may stop and begin again all the time.
        self.lull = Instant::now() + self.malice.lull;
        let copies = self.malice.copies.max(1);
        for delivery in arrived {
            let number = self.next;
            self.next += 1;
            self.originals.insert(number, (delivery, copies));
            for _ in 0..copies {
                if self.malice.one_late_in > 0 && self.entropy.next_u64().is_multiple_of(self.malice.one_late_in) {
                    self.late.push((Instant::now() + self.malice.late, number));
                } else {
                    self.window.push(number);
                }
            }
        }
    }

    /// Late copies whose time has come stand in the window with the others.
    fn bring_forward(&mut self, now: Instant) {
        let window = &mut self.window;
        self.late.retain(|(at, number)| {
            let waits = *at > now;
            if !waits {
                window.push(*number);
            }
            waits
        });
    }

    /// Copies chosen at random, until the window is half empty or there are `max`.
    fn hand_out(&mut self, max: usize) -> Vec<Delivery> {
        let keep = if self.window.len() >= self.malice.window {
            self.malice.window / 2
        } else {
            0
        };
        let mut chosen = Vec::new();
        while self.window.len() > keep && chosen.len() < max.max(1) {
            let places = u64::try_from(self.window.len()).unwrap_or(u64::MAX);
            let place = usize::try_from(self.entropy.next_u64() % places).unwrap_or(0);
            let number = self.window.swap_remove(place);
            let Some((delivery, copies)) = self.originals.remove(&number) else {
                continue;
            };
            if copies > 1 {
                chosen.push(Delivery::unreceipted(delivery.message.clone()));
                self.originals.insert(number, (delivery, copies - 1));
            } else {
                chosen.push(delivery);
            }
        }
        chosen
    }
}
