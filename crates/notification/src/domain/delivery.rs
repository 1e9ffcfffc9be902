//! How long one tries to deliver a mail.

use std::num::NonZeroU32;
use std::time::Duration;

use contracts::random::backoff;

/// What a mail system said about a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailAnswer {
    /// It has it; what happens to it now is its business.
    Delivered,
    /// Not now, or nobody knows: the same mail may be sent again.
    TryLater {
        /// Why, for people.
        reason: String,
    },
    /// Never: another try would be refused as well.
    Refused {
        /// Why, for people.
        reason: String,
    },
}

/// How often a mail is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// How many times at most.
    pub max_tries: NonZeroU32,
    /// The pause after the first; doubled each time.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Default for Patience {
    /// Twenty tries in about fifteen hours: a mail system that is being repaired is back by then.
    fn default() -> Self {
        Self {
            max_tries: NonZeroU32::MIN.saturating_add(19),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(2 * 60 * 60),
        }
    }
}

/// What comes after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the mail system has it.
    Delivered,
    /// Another try.
    Again {
        /// After this long, at most.
        pause: Duration,
        /// Why.
        reason: String,
    },
    /// Nothing: it cannot be delivered.
    Undeliverable {
        /// Why.
        detail: String,
    },
}

/// Decides what comes after an answer; `tries` were made and postponed before this one.
#[must_use]
pub fn decide(answer: MailAnswer, tries: u32, patience: Patience) -> Next {
    match answer {
        MailAnswer::Delivered => Next::Delivered,
        MailAnswer::Refused { reason } => Next::Undeliverable {
            detail: format!("refused: {reason}"),
        },
        MailAnswer::TryLater { reason } => {
            let made = tries.saturating_add(1);
            if made >= patience.max_tries.get() {
                return Next::Undeliverable {
                    detail: format!("given up after {made} tries: {reason}"),
                };
            }
            Next::Again {
                pause: backoff(patience.first_pause, tries, patience.longest_pause),
                reason,
            }
        }
    }
}
