//! Which key signs, which keys are published, and when one replaces another.
//!
//! A key's life: it is made and published at once; it signs when the one before it retires; it retires
//! [`PUBLISH_AHEAD`] after its successor was made; it stays published until the last token it signed has expired; then
//! it is forgotten, private half and all.
//!
//! Why ahead: other processes of this service and the verifiers hold copies of the keys. By the time a key signs,
//! every copy that is older than it has been refreshed. As the moment of a handover is stored before it comes, all
//! processes hand over at the same moment.

use std::fmt;
use std::time::Duration;

use contracts::time::later;
use jiff::Timestamp;

/// How long a new key is published before it signs. Longer than any copy of the keys is kept.
pub const PUBLISH_AHEAD: Duration = Duration::from_secs(5 * 60);

/// The most keys there are at once. Verifiers accept no longer list.
pub const MAX_KEYS: usize = 8;

/// How far the clocks of those who sign and those who verify may be apart.
const MAX_SKEW: Duration = Duration::from_secs(60);

/// A signing key as stored. `Debug` does not show the secret.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id, in tokens and in the published list.
    pub kid: String,
    /// The Ed25519 seed (RFC 8032, section 5.1.5): the secret.
    pub seed: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it does not sign any more; known once its successor is made.
    pub retired_at: Option<Timestamp>,
}

impl fmt::Debug for KeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRecord")
            .field("kid", &self.kid)
            .field("created_at", &self.created_at)
            .field("retired_at", &self.retired_at)
            .finish_non_exhaustive()
    }
}

/// The durations that matter to keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRules {
    /// How long a token is valid.
    pub token_ttl: Duration,
    /// The age at which a key is replaced.
    pub max_age: Duration,
}

/// What is wanted of the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// That there is one.
    Ensure,
    /// That there is one which is not too old.
    RotateIfDue,
    /// That there is a new one.
    Rotate,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// All was well.
    None,
    /// There was no key; now there is.
    First,
    /// A new key was made; it signs after [`PUBLISH_AHEAD`].
    Rotated,
    /// There are [`MAX_KEYS`] already. Keys go when their last tokens expire.
    TooMany,
}

/// What a store does to the keys, in the transaction in which it read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What it amounts to.
    pub change: Change,
    /// These go.
    pub forget: Vec<String>,
    /// This one retires at this time.
    pub retire: Option<(String, Timestamp)>,
    /// This one comes.
    pub insert: Option<KeyRecord>,
}

/// Decides what happens to `keys`. `fresh` is a new key, made now, for the case that one is needed.
#[must_use]
pub fn plan(keys: &[KeyRecord], wish: Wish, fresh: KeyRecord, rules: KeyRules, now: Timestamp) -> Plan {
    let (kept, forgotten): (Vec<_>, Vec<_>) = keys.iter().partition(|key| is_needed(key, rules, now));
    let forget = forgotten.into_iter().map(|key| key.kid.clone()).collect();
    let nothing = |change, forget| Plan {
        change,
        forget,
        retire: None,
        insert: None,
    };
    let newest = kept
        .iter()
        .filter(|key| key.retired_at.is_none())
        .max_by_key(|key| (key.created_at, &key.kid));
    let Some(newest) = newest else {
        return Plan {
            insert: Some(fresh),
            ..nothing(Change::First, forget)
        };
    };
    let wanted = match wish {
        Wish::Ensure => false,
        Wish::RotateIfDue => now >= later(newest.created_at, rules.max_age),
        Wish::Rotate => true,
    };
    if !wanted {
        return nothing(Change::None, forget);
    }
    if kept.len() >= MAX_KEYS {
        return nothing(Change::TooMany, forget);
    }
    // Later than its predecessor in any case, also where clocks differ or were set back: the order in which keys were
    // made is the order in which they sign.
    let made_at = now.max(later(newest.created_at, Duration::from_micros(1)));
    Plan {
        retire: Some((newest.kid.clone(), later(made_at, PUBLISH_AHEAD))),
        insert: Some(KeyRecord {
            created_at: made_at,
            ..fresh
        }),
        ..nothing(Change::Rotated, forget)
    }
}

/// The key that signs: the oldest that has not retired.
#[must_use]
pub fn signer(keys: &[KeyRecord], now: Timestamp) -> Option<&KeyRecord> {
    keys.iter()
        .filter(|key| key.retired_at.is_none_or(|retired_at| now < retired_at))
        .min_by_key(|key| (key.created_at, &key.kid))
}

/// The keys with which some token can still be verified, oldest first as given.
pub fn published(keys: &[KeyRecord], rules: KeyRules, now: Timestamp) -> impl Iterator<Item = &KeyRecord> {
    keys.iter().filter(move |key| is_needed(key, rules, now))
}

fn is_needed(key: &KeyRecord, rules: KeyRules, now: Timestamp) -> bool {
    key.retired_at
        .is_none_or(|retired_at| now < later(later(retired_at, rules.token_ttl), MAX_SKEW))
}
