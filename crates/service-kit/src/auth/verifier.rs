//! Decides whether a token is one of ours, and remembers that it was.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use contracts::clients::{Auth, ClientError};
use contracts::{Clock, UserId};
use jsonwebtoken::{Algorithm, Validation};
use moka::sync::Cache;
use thiserror::Error;

use super::keys::Keys;
use super::token::Claims;
use crate::bearer;

/// Why a token is not accepted. Clients learn only whether it expired; the rest would help nobody but a forger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It is no JWT, its header or claims lack something, or its user is no user id.
    #[error("malformed")]
    Malformed,
    /// It asks for another algorithm than EdDSA: `none`, HS256 with the public key, whatever.
    #[error("wrong algorithm")]
    Algorithm,
    /// It names no key that `auth` publishes.
    #[error("unknown key")]
    Key,
    /// Its signature is not made with the key it names.
    #[error("wrong signature")]
    Signature,
    /// Another issuer.
    #[error("wrong issuer")]
    Issuer,
    /// Meant for somebody else.
    #[error("wrong audience")]
    Audience,
    /// It was valid once.
    #[error("expired")]
    Expired,
}

/// What verification can end with, besides a user.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// The token is not valid, and will not become so.
    #[error("the token is refused: {0}")]
    Refused(#[from] Refusal),
    /// The keys cannot be had, so nobody can say: not the caller's fault.
    #[error("tokens cannot be verified: {0}")]
    Keys(#[from] ClientError),
}

/// What a valid token proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Whose it is.
    pub user: UserId,
    /// From this second since the epoch on it is not valid any more.
    pub exp: i64,
}

/// Verifies access tokens. Share one per process: it remembers verified tokens, bounded, until they expire.
pub struct TokenVerifier {
    keys: Keys,
    clock: Arc<dyn Clock>,
    issuer: String,
    audience: String,
    validation: Validation,
    verified: Cache<[u8; 32], Verified>,
}

impl std::fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { issuer, audience, .. } = self;
        f.debug_struct("TokenVerifier")
            .field("issuer", issuer)
            .field("audience", audience)
            .finish_non_exhaustive()
    }
}

impl TokenVerifier {
    /// A verifier of tokens by `issuer` for `audience`, which remembers at most `cache` of them.
    #[must_use]
    pub fn new(auth: Arc<dyn Auth>, clock: Arc<dyn Clock>, issuer: &str, audience: &str, cache: NonZeroUsize) -> Self {
        let mut validation = Validation::new(Algorithm::EdDSA);
        // Everything but algorithm and signature is checked here, exactly, and by the clock that was handed in; the
        // library would read the machine's clock, and allow a minute.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims = HashSet::new();
        Self {
            keys: Keys::new(auth, Arc::clone(&clock)),
            clock,
            issuer: issuer.to_owned(),
            audience: audience.to_owned(),
            validation,
            verified: Cache::new(u64::try_from(cache.get()).unwrap_or(u64::MAX)),
        }
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// [`VerifyError::Refused`] for a token that is not valid; [`VerifyError::Keys`] when that cannot be decided.
    pub async fn verify(&self, token: &str) -> Result<UserId, VerifyError> {
        self.examine(token).await.map(|verified| verified.user)
    }

    /// Whose token this is, and for how long: for answers that last.
    ///
    /// # Errors
    /// As [`TokenVerifier::verify`].
    pub async fn examine(&self, token: &str) -> Result<Verified, VerifyError> {
        let digest = bearer::digest(token);
        let verified = match self.verified.get(&digest) {
            Some(verified) => verified,
            None => {
                let verified = self.verify_signature(token).await?;
                self.verified.insert(digest, verified);
                verified
            }
        };
        if self.clock.now().as_second() >= verified.exp {
            self.verified.invalidate(&digest);
            return Err(Refusal::Expired.into());
        }
        Ok(verified)
    }

    async fn verify_signature(&self, token: &str) -> Result<Verified, VerifyError> {
        use jsonwebtoken::errors::ErrorKind;

        let header = jsonwebtoken::decode_header(token).map_err(|error| {
            let named = matches!(error.kind(), ErrorKind::InvalidAlgorithmName);
            if named { Refusal::Algorithm } else { Refusal::Malformed }
        })?;
        if header.alg != Algorithm::EdDSA {
            return Err(Refusal::Algorithm.into());
        }
        let kid = header.kid.ok_or(Refusal::Malformed)?;
        let key = self.keys.get(&kid).await?.ok_or(Refusal::Key)?;
        let decoded = jsonwebtoken::decode::<Claims>(token, &key, &self.validation);
        let claims = decoded.map(|data| data.claims).map_err(|error| {
            let signature = matches!(error.kind(), ErrorKind::InvalidSignature);
            if signature {
                Refusal::Signature
            } else {
                Refusal::Malformed
            }
        })?;
        if claims.iss != self.issuer {
            return Err(Refusal::Issuer.into());
        }
        if claims.aud != self.audience {
            return Err(Refusal::Audience.into());
        }
        Ok(Verified {
            user: claims.sub,
            exp: claims.exp,
        })
    }
}
