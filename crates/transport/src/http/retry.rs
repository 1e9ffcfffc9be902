//! Whether a failed attempt is made again, and after which pause. Pure: time and chance are handed in.
//!
//! What it keeps true: attempts, the pauses between them and the time of all together are bounded; the pause is drawn evenly
//! from nothing to its bound (full jitter), so that those who failed together do not return together; a peer that says when
//! to come back is not asked before.

use std::time::Duration;

use contracts::random::backoff;

use super::failure::Failure;

/// The knobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How often a request is sent at most, the first time included; 0 counts as 1.
    pub attempts: u32,
    /// The bound of the first pause; doubled each time.
    pub first_pause: Duration,
    /// The highest bound of a pause.
    pub longest_pause: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            attempts: 3,
            first_pause: Duration::from_millis(50),
            longest_pause: Duration::from_secs(1),
        }
    }
}

/// After which failures a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// After all of them: having happened twice is having happened once, and is answered alike.
    Always,
    /// Only where the peer has done nothing: it may happen twice, but what the second answer says would not be true of the
    /// first request.
    IfNothingWasDone,
}

impl Rules {
    /// How long to wait until the next attempt; `None` where there is none. `made` attempts were made, the last of which
    /// failed so; `left` is what is left of the call's time; `draw` is evenly drawn.
    #[must_use]
    pub fn pause(&self, made: u32, left: Duration, failure: &Failure, repeat: Repeat, draw: u64) -> Option<Duration> {
        let allowed = match repeat {
            Repeat::Always => true,
            Repeat::IfNothingWasDone => failure.kind.nothing_was_done(),
        };
        if made >= self.attempts || !failure.kind.may_pass() || !allowed {
            return None;
        }
        let bound = backoff(self.first_pause, made.saturating_sub(1), self.longest_pause);
        let span = u64::try_from(bound.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        let jitter = Duration::from_micros(draw % span.max(1));
        let pause = failure.retry_after.unwrap_or_default().saturating_add(jitter);
        (pause < left).then_some(pause)
    }
}

#[cfg(test)]
mod tests;
