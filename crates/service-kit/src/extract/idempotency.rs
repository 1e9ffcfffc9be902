//! Idempotency keys: a client's name for a request, so that repeating it has no second effect.

use std::fmt;

use ::http::request::Parts;
use ::http::{HeaderName, Method};
use axum::extract::OptionalFromRequestParts;
use sha2::{Digest as _, Sha256};

use crate::problem::{Problem, ProblemCode};

/// The request header with the key (IETF draft "The Idempotency-Key HTTP Header Field").
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The response header that says `true` when the answer is the one of an earlier request.
pub const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A client's name for a request: 1 to 128 visible ASCII characters, taken as they are. Keys of different users have
/// nothing to do with each other.
///
/// Extracted as `Option<IdempotencyKey>`: the header is optional, but one that is there must be sound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The longest key.
    pub const MAX_LEN: usize = 128;

    /// The key of this text; `None` when it is empty, too long, or holds anything but visible ASCII characters.
    #[must_use]
    pub fn try_new(text: &str) -> Option<Self> {
        let sound = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        sound.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        let mut values = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let key = value
            .to_str()
            .ok()
            .and_then(Self::try_new)
            .filter(|_| values.next().is_none());
        let wrong = || {
            Problem::new(ProblemCode::MalformedHeader)
                .with_detail("Idempotency-Key must be sent once, with 1 to 128 visible ASCII characters")
        };
        key.map(Some).ok_or_else(wrong)
    }
}

/// Stands for a request: SHA-256 over method, path and body. Two requests with the same are the same request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub [u8; 32]);

/// The fingerprint of a request. The path is the one within the service, so that it does not matter where the service
/// is mounted.
#[must_use]
pub fn fingerprint(method: &Method, path: &str, body: &[u8]) -> Fingerprint {
    let mut hash = Sha256::new();
    // Neither method nor path can hold a zero byte, so the parts cannot run into each other.
    for part in [method.as_str().as_bytes(), path.as_bytes()] {
        hash.update(part);
        hash.update([0]);
    }
    hash.update(body);
    Fingerprint(hash.finalize().into())
}
