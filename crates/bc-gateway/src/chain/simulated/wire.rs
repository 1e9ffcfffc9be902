//! The simulated chain's wire format: what is signed, and how it is read back.
//!
//! `version (1) | sender's public key (32) | to | asset | units (16) | nonce (8) | memo | signature (64)`, numbers
//! big-endian, texts with one byte of length before them. The signature is Ed25519 (RFC 8032) over everything before it,
//! with the chain's name in front, so that a signature for another purpose is none here. The hash is SHA-256 over all
//! of it; signatures are deterministic and checked strictly, so one content has one hash.
//!
//! To check a signature takes twice as long as to make it, and nearly all that come were made here a moment ago. So what
//! was signed is remembered by its hash, and those very bytes need no second look; others, and all of them after a
//! restart, are checked.

use std::sync::{Mutex, PoisonError};

use contracts::{Amount, Asset};
use ed25519_dalek::{Signature, SignatureError, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::ledger::Entry;
use super::memory::Recent;
use crate::domain::hex;
use crate::ports::{Address, Keys, SignedTransfer, TransferDraft};

const VERSION: u8 = 1;
const SIGNATURE: usize = 64;
const DOMAIN: &[u8] = b"cambist/simulated-chain/1";
const PREFIX: &str = "sim1";

/// Why bytes are no transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum WireError {
    /// They have another form.
    #[error("the bytes are no transfer of this chain")]
    Malformed,
    /// The signature is not the sender's.
    #[error("the signature is not the sender's")]
    BadSignature,
}

/// The address of a key.
pub(in crate::chain) fn address(keys: &Keys) -> Address {
    address_of(SigningKey::from_bytes(keys.expose()).verifying_key().as_bytes())
}

/// `sim1`, 20 bytes of the public key's hash, and 4 bytes of checksum against typing errors.
fn address_of(public_key: &[u8; 32]) -> Address {
    let digest = hex::encode(&Sha256::digest(public_key)[..20]);
    let text = format!("{PREFIX}{digest}{}", checksum(&digest));
    Address::try_new(text).expect("52 visible characters")
}

fn checksum(digest: &str) -> String {
    hex::encode(&Sha256::digest(digest)[..4])
}

/// Whether a text is an address of this chain.
pub(super) fn is_address(text: &str) -> bool {
    text.strip_prefix(PREFIX)
        .and_then(|rest| rest.split_at_checked(40))
        .is_some_and(|(digest, sum)| hex::decode(digest).is_some() && checksum(digest) == sum)
}

/// Signs transfers.
#[derive(Default)]
pub(in crate::chain) struct Pen {
    /// The key of the last one, because nearly all are the hot wallet's, and to make a key from its secret takes as long
    /// as to sign with it.
    last: Mutex<Option<SigningKey>>,
}

/// Signs transfers, and reads what was signed.
#[derive(Default)]
pub(super) struct Signer {
    pen: Pen,
    signed: Recent,
}

impl Signer {
    pub(super) fn sign(&self, keys: &Keys, draft: &TransferDraft, nonce: u64) -> SignedTransfer {
        let transfer = self.pen.sign(keys, draft, nonce);
        self.signed.remember(transfer.hash.clone());
        transfer
    }

    /// Reads a signed transfer, and verifies it.
    pub(super) fn open(&self, bytes: &[u8]) -> Result<Entry, WireError> {
        let hash = hash(bytes);
        let signed_here = self.signed.recall(&hash);
        open(bytes, hash, signed_here)
    }
}

impl Pen {
    pub(in crate::chain) fn sign(&self, keys: &Keys, draft: &TransferDraft, nonce: u64) -> SignedTransfer {
        sign(&self.key(keys), draft, nonce)
    }

    fn key(&self, keys: &Keys) -> SigningKey {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_ref().is_none_or(|last| last.as_bytes() != keys.expose()) {
            *last = None;
        }
        last.get_or_insert_with(|| SigningKey::from_bytes(keys.expose()))
            .clone()
    }
}

fn sign(key: &SigningKey, draft: &TransferDraft, nonce: u64) -> SignedTransfer {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(key.verifying_key().as_bytes());
    put_text(&mut bytes, draft.to.as_str());
    put_text(&mut bytes, draft.amount.asset().code());
    bytes.extend_from_slice(&draft.amount.units().to_be_bytes());
    bytes.extend_from_slice(&nonce.to_be_bytes());
    put_text(&mut bytes, &draft.purpose.to_string());
    let signature = key.sign(&message(&bytes));
    bytes.extend_from_slice(&signature.to_bytes());
    SignedTransfer {
        nonce,
        hash: hash(&bytes),
        bytes,
    }
}

/// Reads the transfer with this hash; `signed_here` says that its signature is known to be sound.
fn open(bytes: &[u8], hash: String, signed_here: bool) -> Result<Entry, WireError> {
    let (body, signature) = bytes
        .len()
        .checked_sub(SIGNATURE)
        .and_then(|at| bytes.split_at_checked(at))
        .ok_or(WireError::Malformed)?;
    let mut reader = Reader(body);
    let version = reader.take::<1>()?;
    let public_key = reader.take::<32>()?;
    let to = reader.text()?;
    let asset = Asset::from_code(reader.text()?).ok_or(WireError::Malformed)?;
    let units = i128::from_be_bytes(reader.take()?);
    let nonce = u64::from_be_bytes(reader.take()?);
    let memo = reader.text()?;
    let sound = version == [VERSION]
        && reader.0.is_empty()
        && units > 0
        && is_address(to)
        // SQLite's integers end there; no account will.
        && i64::try_from(nonce).is_ok();
    if !sound {
        return Err(WireError::Malformed);
    }
    if !signed_here {
        verify(&public_key, body, signature).map_err(|_| WireError::BadSignature)?;
    }
    Ok(Entry {
        hash,
        from: address_of(&public_key).as_str().to_owned(),
        to: to.to_owned(),
        amount: Amount::new(units, asset),
        nonce,
        memo: memo.to_owned(),
    })
}

fn verify(public_key: &[u8; 32], body: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    VerifyingKey::from_bytes(public_key)?.verify_strict(&message(body), &Signature::from_slice(signature)?)
}

fn message(body: &[u8]) -> Vec<u8> {
    [DOMAIN, body].concat()
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes))
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    // Addresses, codes and purposes are all shorter than 256 bytes.
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    bytes.push(length);
    bytes.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(WireError::Malformed)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn text(&mut self) -> Result<&'a str, WireError> {
        let [length] = self.take::<1>()?;
        let (text, rest) = self
            .0
            .split_at_checked(usize::from(length))
            .ok_or(WireError::Malformed)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| WireError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use contracts::messages::Step;
    use contracts::{OrderId, UserId};

    use super::*;
    use crate::domain::custody::Custody;
    use crate::ports::Purpose;

    fn signed() -> SignedTransfer {
        signed_by(&Signer::default())
    }

    fn signed_by(signer: &Signer) -> SignedTransfer {
        let custody = Custody::try_new(&[1; 32]).unwrap();
        let hot = custody.keys("simulated", UserId::HOT_WALLET);
        let user = custody.keys("simulated", UserId::try_new(2).unwrap());
        let draft = TransferDraft {
            from: address(&hot),
            to: address(&user),
            amount: Amount::new(300_000_000, Asset::BTC),
            purpose: Purpose::Order {
                order_id: OrderId::try_new(7).unwrap(),
                step: Step::Withdraw,
            },
        };
        signer.sign(&hot, &draft, 41)
    }

    #[test]
    fn what_is_signed_is_read_back_and_signing_again_gives_the_same() {
        let transfer = signed();
        assert_eq!(transfer, signed());
        let entry = Signer::default().open(&transfer.bytes).unwrap();
        assert_eq!(entry.hash, transfer.hash);
        assert_eq!((entry.nonce, entry.memo.as_str()), (41, "order:7:withdraw"));
        assert_eq!(entry.amount, Amount::new(300_000_000, Asset::BTC));
        assert!(is_address(&entry.from) && is_address(&entry.to));
    }

    #[test]
    fn no_byte_can_be_changed_added_or_left_out_whoever_signed() {
        let signer = Signer::default();
        let good = signed_by(&signer).bytes;
        for signer in [signer, Signer::default()] {
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1;
                assert!(signer.open(&bad).is_err(), "byte {at}");
                assert!(signer.open(&good[..at]).is_err(), "cut at {at}");
            }
            assert!(signer.open(&[good.as_slice(), &[0]].concat()).is_err());
            // Remembered the first time by the one who signed, checked otherwise.
            for _ in 0..2 {
                assert_eq!(signer.open(&good).unwrap().nonce, 41);
            }
        }
    }

    #[test]
    fn an_address_with_a_typing_error_is_none() {
        let custody = Custody::try_new(&[1; 32]).unwrap();
        let good = address(&custody.keys("simulated", UserId::HOT_WALLET));
        assert!(is_address(good.as_str()));
        for bad in [
            "",
            "sim1",
            "sim1zz",
            &good.as_str()[..51],
            &good.as_str().replace("sim1", "sim2"),
        ] {
            assert!(!is_address(bad), "{bad}");
        }
        let mut typo = good.as_str().to_owned().into_bytes();
        typo[10] = if typo[10] == b'0' { b'1' } else { b'0' };
        assert!(!is_address(std::str::from_utf8(&typo).unwrap()));
    }
}
