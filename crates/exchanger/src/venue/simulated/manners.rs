//! How the simulated venue behaves: by chance that can be repeated, or by a script.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use contracts::messages::Step;
use contracts::{BasisPoints, OrderId};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

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
    /// Executes it, and takes this long to say so.
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
}

/// More than all orders would misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the venue's rates add up to {0} of 10000 orders")]
pub struct RatesTooHigh(u32);

/// Misbehaves by chance. What happens to an order depends on the seed and the order's name alone: not on time, not on
/// other orders, not on how often it is asked.
#[derive(Debug, Clone, Copy)]
pub struct RandomManners {
    seed: u64,
    rates: Rates,
    latency: Duration,
    hidden_for: Duration,
}

impl RandomManners {
    /// Manners drawn from `seed`. Orders that are filled without incident take `latency` to be answered; those that are
    /// not visible at first stay so for `hidden_for`, which must be less than the engine's time-out that exchanger
    /// reckons with, or the venue breaks its word.
    ///
    /// # Errors
    /// [`RatesTooHigh`] when the rates add up to more than all orders.
    pub fn try_new(seed: u64, rates: Rates, latency: Duration, hidden_for: Duration) -> Result<Self, RatesTooHigh> {
        let manners = Self {
            seed,
            rates,
            latency,
            hidden_for,
        };
        let total: u32 = manners.bands(0).iter().map(|(rate, _)| rate.get()).sum();
        if total > BasisPoints::MAX.get() {
            return Err(RatesTooHigh(total));
        }
        Ok(manners)
    }

    fn bands(&self, second: u64) -> [(BasisPoints, Conduct); 6] {
        let rates = &self.rates;
        [
            (rates.refuse, Conduct::Refuse),
            (rates.partial, Conduct::Partial(partial_share(second))),
            (rates.fill_nothing, Conduct::FillNothing),
            (rates.executed_but_timed_out, Conduct::ExecuteThenTimeOut),
            (rates.timed_out_not_executed, Conduct::TimeOutWithoutExecuting),
            (rates.not_yet_visible, Conduct::NotYetVisible(self.hidden_for)),
        ]
    }

    /// Two independent draws for an order.
    fn draws(&self, id: &ClientOrderId) -> (u64, u64) {
        let digest = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(id.to_string())
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
        let (first, second) = self.draws(id);
        let mut draw = first % u64::from(BasisPoints::MAX.get());
        for (rate, conduct) in self.bands(second) {
            match draw.checked_sub(u64::from(rate.get())) {
                Some(rest) => draw = rest,
                None => return conduct,
            }
        }
        if self.latency.is_zero() {
            Conduct::Fill
        } else {
            Conduct::Slow(self.latency)
        }
    }
}

/// Behaves as told, order by order; can be told while the venue runs.
#[derive(Debug)]
pub struct ScriptedManners(Mutex<Script>);

#[derive(Debug)]
struct Script {
    default: Conduct,
    conducts: BTreeMap<ClientOrderId, Conduct>,
    silent: bool,
}

impl ScriptedManners {
    /// Treats every order like this, until told otherwise.
    #[must_use]
    pub const fn new(default: Conduct) -> Self {
        Self(Mutex::new(Script {
            default,
            conducts: BTreeMap::new(),
            silent: false,
        }))
    }

    /// Treats this attempt like this.
    pub fn set(&self, order_id: OrderId, step: Step, attempt: u32, conduct: Conduct) {
        let id = ClientOrderId {
            order_id,
            step,
            attempt,
        };
        self.script().conducts.insert(id, conduct);
    }

    /// Treats every other order like this from now on.
    pub fn set_default(&self, conduct: Conduct) {
        self.script().default = conduct;
    }

    /// Goes out of reach, or comes back.
    pub fn set_silent(&self, silent: bool) {
        self.script().silent = silent;
    }

    fn script(&self) -> std::sync::MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Manners for ScriptedManners {
    fn conduct(&self, id: &ClientOrderId) -> Conduct {
        let script = self.script();
        script.conducts.get(id).copied().unwrap_or(script.default)
    }

    fn silent(&self) -> bool {
        self.script().silent
    }
}
