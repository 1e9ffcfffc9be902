//! How the simulated venue behaves: by chance that can be repeated, or by a script.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contracts::messages::Step;
use contracts::{BasisPoints, OrderId};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::course::Course;
use crate::ports::ClientOrderId;

/// What the venue does with one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// Executes it completely and says so.
    Fill,
    /// Refuses it.
    Refuse,
    /// Executes this share of it.
    Partial(BasisPoints),
    /// Takes it and finds nobody to trade with.
    FillNothing,
    /// Executes it, but the answer gets lost. `find` knows it at once.
    ExecuteThenTimeOut,
    /// Neither executes it nor answers. `find` never knows it.
    TimeOutWithoutExecuting,
    /// Executes it, but the answer gets lost, and `find` knows nothing of it for this long.
    NotYetVisible(Duration),
    /// Executes it, and takes this much longer to say so.
    Slow(Duration),
}

/// Decides how the venue behaves.
pub trait Manners: Send + Sync {
    /// What is done with the order of this name. Asked when the order comes.
    fn conduct(&self, id: &ClientOrderId) -> Conduct;

    /// Whether the venue is out of reach: it takes nothing in and answers nothing, not even `find`.
    fn silent(&self) -> bool {
        false
    }

    /// Whether it answers no question about an order, though it takes orders in.
    fn mute(&self) -> bool {
        false
    }

    /// How long every answer takes on its way, besides what a [`Conduct`] adds.
    fn latency(&self) -> Duration {
        Duration::ZERO
    }

    /// How far the market stands from its middle when the order of this name comes, in basis points.
    fn price_shift(&self, _: &ClientOrderId) -> i64 {
        0
    }
}

/// Of 10,000 orders, how many meet with what; the others are filled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// [`Conduct::Refuse`].
    pub refuse: BasisPoints,
    /// [`Conduct::Partial`], of an evenly drawn share.
    pub partial: BasisPoints,
    /// [`Conduct::FillNothing`].
    pub fill_nothing: BasisPoints,
    /// [`Conduct::ExecuteThenTimeOut`].
    pub executed_but_timed_out: BasisPoints,
    /// [`Conduct::TimeOutWithoutExecuting`].
    pub timed_out_not_executed: BasisPoints,
    /// [`Conduct::NotYetVisible`].
    pub not_yet_visible: BasisPoints,
    /// For how long; less than the engine's time-out that exchanger reckons with, or the venue breaks its word.
    pub hidden_for: Duration,
    /// [`Conduct::Slow`].
    pub slow: BasisPoints,
    /// By how much.
    pub slow_by: Duration,
}

/// More than all orders would misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the venue's rates add up to {0} of 10000 orders")]
pub struct RatesTooHigh(u32);

/// Misbehaves by chance. What happens to an order depends on the seed, the order, its step and the attempt alone: not on
/// time, not on other orders, not on how often it is asked, not on whose installation it is.
#[derive(Debug, Clone, Copy)]
pub struct RandomManners {
    seed: u64,
    rates: Rates,
    /// Whether every order is filled, so that nothing need be drawn.
    faultless: bool,
    latency: Duration,
    course: Course,
}

impl RandomManners {
    /// Manners drawn from `seed`. Every answer takes `latency`; the price goes its `course`.
    ///
    /// # Errors
    /// [`RatesTooHigh`] when the rates add up to more than all orders.
    pub fn try_new(seed: u64, rates: Rates, latency: Duration, course: Course) -> Result<Self, RatesTooHigh> {
        let mut manners = Self {
            seed,
            rates,
            faultless: false,
            latency,
            course,
        };
        let total: u32 = manners.bands(0).iter().map(|(rate, _)| rate.get()).sum();
        if total > BasisPoints::MAX.get() {
            return Err(RatesTooHigh(total));
        }
        manners.faultless = total == 0;
        Ok(manners)
    }

    fn bands(&self, second: u64) -> [(BasisPoints, Conduct); 7] {
        let rates = &self.rates;
        [
            (rates.refuse, Conduct::Refuse),
            (rates.partial, Conduct::Partial(partial_share(second))),
            (rates.fill_nothing, Conduct::FillNothing),
            (rates.executed_but_timed_out, Conduct::ExecuteThenTimeOut),
            (rates.timed_out_not_executed, Conduct::TimeOutWithoutExecuting),
            (rates.not_yet_visible, Conduct::NotYetVisible(rates.hidden_for)),
            (rates.slow, Conduct::Slow(rates.slow_by)),
        ]
    }

    /// Two independent draws for an order.
    fn draws(&self, id: &ClientOrderId) -> (u64, u64) {
        let digest = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(format!("{}-{}-{}", id.order_id, id.step, id.attempt))
            .finalize();
        let number = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0_u64, |number, byte| (number << 8) | u64::from(*byte))
        };
        (number(&digest[..8]), number(&digest[8..16]))
    }
}

/// A share that is neither nothing nor everything.
fn partial_share(draw: u64) -> BasisPoints {
    let whole = u64::from(BasisPoints::MAX.get());
    let points = u32::try_from(1 + draw % (whole - 1)).unwrap_or(1);
    BasisPoints::try_new(points).unwrap_or(BasisPoints::MAX)
}

impl Manners for RandomManners {
    fn conduct(&self, id: &ClientOrderId) -> Conduct {
        if self.faultless {
            return Conduct::Fill;
        }
        let (first, second) = self.draws(id);
        let mut draw = first % u64::from(BasisPoints::MAX.get());
        for (rate, conduct) in self.bands(second) {
            match draw.checked_sub(u64::from(rate.get())) {
                Some(rest) => draw = rest,
                None => return conduct,
            }
        }
        Conduct::Fill
    }

    fn latency(&self) -> Duration {
        self.latency
    }

    fn price_shift(&self, id: &ClientOrderId) -> i64 {
        self.course.at(id)
    }
}

/// Behaves as told, order by order; can be told while the venue runs.
#[derive(Debug)]
pub struct ScriptedManners(Mutex<Script>);

#[derive(Debug)]
struct Script {
    default: Conduct,
    conducts: BTreeMap<(OrderId, Step, u32), Conduct>,
    silent: bool,
    mute: bool,
}

impl ScriptedManners {
    /// Treats every order like this, until told otherwise.
    #[must_use]
    pub const fn new(default: Conduct) -> Self {
        Self(Mutex::new(Script {
            default,
            conducts: BTreeMap::new(),
            silent: false,
            mute: false,
        }))
    }

    /// Treats this attempt like this.
    pub fn set(&self, order_id: OrderId, step: Step, attempt: u32, conduct: Conduct) {
        self.script().conducts.insert((order_id, step, attempt), conduct);
    }

    /// Treats every other order like this from now on.
    pub fn set_default(&self, conduct: Conduct) {
        self.script().default = conduct;
    }

    /// Goes out of reach, or comes back.
    pub fn set_silent(&self, silent: bool) {
        self.script().silent = silent;
    }

    /// Answers no questions any more, or does again; orders arrive as before.
    pub fn set_mute(&self, mute: bool) {
        self.script().mute = mute;
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Manners for ScriptedManners {
    fn conduct(&self, id: &ClientOrderId) -> Conduct {
        let script = self.script();
        let told = script.conducts.get(&(id.order_id, id.step, id.attempt));
        told.copied().unwrap_or(script.default)
    }

    fn silent(&self) -> bool {
        self.script().silent
    }

    fn mute(&self) -> bool {
        self.script().mute
    }
}
