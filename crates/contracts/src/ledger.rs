//! The language of the ledger: accounts, transfers and what becomes of them.
//!
//! The ledger itself is the `balance` service. These types are what it is told and what it answers, and
//! every service that books (wallet, exchanger, bc_gateway) speaks them.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use utoipa::ToSchema;

use crate::{Amount, DepositId, OrderId, UserId};

/// The most postings one call may carry.
pub const MAX_POSTINGS: usize = 100;
/// The most transfers one posting may link.
pub const MAX_LINKED: usize = 8;
/// The longest reason, in bytes.
pub const MAX_REASON: usize = 200;

/// Whose money it is. Together with an asset it names one account of the books.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Owner {
    /// A customer; never below zero.
    User(UserId),
    /// The house's own wallet, through which trades pass; never below zero.
    HotWallet,
    /// The bank, seen from here: fiat that came in is owed by it. May be negative.
    ExternalBank,
    /// The blockchain, seen from here: what customers have paid and what has neither arrived nor been given up. May be
    /// negative.
    ExternalChain,
    /// A trading venue, seen from here. May be negative.
    Venue(String),
    /// The house's capital; pays and receives what reversals lose and gain. May be negative.
    Treasury,
    /// Fees charged to users.
    Fees,
    /// What rounding leaves over, at most one atomic unit a trade.
    Rounding,
}

impl Owner {
    /// The wallet of `user`: the hot wallet for user 1, the customer's otherwise.
    #[must_use]
    pub fn wallet(user: UserId) -> Self {
        if user == UserId::HOT_WALLET {
            Self::HotWallet
        } else {
            Self::User(user)
        }
    }

    /// Whether this owner's balances must never go below zero.
    #[must_use]
    pub const fn must_stay_solvent(&self) -> bool {
        match self {
            Self::User(_) | Self::HotWallet => true,
            Self::ExternalBank
            | Self::ExternalChain
            | Self::Venue(_)
            | Self::Treasury
            | Self::Fees
            | Self::Rounding => false,
        }
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user:{id}"),
            Self::HotWallet => f.write_str("hot_wallet"),
            Self::ExternalBank => f.write_str("external:bank"),
            Self::ExternalChain => f.write_str("external:chain"),
            Self::Venue(name) => write!(f, "venue:{name}"),
            Self::Treasury => f.write_str("treasury"),
            Self::Fees => f.write_str("fees"),
            Self::Rounding => f.write_str("rounding"),
        }
    }
}

/// A text that names no owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "an account's owner is user:<id>, hot_wallet, external:bank, external:chain, venue:<name>, treasury, fees or \
     rounding"
)]
pub struct InvalidOwner;

impl FromStr for Owner {
    type Err = InvalidOwner;

    fn from_str(text: &str) -> Result<Self, InvalidOwner> {
        match text {
            "hot_wallet" => Ok(Self::HotWallet),
            "external:bank" => Ok(Self::ExternalBank),
            "external:chain" => Ok(Self::ExternalChain),
            "treasury" => Ok(Self::Treasury),
            "fees" => Ok(Self::Fees),
            "rounding" => Ok(Self::Rounding),
            other => {
                if let Some(id) = other.strip_prefix("user:") {
                    let id: UserId = id.parse().map_err(|_| InvalidOwner)?;
                    // The hot wallet has one name only, or one account would have two.
                    if id == UserId::HOT_WALLET {
                        Err(InvalidOwner)
                    } else {
                        Ok(Self::User(id))
                    }
                } else if let Some(name) = other.strip_prefix("venue:") {
                    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
                    if (1..=32).contains(&name.len()) && name.chars().all(plain) {
                        Ok(Self::Venue(name.to_owned()))
                    } else {
                        Err(InvalidOwner)
                    }
                } else {
                    Err(InvalidOwner)
                }
            }
        }
    }
}

impl TryFrom<String> for Owner {
    type Error = InvalidOwner;

    fn try_from(text: String) -> Result<Self, InvalidOwner> {
        text.parse()
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        owner.to_string()
    }
}

/// What a transfer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A leg of this order.
    Order(OrderId),
    /// This deposit.
    Deposit(DepositId),
    /// A correction by hand, numbered by the ledger.
    Adjustment(i64),
    /// The house's first capital, booked once by `migrate`.
    Funding,
}

impl Origin {
    /// The kind's stored name and the number within the kind.
    #[must_use]
    pub const fn parts(self) -> (&'static str, i64) {
        match self {
            Self::Order(id) => ("order", id.get()),
            Self::Deposit(id) => ("deposit", id.get()),
            Self::Adjustment(id) => ("adjustment", id),
            Self::Funding => ("funding", 0),
        }
    }

    /// The inverse of [`Origin::parts`]; `None` for what that never returns.
    #[must_use]
    pub fn from_parts(kind: &str, number: i64) -> Option<Self> {
        match kind {
            "order" => OrderId::try_new(number).ok().map(Self::Order),
            "deposit" => DepositId::try_new(number).ok().map(Self::Deposit),
            "adjustment" => (number > 0).then_some(Self::Adjustment(number)),
            "funding" => (number == 0).then_some(Self::Funding),
            _ => None,
        }
    }
}

macro_rules! legs {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal;)*) => {
        /// Which of its origin's bookings a transfer is. Unique within the origin, so that (origin, leg) names a
        /// transfer for good: whoever books it again, books the same one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Leg { $($(#[$doc])* $name,)* }

        impl Leg {
            /// All legs.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stored number; never reused for another meaning.
            #[must_use]
            pub const fn number(self) -> u8 {
                match self { $(Self::$name => $number,)* }
            }

            /// The leg's name, as in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The leg with this stored number.
            #[must_use]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

legs! {
    /// External bank → user.
    Deposit = 1, "deposit";
    /// Treasury → hot wallet, in fiat: the house's first capital.
    FundFiat = 2, "fund_fiat";
    /// The same in crypto.
    FundCrypto = 3, "fund_crypto";
    /// A correction of the fiat balance.
    AdjustFiat = 4, "adjust_fiat";
    /// A correction of the crypto balance.
    AdjustCrypto = 5, "adjust_crypto";
    /// User → hot wallet: what the order may cost at most. The only leg whose refusal is final.
    Hold = 10, "hold";
    /// Hot wallet → venue: what the venue receives.
    TradePay = 20, "trade_pay";
    /// Venue → hot wallet (buy) or user (sell): what the venue delivers.
    TradeReceive = 21, "trade_receive";
    /// The fee, to `fees`.
    TradeFee = 22, "trade_fee";
    /// What rounding left over, to `rounding`.
    TradeRounding = 23, "trade_rounding";
    /// Hot wallet → user: what of the hold was not spent or not sold.
    TradeReturn = 24, "trade_return";
    /// Hot wallet → user: the crypto that was bought. External chain → receiver where a customer had paid it.
    Withdraw = 30, "withdraw";
    /// External chain → hot wallet: a withdrawal that the user had sent back. Earlier programs: user → hot wallet.
    WithdrawBack = 31, "withdraw_back";
    /// External chain → user: a withdrawal that they had paid and that was given up. Earlier programs: the opposite of any
    /// withdrawal, or of one taken back, that was given up.
    WithdrawUndone = 32, "withdraw_undone";
    /// User → external chain: what is sent from their address, in transit until it arrives or is given up.
    WithdrawSent = 33, "withdraw_sent";
    /// The same of a withdrawal that is taken back.
    WithdrawBackSent = 34, "withdraw_back_sent";
    /// External chain → user: what they had paid for taking a withdrawal back, where that was given up.
    WithdrawBackUndone = 35, "withdraw_back_undone";
    /// Hot wallet → venue: the crypto sold back.
    ReversePay = 40, "reverse_pay";
    /// Venue → hot wallet: what selling back brought.
    ReverseReceive = 41, "reverse_receive";
    /// The fee of selling back: venue → `fees`, out of the proceeds.
    ReverseFee = 42, "reverse_fee";
    /// What rounding left over of selling back.
    ReverseRounding = 43, "reverse_rounding";
    /// Between treasury and hot wallet: the reversal's gain or loss.
    ReverseResult = 44, "reverse_result";
    /// Hot wallet → user: what is still held of a failed order.
    Release = 50, "release";
}

impl fmt::Display for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A transfer's name: what it is for. Never random and never a hash of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferId {
    /// What it belongs to.
    pub origin: Origin,
    /// Which booking of that.
    pub leg: Leg,
}

/// A movement of `amount` (positive) from `debit` to `credit`: the debited balance falls, the credited one
/// rises by the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// Its name; the same id with other content is refused.
    pub id: TransferId,
    /// Who pays.
    pub debit: Owner,
    /// Who receives.
    pub credit: Owner,
    /// How much, in atomic units of its asset; greater than zero.
    pub amount: Amount,
    /// Why, for people; at most 200 bytes. Part of the content.
    #[schema(max_length = 200)]
    pub reason: String,
    /// Who caused it: a service or `operator:<name>`; at most 64 bytes. Part of the content.
    #[schema(max_length = 64)]
    pub actor: String,
}

/// Transfers that belong together: all are booked or none. One transfer is the case N = 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"transfers": [{"id": {"origin": {"order": 1}, "leg": "hold"}, "debit": "user:2",
    "credit": "hot_wallet", "amount": {"amount": "30", "asset": "USD"}, "reason": "buy", "actor": "wallet"}]})))]
pub struct Posting {
    /// 1 to 8 transfers.
    #[schema(min_items = 1, max_items = 8)]
    pub transfers: Vec<Transfer>,
}

impl Posting {
    /// A posting of one transfer.
    #[must_use]
    pub fn single(transfer: Transfer) -> Self {
        Self {
            transfers: vec![transfer],
        }
    }
}

/// What became of a posting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
#[schema(examples(json!({"outcome": "posted", "replayed": false})))]
pub enum PostingOutcome {
    /// Booked, now or at an earlier call with the same content.
    Posted {
        /// Whether an earlier call had booked it.
        replayed: bool,
    },
    /// Not booked; nothing changed.
    Refused {
        /// Why not.
        refusal: Refusal,
    },
}

/// Why a posting was not booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error, ToSchema)]
#[serde(rename_all = "snake_case", tag = "reason")]
pub enum Refusal {
    /// An owner who must stay solvent would not. For a `hold` this answer is recorded and final.
    #[error("{owner} has too little {asset}")]
    InsufficientFunds {
        /// Whose balance does not suffice.
        owner: Owner,
        /// Of what.
        asset: crate::Asset,
    },
    /// There is a transfer of this id with other content.
    #[error("transfer {id:?} exists with other content")]
    Conflict {
        /// Which one.
        id: TransferId,
    },
    /// The owner has no wallet.
    #[error("{owner} has no wallet")]
    NoWallet {
        /// Who.
        owner: Owner,
    },
    /// The posting makes no sense: empty, too long, zero or negative amount, debit equals credit, an id twice,
    /// only some of its transfers booked before, or a balance beyond 128 bits.
    #[error("the posting is invalid: {detail}")]
    Invalid {
        /// What is wrong with it.
        detail: String,
    },
}

/// One line of a wallet's statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({"entry_id": 7, "time": "2026-01-02T03:04:05Z", "origin": {"order": 1}, "leg": "hold",
    "amount": {"amount": "-30", "asset": "USD"}, "counter_account": "hot_wallet",
    "balance_after": {"amount": "570", "asset": "USD"}, "reason": "buy"})))]
pub struct StatementLine {
    /// The line's number: ascending in the order of booking; the cursor of the list.
    #[schema(minimum = 1)]
    pub entry_id: i64,
    /// When it was booked.
    pub time: Timestamp,
    /// What the transfer belongs to, as kind and number, for example `order` and 7.
    pub origin: Origin,
    /// Which booking of that.
    pub leg: Leg,
    /// The change of the balance: negative when money left.
    pub amount: Amount,
    /// The other side.
    pub counter_account: Owner,
    /// The balance of this asset after it.
    pub balance_after: Amount,
    /// Why.
    pub reason: String,
}
