//! How long one tries to deliver a mail.

use std::num::NonZeroU32;
use std::time::Duration;

use contracts::random::backoff;
use serde::{Deserialize, Serialize};

/// What a mail system said about a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailAnswer {
    /// It has it; what happens to it now is its business.
    Delivered,
    /// It does not have it, and another try may go better.
    TryLater {
        /// Why, for people.
        reason: String,
    },
    /// Nobody knows whether it has it: it was given the whole mail and did not answer. Another try may give the receiver
    /// a second copy.
    Unconfirmed {
        /// What happened, for people.
        reason: String,
    },
    /// Never: it does not have it, and another try would be refused as well.
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
    /// How many of these may end without anybody knowing whether the mail was taken, before no more are made: so many
    /// copies a receiver gets at most of a mail system that always takes and never answers. Where a repeated mail takes
    /// the place of the first, as a file does, this can be as many as `max_tries`.
    pub max_unconfirmed: NonZeroU32,
    /// The pause after the first; doubled each time.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
}

impl Patience {
    /// With mails that are files: a disk that was full or slow is asked again every ten seconds at least, for as long as a mail
    /// server is. A repeated mail takes the place of the first.
    #[must_use]
    pub fn with_files() -> Self {
        let tries = NonZeroU32::MIN.saturating_add(5_399);
        Self {
            max_tries: tries,
            max_unconfirmed: tries,
            longest_pause: Duration::from_secs(10),
            ..Self::default()
        }
    }
}

impl Default for Patience {
    /// Twenty tries in some eleven hours, as pauses are shortened by chance, by a quarter on average: a mail system that is being repaired is back by then. A lost answer is
    /// repeated once, as RFC 5321 wants it: until it has answered, the server is not responsible for the mail.
    fn default() -> Self {
        Self {
            max_tries: NonZeroU32::MIN.saturating_add(19),
            max_unconfirmed: NonZeroU32::MIN.saturating_add(1),
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(2 * 60 * 60),
        }
    }
}

/// The tries that are over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// All of them.
    pub tries: u32,
    /// Those of which nobody knows whether the mail was taken.
    pub unconfirmed: u32,
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
        /// The tries so far, this one included.
        tally: Tally,
    },
    /// Nothing: it cannot be delivered, or nobody knows whether it was and asking again would do harm.
    Undeliverable {
        /// Why.
        detail: String,
    },
}

/// Decides what comes after an answer; `before` are the tries that were made before this one.
#[must_use]
pub fn decide(answer: MailAnswer, before: Tally, patience: Patience) -> Next {
    let (reason, unconfirmed) = match answer {
        MailAnswer::Delivered => return Next::Delivered,
        MailAnswer::Refused { reason } => {
            return Next::Undeliverable {
                detail: format!("refused: {reason}"),
            };
        }
        MailAnswer::TryLater { reason } => (reason, 0),
        MailAnswer::Unconfirmed { reason } => (reason, 1),
    };
    let tally = Tally {
        tries: before.tries.saturating_add(1),
        unconfirmed: before.unconfirmed.saturating_add(unconfirmed),
    };
    let Tally { tries, unconfirmed } = tally;
    if tries >= patience.max_tries.get() || unconfirmed >= patience.max_unconfirmed.get() {
        let doubt = match unconfirmed {
            0 => String::new(),
            copies => format!(" (it may have arrived: {copies} of them were never answered)"),
        };
        return Next::Undeliverable {
            detail: format!("given up after {tries} tries{doubt}: {reason}"),
        };
    }
    Next::Again {
        pause: backoff(patience.first_pause, before.tries, patience.longest_pause),
        reason,
        tally,
    }
}
