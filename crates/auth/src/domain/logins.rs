//! How many guesses a stranger gets.
//!
//! Failures are counted per account: whether the name exists makes no difference, or the count would tell. After
//! [`FailurePolicy::limit`] failures within a window the account is closed for a whole window. The count is durable,
//! so that neither a restart nor a second process hands out new guesses.
//!
//! Hashes take a while, and many can be under way at once; therefore what counts is not who may begin but who is
//! told: [`conclude`] is decided in one transaction after the hash, and once an account is closed no outcome is told,
//! right or wrong. So an account gives away at most `limit` answers in a window, whatever the concurrency.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use contracts::time::later;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::user::folded;

/// An account as failures are counted for it: the SHA-256 of the name that was tried, whatever its case, whether it
/// exists or not. Fixed in size whatever was typed, and no place where a password typed into the wrong field stays.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Account(pub [u8; 32]);

impl Account {
    /// The account of this name.
    #[must_use]
    pub fn of(username: &str) -> Self {
        Self(Sha256::digest(folded(username).as_bytes()).into())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Account(…)")
    }
}

/// How many failures are too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailurePolicy {
    /// The failure with this number closes the account.
    pub limit: NonZeroU32,
    /// How long failures count, and how long a closed account stays closed.
    pub window: Duration,
}

impl Default for FailurePolicy {
    /// Ten in fifteen minutes.
    fn default() -> Self {
        Self {
            limit: NonZeroU32::MIN.saturating_add(9),
            window: Duration::from_secs(15 * 60),
        }
    }
}

/// The failures of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: u32,
    /// The first of them; of a closed account, the one that closed it.
    pub since: Timestamp,
}

impl Failures {
    /// Until when the account is closed; `None` when it is open.
    #[must_use]
    pub fn closed_until(self, now: Timestamp, policy: FailurePolicy) -> Option<Timestamp> {
        let until = self.counts_until(now, policy);
        (self.count >= policy.limit.get() && now < until).then_some(until)
    }

    /// A clock that was set back must not close anybody out for longer than a window.
    fn counts_until(self, now: Timestamp, policy: FailurePolicy) -> Timestamp {
        later(self.since.min(now), policy.window)
    }
}

/// What the caller is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password was right.
    Right,
    /// It was not, or there is no such user.
    Wrong,
    /// Too many failures; right or wrong is not told.
    Closed {
        /// Until when.
        until: Timestamp,
    },
}

/// What becomes of the account's count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// It stays.
    Keep,
    /// It is forgotten.
    Forget,
    /// It is this now.
    Write(Failures),
}

/// Decides what the outcome of a login is worth. `right` says whether user and password belong together.
#[must_use]
pub fn conclude(known: Option<Failures>, now: Timestamp, right: bool, policy: FailurePolicy) -> (Verdict, Record) {
    if let Some(until) = known.and_then(|failures| failures.closed_until(now, policy)) {
        return (Verdict::Closed { until }, Record::Keep);
    }
    if right {
        let record = if known.is_some() { Record::Forget } else { Record::Keep };
        return (Verdict::Right, record);
    }
    let counting = known.filter(|failures| now < failures.counts_until(now, policy));
    let count = counting.map_or(0, |failures| failures.count).saturating_add(1);
    let closing = count >= policy.limit.get();
    let since = match counting {
        Some(failures) if !closing => failures.since,
        Some(_) | None => now,
    };
    (Verdict::Wrong, Record::Write(Failures { count, since }))
}
