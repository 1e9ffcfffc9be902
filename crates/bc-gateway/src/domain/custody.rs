//! Whose key is whose.
//!
//! No private key is stored. Each is derived from one secret seed by HKDF (RFC 5869, with HMAC-SHA-256):
//! the salt names this program and the version of the scheme, `info` names the chain and the user. The same seed gives
//! the same keys for ever, so a lost database loses no coins; a leaked key tells nothing about the seed or about other
//! keys. Whoever has the seed has all coins: it comes from the environment or a file, and is never logged.

use std::fmt;

use contracts::UserId;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// Version 1 of the scheme. Changing it changes every address.
const SALT: &[u8] = b"cambist/bc_gateway/custody/1";

/// A seed that is too short to be a secret, or too long to be meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the custody seed must have {} to {} bytes", Custody::MIN_SEED, Custody::MAX_SEED)]
pub struct InvalidSeed;

/// The keys to all addresses. Shows nothing of itself.
#[derive(Clone)]
pub struct Custody {
    /// HKDF's pseudorandom key.
    key: [u8; 32],
}

impl fmt::Debug for Custody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custody(secret)")
    }
}

impl Custody {
    /// The fewest bytes a seed may have: 256 bits.
    pub const MIN_SEED: usize = 32;
    /// The most bytes a seed may have.
    pub const MAX_SEED: usize = 1024;

    /// The custody that belongs to `seed`, which should come from a good generator.
    ///
    /// # Errors
    /// [`InvalidSeed`] for fewer than [`Custody::MIN_SEED`] or more than [`Custody::MAX_SEED`] bytes.
    pub fn try_new(seed: &[u8]) -> Result<Self, InvalidSeed> {
        if (Self::MIN_SEED..=Self::MAX_SEED).contains(&seed.len()) {
            Ok(Self {
                key: hmac(SALT, &[seed]),
            })
        } else {
            Err(InvalidSeed)
        }
    }

    /// The key of `user` on the chain of this name. Always the same.
    #[must_use]
    pub fn keys(&self, chain: &str, user: UserId) -> Keys {
        // A chain's name has no slash (see `ports::Chain::name`), so no two infos are alike.
        let info = format!("{chain}/user/{user}");
        Keys(expand(&self.key, info.as_bytes()))
    }
}

/// The secret from which a chain makes the key pair of one address. Shows nothing of itself.
#[derive(Clone)]
pub struct Keys([u8; 32]);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys(secret)")
    }
}

impl Keys {
    /// The secret itself, for the adapter that signs.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

/// HKDF-Expand for one block, which is all that a key of 32 bytes needs (RFC 5869, section 2.3).
fn expand(key: &[u8; 32], info: &[u8]) -> [u8; 32] {
    hmac(key, &[info, &[1]])
}

/// HMAC-SHA-256 over the parts, one after the other (RFC 2104).
fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    const BLOCK: usize = 64;
    let mut padded = [0; BLOCK];
    if key.len() > BLOCK {
        padded[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        padded[..key.len()].copy_from_slice(key);
    }
    let mut inner = Sha256::new();
    inner.update(padded.map(|byte| byte ^ 0x36));
    for part in parts {
        inner.update(part);
    }
    let mut outer = Sha256::new();
    outer.update(padded.map(|byte| byte ^ 0x5c));
    outer.update(inner.finalize());
    outer.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::super::hex;
    use super::*;

    /// RFC 4231, test cases 2 (a short key) and 6 (a key longer than a block).
    #[test]
    fn hmac_agrees_with_rfc_4231() {
        assert_eq!(
            hex::encode(&hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex::encode(&hmac(
                &[0xaa; 131],
                &[b"Test Using Larger Than Block-Size Key - Hash Key First"]
            )),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    /// RFC 5869, A.1: extract, then the first 32 of the 42 bytes.
    #[test]
    fn keys_are_derived_as_in_rfc_5869() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let key = hmac(&salt, &[&[0x0b; 22]]);
        assert_eq!(
            hex::encode(&key),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
        );
        assert_eq!(
            hex::encode(&expand(&key, &info)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        );
    }

    #[test]
    fn every_user_on_every_chain_has_a_key_of_their_own_and_it_never_changes() {
        let user = |number| UserId::try_new(number).unwrap();
        let custody = Custody::try_new(&[7; 32]).unwrap();
        let again = Custody::try_new(&[7; 32]).unwrap();
        let other = Custody::try_new(&[8; 32]).unwrap();
        let key = |custody: &Custody, chain, number| *custody.keys(chain, user(number)).expose();
        assert_eq!(key(&custody, "sim", 2), key(&again, "sim", 2));
        assert_ne!(key(&custody, "sim", 2), key(&custody, "sim", 3));
        assert_ne!(key(&custody, "sim", 2), key(&custody, "main", 2));
        assert_ne!(key(&custody, "sim", 2), key(&other, "sim", 2));
        // Pinned: a change here would be a change of every customer's address.
        assert_eq!(hex::encode(&key(&custody, "sim", 2)), PINNED);
    }

    /// Computed independently, by another implementation of HMAC.
    const PINNED: &str = "ab4414156fa4c743b42911ed280e2da13b8f88234367ac5014fd3007a0ad94a6";

    #[test]
    fn secrets_do_not_show_and_short_seeds_are_refused() {
        let custody = Custody::try_new(&[0xab; 32]).unwrap();
        let shown = format!("{custody:?} {:?}", custody.keys("sim", UserId::HOT_WALLET));
        assert_eq!(shown, "Custody(secret) Keys(secret)");
        assert_eq!(Custody::try_new(&[0; 31]).unwrap_err(), InvalidSeed);
        assert_eq!(Custody::try_new(&[0; 1025]).unwrap_err(), InvalidSeed);
    }
}
