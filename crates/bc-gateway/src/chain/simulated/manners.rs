//! How the simulated chain misbehaves. Handed in, so that a seed or a script repeats every fault.
//!
//! Faults are chosen by a transfer's memo (`order:7:withdraw`, see [`crate::ports::Purpose`]) and the number of its
//! broadcast, not by when it comes: the order in which tasks run does not matter.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::BasisPoints;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::ports::Purpose;

/// What the chain does with a broadcast of bytes that it does not have yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes them and confirms them as soon as they are next.
    Confirm,
    /// Says that it took them, and forgets them.
    LostBroadcast,
    /// Takes them, and gives no usable answer.
    UnknownButTaken,
    /// Does not take them, and gives no usable answer.
    UnknownNotTaken,
    /// Takes them, and confirms them no earlier than after this time.
    LateConfirmation(Duration),
    /// Confirms them in a block that vanishes after it was seen once.
    Reorganise,
}

/// The chain's behaviour. Deterministic implementations make deterministic runs.
pub trait Manners: Send + Sync {
    /// Whether the chain is out of reach: it takes nothing, and every answer is `Unknown`.
    fn silent(&self) -> bool {
        false
    }

    /// How long every call takes on its way.
    fn latency(&self) -> Duration {
        Duration::ZERO
    }

    /// Whether a transfer with this memo is refused before it is signed.
    fn refuses(&self, memo: &str) -> bool;

    /// What is done with broadcast `number` (from 1) of the transfer with this memo.
    fn broadcast(&self, memo: &str, number: u32) -> Manner;
}

/// No faults.
#[derive(Debug, Clone, Copy, Default)]
pub struct WellBehaved;

impl Manners for WellBehaved {
    fn refuses(&self, _: &str) -> bool {
        false
    }

    fn broadcast(&self, _: &str, _: u32) -> Manner {
        Manner::Confirm
    }
}

/// How often each fault happens, of all transfers (a refusal) or of all broadcasts (the others).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Refused before it is signed; sweeps never are.
    pub refuse_before_signing: BasisPoints,
    /// [`Manner::LostBroadcast`].
    pub lost_broadcast: BasisPoints,
    /// [`Manner::UnknownButTaken`].
    pub unknown_but_taken: BasisPoints,
    /// [`Manner::UnknownNotTaken`].
    pub unknown_not_taken: BasisPoints,
    /// [`Manner::LateConfirmation`].
    pub late_confirmation: BasisPoints,
    /// How late, at most.
    pub late_by: Duration,
    /// [`Manner::Reorganise`].
    pub reorganise: BasisPoints,
}

/// Why rates make no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidRates {
    /// More than all broadcasts would meet with a fault.
    #[error("the chain's rates add up to {0} of 10000 broadcasts")]
    TooHigh(u32),
    /// All broadcasts would get lost, sooner or later.
    #[error("of 10000 broadcasts the chain would lose all: nothing would ever be confirmed")]
    NothingArrives,
}

/// Faults by chance, repeatable: the same seed, memo and number give the same fault.
#[derive(Debug, Clone, Copy)]
pub struct RandomManners {
    seed: u64,
    rates: Rates,
    latency: Duration,
}

impl RandomManners {
    /// These faults at these rates; every call takes `latency`.
    ///
    /// # Errors
    /// [`InvalidRates`] when the faults of broadcasts add up to more than all, or no broadcast would ever succeed.
    pub fn try_new(seed: u64, rates: Rates, latency: Duration) -> Result<Self, InvalidRates> {
        let sum = |rates: &[BasisPoints]| rates.iter().map(|rate| rate.get()).sum::<u32>();
        let losses = sum(&[rates.lost_broadcast, rates.unknown_not_taken, rates.reorganise]);
        let all = losses + sum(&[rates.unknown_but_taken, rates.late_confirmation]);
        if all > BasisPoints::MAX.get() {
            Err(InvalidRates::TooHigh(all))
        } else if losses == BasisPoints::MAX.get() {
            Err(InvalidRates::NothingArrives)
        } else {
            Ok(Self { seed, rates, latency })
        }
    }

    fn late(&self, memo: &str, number: u32) -> Duration {
        let Rates { late_by, .. } = self.rates;
        let span = u64::try_from(late_by.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        Duration::from_micros(self.draw("late", memo, number) % span)
    }

    /// Between 0 and 2⁶⁴−1, from the seed and what it is for.
    fn draw(&self, what: &str, memo: &str, number: u32) -> u64 {
        let digest = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(format!("{what}/{memo}/{number}"))
            .finalize();
        digest
            .iter()
            .take(8)
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl Manners for RandomManners {
    fn latency(&self) -> Duration {
        self.latency
    }

    fn refuses(&self, memo: &str) -> bool {
        // A refused sweep comes again under the same memo: what is refused by chance would be refused for ever.
        if memo.starts_with("sweep:") {
            return false;
        }
        let rate = u64::from(self.rates.refuse_before_signing.get());
        rate > 0 && self.draw("refuse", memo, 0) % u64::from(BasisPoints::MAX.get()) < rate
    }

    fn broadcast(&self, memo: &str, number: u32) -> Manner {
        if self.rates == Rates::default() {
            return Manner::Confirm;
        }
        let mut left = self.draw("broadcast", memo, number) % u64::from(BasisPoints::MAX.get());
        for (rate, manner) in [
            (self.rates.lost_broadcast, Manner::LostBroadcast),
            (self.rates.unknown_but_taken, Manner::UnknownButTaken),
            (self.rates.unknown_not_taken, Manner::UnknownNotTaken),
            (
                self.rates.late_confirmation,
                Manner::LateConfirmation(self.late(memo, number)),
            ),
            (self.rates.reorganise, Manner::Reorganise),
        ] {
            match left.checked_sub(u64::from(rate.get())) {
                None => return manner,
                Some(rest) => left = rest,
            }
        }
        Manner::Confirm
    }
}

/// Faults by hand, changeable while the chain runs; well-behaved where nothing is scripted.
#[derive(Debug, Default)]
pub struct ScriptedManners(Mutex<Script>);

#[derive(Debug, Default)]
struct Script {
    silent: bool,
    refused: BTreeSet<String>,
    refuse_all: bool,
    broadcasts: BTreeMap<String, VecDeque<Manner>>,
    otherwise: Option<Manner>,
}

impl ScriptedManners {
    /// No faults yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the chain off, or brings it back.
    pub fn silence(&self, silent: bool) {
        self.script().silent = silent;
    }

    /// Refuses this transfer before it is signed.
    pub fn refuse(&self, purpose: Purpose) {
        self.script().refused.insert(purpose.to_string());
    }

    /// Refuses every transfer before it is signed, or only those named.
    pub fn refuse_all(&self, refuse: bool) {
        self.script().refuse_all = refuse;
    }

    /// What happens to the next broadcasts of this transfer, one after the other; then it is as for all.
    pub fn next_broadcasts(&self, purpose: Purpose, manners: impl IntoIterator<Item = Manner>) {
        self.script()
            .broadcasts
            .entry(purpose.to_string())
            .or_default()
            .extend(manners);
    }

    /// What happens to broadcasts for which nothing else is scripted.
    pub fn otherwise(&self, manner: Manner) {
        self.script().otherwise = Some(manner);
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Manners for ScriptedManners {
    fn silent(&self) -> bool {
        self.script().silent
    }

    fn refuses(&self, memo: &str) -> bool {
        let script = self.script();
        script.refuse_all || script.refused.contains(memo)
    }

    fn broadcast(&self, memo: &str, _: u32) -> Manner {
        let mut script = self.script();
        let scripted = script.broadcasts.get_mut(memo).and_then(VecDeque::pop_front);
        scripted.or(script.otherwise).unwrap_or(Manner::Confirm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bp(points: u32) -> BasisPoints {
        BasisPoints::try_new(points).unwrap()
    }

    #[test]
    fn chance_is_repeatable_and_keeps_to_its_rates() {
        let rates = Rates {
            refuse_before_signing: bp(1_000),
            lost_broadcast: bp(1_000),
            unknown_but_taken: bp(1_000),
            unknown_not_taken: bp(1_000),
            late_confirmation: bp(1_000),
            late_by: Duration::from_secs(1),
            reorganise: bp(1_000),
        };
        let manners = RandomManners::try_new(1, rates, Duration::ZERO).unwrap();
        let run = |manners: &RandomManners| -> Vec<Manner> {
            (1..=2_000)
                .map(|order| manners.broadcast(&format!("order:{order}:withdraw"), 1))
                .collect()
        };
        let seen = run(&manners);
        assert_eq!(seen, run(&manners));
        assert_ne!(seen, run(&RandomManners::try_new(2, rates, Duration::ZERO).unwrap()));
        let confirmed = seen.iter().filter(|manner| **manner == Manner::Confirm).count();
        assert!((900..1_100).contains(&confirmed), "{confirmed} of 2000");
        assert!(
            seen.iter()
                .all(|manner| !matches!(manner, Manner::LateConfirmation(by) if *by > rates.late_by))
        );
        // The seed is all there is: not when it is asked, nor after what, nor how often.
        let backwards: Vec<Manner> = (1..=2_000)
            .rev()
            .map(|order| manners.broadcast(&format!("order:{order}:withdraw"), 1))
            .collect();
        assert!(seen.iter().eq(backwards.iter().rev()));
    }

    #[test]
    fn rates_that_make_no_sense_are_refused() {
        let refusal = |rates| {
            RandomManners::try_new(1, rates, Duration::ZERO)
                .unwrap_err()
                .to_string()
        };
        let beyond = Rates {
            late_confirmation: BasisPoints::MAX,
            lost_broadcast: bp(1),
            ..Rates::default()
        };
        assert_eq!(refusal(beyond), "the chain's rates add up to 10001 of 10000 broadcasts");
        let lost = Rates {
            lost_broadcast: bp(9_000),
            reorganise: bp(1_000),
            ..Rates::default()
        };
        assert_eq!(
            refusal(lost),
            "of 10000 broadcasts the chain would lose all: nothing would ever be confirmed"
        );
        let late = Rates {
            late_confirmation: BasisPoints::MAX,
            ..Rates::default()
        };
        assert!(RandomManners::try_new(1, late, Duration::ZERO).is_ok());
    }
}
