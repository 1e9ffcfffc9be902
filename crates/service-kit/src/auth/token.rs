//! The access token itself: a JWT (RFC 7519) signed with Ed25519 (RFC 8037).

use std::fmt;
use std::time::Duration;

use contracts::UserId;
use contracts::clients::Jwk;
use jiff::Timestamp;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk as LibraryJwk};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What an access token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whose token it is; a text on the wire, as RFC 7519 wants it.
    #[serde(with = "as_text")]
    pub sub: UserId,
    /// Who issued it.
    pub iss: String,
    /// For whom it is meant.
    pub aud: String,
    /// From this second since the epoch on it is not valid any more.
    pub exp: i64,
    /// When it was issued, seconds since the epoch.
    pub iat: i64,
    /// Its own id, so that two tokens of one second differ.
    pub jti: String,
}

impl Claims {
    /// The claims of a token issued now and valid for `ttl`, in whole seconds.
    #[must_use]
    pub fn new(user: UserId, issuer: &str, audience: &str, now: Timestamp, ttl: Duration, token_id: String) -> Self {
        let iat = now.as_second();
        let exp = iat.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        Self {
            sub: user,
            iss: issuer.to_owned(),
            aud: audience.to_owned(),
            exp,
            iat,
            jti: token_id,
        }
    }
}

/// A token that could not be made.
#[derive(Debug, Error)]
#[error("the token could not be signed: {0}")]
pub struct MintError(#[from] jsonwebtoken::errors::Error);

/// A private Ed25519 key with its id. Never printed.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    private: EncodingKey,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// The key that belongs to this seed (RFC 8032, section 5.1.5). The seed is the secret; draw it from the system's
    /// randomness.
    #[must_use]
    pub fn from_seed(kid: impl Into<String>, seed: &[u8; 32]) -> Self {
        // RFC 8410, section 7: a PKCS#8 document around an Ed25519 seed is these bytes and the seed.
        const PKCS8_PREFIX: [u8; 16] = [
            0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
        ];
        let mut der = [0; 48];
        der[..16].copy_from_slice(&PKCS8_PREFIX);
        der[16..].copy_from_slice(seed);
        Self {
            kid: kid.into(),
            private: EncodingKey::from_ed_der(&der),
        }
    }

    /// The key's id.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public half, as it is published.
    ///
    /// # Errors
    /// [`MintError`] when the library cannot derive it, which a key made from a seed does not cause.
    pub fn public(&self) -> Result<Jwk, MintError> {
        let jwk = LibraryJwk::from_encoding_key(&self.private, Algorithm::EdDSA)?;
        let AlgorithmParameters::OctetKeyPair(pair) = jwk.algorithm else {
            return Err(MintError(jsonwebtoken::errors::ErrorKind::InvalidEddsaKey.into()));
        };
        Ok(Jwk {
            kty: "OKP".into(),
            crv: "Ed25519".into(),
            alg: "EdDSA".into(),
            usage: "sig".into(),
            kid: self.kid.clone(),
            x: pair.x,
        })
    }

    /// Signs a token with these claims.
    ///
    /// # Errors
    /// [`MintError`] when the library cannot sign, which a key made from a seed does not cause.
    pub fn mint(&self, claims: &Claims) -> Result<String, MintError> {
        let header = Header {
            kid: Some(self.kid.clone()),
            ..Header::new(Algorithm::EdDSA)
        };
        Ok(jsonwebtoken::encode(&header, claims, &self.private)?)
    }
}

mod as_text {
    use contracts::UserId;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(user: &UserId, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(user)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UserId, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
