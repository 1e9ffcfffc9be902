//! Identities that cross service boundaries, each a type of its own so that one can never stand in for
//! another.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A number that is no id: ids are 1 … 2⁶³−1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("an id is a whole number between 1 and 9223372036854775807")]
pub struct InvalidId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(i64);

        impl $name {
            /// The id with this number.
            ///
            /// # Errors
            /// [`InvalidId`] for zero and below.
            pub const fn try_new(number: i64) -> Result<Self, InvalidId> {
                if number > 0 { Ok(Self(number)) } else { Err(InvalidId) }
            }

            /// The number, always positive.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = InvalidId;

            fn try_from(number: i64) -> Result<Self, InvalidId> {
                Self::try_new(number)
            }
        }

        impl From<$name> for i64 {
            fn from(id: $name) -> i64 {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Only the canonical form: no sign, no leading zero, so that one id has one spelling.
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let number = text.parse().map_err(|_| InvalidId).and_then(Self::try_new)?;
                if number.0.to_string() == text { Ok(number) } else { Err(InvalidId) }
            }
        }
    };
}

id!(
    /// A user; also the number of that user's wallet.
    UserId
);
id!(
    /// An order to buy or sell; also the number of its saga. Ascending in the order of creation.
    OrderId
);
id!(
    /// A deposit of fiat. Ascending in the order of creation.
    DepositId
);

impl OrderId {
    /// The first order's.
    pub const FIRST: Self = Self(1);
    /// Beyond every order's that there will ever be.
    pub const LAST: Self = Self(i64::MAX);
}

impl UserId {
    /// The hot wallet: the house's own wallet, through which every trade passes. Nobody logs in as it.
    pub const HOT_WALLET: Self = Self(1);
}

/// The six services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceName {
    /// Users, credentials, signing keys.
    Auth,
    /// Orders, sagas, deposits.
    Wallet,
    /// The double-entry ledger.
    Balance,
    /// Orders at the external venue.
    Exchanger,
    /// Addresses and transfers on a blockchain.
    BcGateway,
    /// Messages to users.
    Notification,
}

impl ServiceName {
    /// All of them, in the order in which they start.
    pub const ALL: [Self; 6] = [
        Self::Auth,
        Self::Balance,
        Self::Exchanger,
        Self::BcGateway,
        Self::Notification,
        Self::Wallet,
    ];

    /// The name in settings, paths, table names and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Wallet => "wallet",
            Self::Balance => "balance",
            Self::Exchanger => "exchanger",
            Self::BcGateway => "bc_gateway",
            Self::Notification => "notification",
        }
    }
}

impl From<ServiceName> for &'static str {
    fn from(service: ServiceName) -> Self {
        service.as_str()
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ServiceName {
    type Err = UnknownService;

    fn from_str(text: &str) -> Result<Self, UnknownService> {
        Self::ALL
            .into_iter()
            .find(|service| service.as_str() == text)
            .ok_or(UnknownService)
    }
}

/// A name that belongs to none of the six services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a service is one of auth, wallet, balance, exchanger, bc_gateway, notification")]
pub struct UnknownService;
