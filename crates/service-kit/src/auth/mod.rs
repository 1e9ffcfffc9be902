//! Access tokens: what `auth` mints is what every public listener verifies.
//!
//! What it keeps true: only EdDSA, whatever a token's header asks for; only our issuer and audience; not one second
//! beyond `exp`, by the clock that was handed in. And on every route of a user, in this order and before the body is
//! looked at: *who are you* (401), then *is this yours* (403).

mod keys;
mod middleware;
mod token;
mod verifier;

pub use middleware::{AuthenticatedUser, TokenExpiry, identify, protect};
pub use token::{Claims, MintError, SigningKey};
pub use verifier::{Refusal, TokenVerifier, Verified, VerifyError};
