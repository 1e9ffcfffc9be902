//! Randomness is handed in, so that a seed repeats a run.

use std::sync::Mutex;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// A source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);

    /// A uniformly drawn number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A 128-bit identifier, as 32 hexadecimal digits.
    fn next_id(&self) -> String {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        format!("{:032x}", u128::from_be_bytes(bytes))
    }

    /// Between half of `delay` and all of it, so that those who failed together do not return together.
    fn jitter(&self, delay: Duration) -> Duration {
        let half = delay / 2;
        let span = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half.saturating_add(Duration::from_micros(self.next_u64() % span))
    }
}

/// Cryptographically secure randomness from the operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}

/// Repeatable randomness for tests and simulations; never for keys or tokens.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<StdRng>);

impl SeededEntropy {
    /// The sequence that belongs to `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .fill_bytes(bytes);
    }
}

/// The delay before try number `attempt` (from 0): `base` doubled each time, never above `ceiling`.
#[must_use]
pub fn backoff(base: Duration, attempt: u32, ceiling: Duration) -> Duration {
    base.saturating_mul(1_u32.checked_shl(attempt.min(20)).unwrap_or(u32::MAX))
        .min(ceiling)
}
