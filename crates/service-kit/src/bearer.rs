//! Reading a bearer token, the same way on the public and on the internal listener.

use ::http::HeaderMap;
use ::http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};

/// Longer tokens are refused unseen, so that nobody makes us hash megabytes.
const MAX_TOKEN_BYTES: usize = 4096;

/// The token of `Authorization: Bearer <token>` (RFC 6750, section 2.1); `None` when the header is missing, there
/// are several, or it is anything else.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let sound =
        !token.is_empty() && token.len() <= MAX_TOKEN_BYTES && token.bytes().all(|byte| byte.is_ascii_graphic());
    (scheme.eq_ignore_ascii_case("bearer") && sound).then_some(token)
}

/// What stands for a token in memory: tokens themselves are not kept, and hashes compare in constant time.
pub(crate) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
