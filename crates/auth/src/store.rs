//! Where users, keys and failed logins lie.

pub mod postgres;
pub mod sqlite;

use jiff::{SignedDuration, Timestamp};

use crate::domain::logins::FailurePolicy;

/// How many outdated counts of failures one new failure takes away at most: more than one, so that they run out.
const MAX_FORGOTTEN: i64 = 100;

/// Counts of failures that began then or earlier are outdated.
fn outdated(now: Timestamp, policy: FailurePolicy) -> Timestamp {
    let window = SignedDuration::try_from(policy.window).unwrap_or(SignedDuration::MAX);
    now.checked_sub(window).unwrap_or(Timestamp::MIN)
}
