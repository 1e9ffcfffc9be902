//! Transfers on a chain: where from, where to, how much, what for; and what signing makes of them.

use std::fmt;

use contracts::messages::Step;
use contracts::{Amount, OrderId, UserId};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;
use utoipa::ToSchema;

use super::hex;

/// An address on a chain: 1 to 128 visible ASCII characters. Whether the chain knows it, only the chain can say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[!-~]{1,128}$")]
pub struct Address(String);

/// A text that cannot be an address on any chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an address has 1 to 128 visible ASCII characters")]
pub struct InvalidAddress;

impl Address {
    /// The longest address.
    pub const MAX_LEN: usize = 128;

    /// The address of this text.
    ///
    /// # Errors
    /// [`InvalidAddress`].
    pub fn try_new(text: impl Into<String>) -> Result<Self, InvalidAddress> {
        let text = text.into();
        let sound = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if sound { Ok(Self(text)) } else { Err(InvalidAddress) }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Address {
    type Error = InvalidAddress;

    fn try_from(text: String) -> Result<Self, InvalidAddress> {
        Self::try_new(text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a transfer is for. Unique: no two transfers have the same purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Purpose {
    /// A step of an order.
    Order {
        /// Which order.
        order_id: OrderId,
        /// [`Step::Withdraw`] or [`Step::WithdrawBack`].
        step: Step,
    },
    /// Coins that follow a sale back to the hot wallet.
    Sweep {
        /// From whose address.
        user_id: UserId,
        /// With which of its nonces.
        nonce: u64,
    },
}

impl fmt::Display for Purpose {
    /// `order:7:withdraw`, `sweep:2:0`: the memo of the transfer, where a chain has memos.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { order_id, step } => write!(f, "order:{order_id}:{step}"),
            Self::Sweep { user_id, nonce } => write!(f, "sweep:{user_id}:{nonce}"),
        }
    }
}

/// A transfer that is not signed yet. It gets its nonce when it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "from": "sim1a1b2c3", "to": "sim1d4e5f6", "amount": {"amount": "3", "asset": "BTC"},
    "purpose": {"order": {"order_id": 1, "step": "withdraw"}}
})))]
pub struct TransferDraft {
    /// Who sends.
    pub from: Address,
    /// Who receives.
    pub to: Address,
    /// How much of what; greater than zero.
    pub amount: Amount,
    /// What for.
    pub purpose: Purpose,
}

/// A signed transfer, ready for the chain. Its bytes are all that is ever sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"nonce": 0, "hash": "a1b2", "bytes": "01ab"})))]
pub struct SignedTransfer {
    /// The sender's nonce in it.
    pub nonce: u64,
    /// The chain's name for it, which follows from the bytes; at most 128 bytes.
    pub hash: String,
    /// What is sent; in JSON as hexadecimal text.
    #[serde(serialize_with = "as_hex", deserialize_with = "from_hex")]
    #[schema(value_type = String)]
    pub bytes: Vec<u8>,
}

impl fmt::Debug for SignedTransfer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SignedTransfer({}, nonce {}, {} bytes)",
            self.hash,
            self.nonce,
            self.bytes.len()
        )
    }
}

fn as_hex<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hex::encode(bytes))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    hex::decode(&text).ok_or_else(|| de::Error::custom("expected hexadecimal digits"))
}
