//! What an audit of the books says.

use std::fmt;

use contracts::ledger::{Origin, Transfer};
use contracts::{Amount, Asset};
use jiff::Timestamp;

/// The most violations a report lists; a broken database must not fill the memory.
pub const MAX_VIOLATIONS: usize = 1_000;

/// A transfer as it lies in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostedTransfer {
    /// Ascending in the order of booking.
    pub entry_id: i64,
    /// What was booked.
    pub transfer: Transfer,
    /// The debited account's balance after it.
    pub debit_balance_after: Amount,
    /// The credited account's balance after it.
    pub credit_balance_after: Amount,
    /// When.
    pub posted_at: Timestamp,
}

/// Something that cannot be in sound books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Violation {
    /// A stored balance is not the sum of what was credited minus what was debited.
    Balance {
        /// The account, as `owner asset`.
        account: String,
        /// What is stored, in atomic units.
        stored: i128,
        /// What the transfers add up to; `None` beyond 128 bits.
        booked: Option<i128>,
    },
    /// A transfer's balance after it is not the one before it plus or minus its amount.
    Chain {
        /// The first transfer that is wrong.
        entry_id: i64,
        /// The account, as `owner asset`.
        account: String,
    },
    /// Someone who must stay solvent was below zero after a transfer.
    Insolvent {
        /// The transfer.
        entry_id: i64,
        /// The account, as `owner asset`.
        account: String,
    },
    /// The balances of an asset do not add up to zero: money was made or lost.
    Conservation {
        /// Of what.
        asset: Asset,
    },
    /// A transfer that could not have been booked: no amount, one account twice or two assets, an account or
    /// adjustment that is not there.
    Transfer {
        /// Which one.
        entry_id: i64,
        /// What is wrong.
        detail: &'static str,
    },
    /// An account that could not have been opened: a name or an asset that is none, or a user without a wallet.
    Account {
        /// The row.
        id: i64,
        /// What is wrong.
        detail: &'static str,
    },
    /// A hold that was refused for good is booked all the same.
    RefusedHoldBooked {
        /// Whose.
        origin: Origin,
    },
    /// An adjustment without transfers.
    EmptyAdjustment {
        /// Its number.
        id: i64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Balance {
                account,
                stored,
                booked,
            } => {
                write!(f, "{account}: the balance is {stored} units, ")?;
                match booked {
                    Some(booked) => write!(f, "its transfers add up to {booked}"),
                    None => f.write_str("its transfers add up to more than 128 bits hold"),
                }
            }
            Self::Chain { entry_id, account } => {
                write!(
                    f,
                    "transfer {entry_id}: the balance of {account} after it does not follow from the one before"
                )
            }
            Self::Insolvent { entry_id, account } => write!(f, "transfer {entry_id} took {account} below zero"),
            Self::Conservation { asset } => write!(f, "the balances of {asset} do not add up to zero"),
            Self::Transfer { entry_id, detail } => write!(f, "transfer {entry_id}: {detail}"),
            Self::Account { id, detail } => write!(f, "account {id}: {detail}"),
            Self::RefusedHoldBooked { origin } => {
                let (kind, number) = origin.parts();
                write!(f, "the hold of {kind} {number} was refused for good and is booked")
            }
            Self::EmptyAdjustment { id } => write!(f, "adjustment {id} has no transfers"),
        }
    }
}

/// Who holds how much of an asset. The three add up to zero in sound books; one that does not fit 128 bits is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AssetTotals {
    /// Of what.
    pub asset: Asset,
    /// What is owed to customers.
    pub customers: Option<Amount>,
    /// What the hot wallet has.
    pub hot_wallet: Option<Amount>,
    /// The system's accounts: bank, chain, venues, treasury, fees, rounding.
    pub system: Option<Amount>,
}

/// The result of an audit of the books.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BooksReport {
    /// How many accounts were checked.
    pub accounts: u64,
    /// How many transfers were checked.
    pub transfers: u64,
    /// For each asset in the books, in the order of the codes.
    pub totals: Vec<AssetTotals>,
    /// What is wrong; at most [`MAX_VIOLATIONS`].
    pub violations: Vec<Violation>,
    /// How many more violations there are than are listed.
    pub unlisted: u64,
}

impl BooksReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.violations.is_empty() && self.unlisted == 0
    }

    /// Adds a violation, or counts it when the list is full.
    pub fn add(&mut self, violation: Violation) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(violation);
        } else {
            self.unlisted = self.unlisted.saturating_add(1);
        }
    }
}
