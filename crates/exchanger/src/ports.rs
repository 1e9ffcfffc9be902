//! The port to the external venue, with its promises.
//!
//! A venue is another company's computer behind a network: an order may be executed although no answer ever came. So
//! every order has a name of ours, stored before it is sent, by which the venue can be asked what became of it; and an
//! end in time, after which silence becomes proof.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use contracts::clients::Side;
use contracts::ledger::Owner;
use contracts::messages::Step;
use contracts::{Amount, Asset, OrderId, Price};
use jiff::Timestamp;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize, Serializer};
use storage::StoreError;
use utoipa::ToSchema;

/// What a venue is called in the books: its account is `venue:{name}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VenueName(Owner);

/// A text that cannot be the name of a venue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a venue's name has 1 to 32 characters of a–z, 0–9, _ and -")]
pub struct InvalidVenueName;

impl VenueName {
    /// The venue of this name.
    ///
    /// # Errors
    /// [`InvalidVenueName`] for anything but 1 to 32 characters of a–z, 0–9, `_` and `-`.
    pub fn try_new(name: &str) -> Result<Self, InvalidVenueName> {
        format!("venue:{name}").parse().map(Self).map_err(|_| InvalidVenueName)
    }

    /// Its account in the books.
    #[must_use]
    pub const fn account(&self) -> &Owner {
        &self.0
    }
}

impl fmt::Display for VenueName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which installation of Cambist this is, to a venue: eight hexadecimal digits.
///
/// A venue remembers names for longer than a database may last. Without this, a database that is made anew would number
/// its orders from 1 again, and be told of another's executions when it asks about its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstallationId(u32);

impl InstallationId {
    /// The installation of this number; for tests, since a real one is drawn when its tables are made.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl FromStr for InstallationId {
    type Err = InvalidClientOrderId;

    /// Only the form that is written.
    fn from_str(text: &str) -> Result<Self, InvalidClientOrderId> {
        let as_written = text.len() == 8 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        u32::from_str_radix(text, 16)
            .ok()
            .filter(|_| as_written)
            .map(Self)
            .ok_or(InvalidClientOrderId)
    }
}

/// Tells which installation this is.
#[async_trait]
pub trait Installation: Send + Sync {
    /// Its id: drawn once, with the tables of this database, and the same ever after.
    async fn id(&self) -> Result<InstallationId, StoreError>;
}

/// Our name for one order at the venue: `cambist-5eed0001-7-exchange-1` is the first attempt at step `exchange` of order 7
/// of the installation `5eed0001`; `cambist-7-exchange-1` is the same of an installation that named no orders after itself
/// yet.
///
/// Derived and not drawn for each order, so that whoever works on the attempt asks about the same order. A venue that
/// takes only short names or UUIDs is given an injective image of it by its adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientOrderId {
    /// Of which installation. `None` of an order that was accepted before installations had ids: the venue knows it by the
    /// name it was sent under, and so do its later attempts.
    pub installation: Option<InstallationId>,
    /// Whose order.
    pub order_id: OrderId,
    /// At which step.
    pub step: Step,
    /// Which attempt, from 1.
    pub attempt: u32,
}

impl fmt::Display for ClientOrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            installation,
            order_id,
            step,
            attempt,
        } = self;
        f.write_str("cambist-")?;
        if let Some(installation) = installation {
            write!(f, "{installation}-")?;
        }
        write!(f, "{order_id}-{step}-{attempt}")
    }
}

/// A text that is no client order id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a client order id")]
pub struct InvalidClientOrderId;

impl FromStr for ClientOrderId {
    type Err = InvalidClientOrderId;

    /// Only the form that is written, so that one order has one name.
    fn from_str(text: &str) -> Result<Self, InvalidClientOrderId> {
        Self::read(text).ok_or(InvalidClientOrderId)
    }
}

impl ClientOrderId {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("cambist-")?.split('-');
        let (first, second, third) = (parts.next()?, parts.next()?, parts.next()?);
        // No step is called like a number, so no name has both forms.
        let (installation, order_id, step, attempt) = match parts.next() {
            None => (None, first, second, third),
            Some(attempt) => (Some(first.parse().ok()?), second, third, attempt),
        };
        let id = Self {
            installation,
            order_id: canonical(order_id)?.parse().ok()?,
            step: step.parse().ok()?,
            attempt: canonical(attempt)?.parse().ok()?,
        };
        parts.next().is_none().then_some(id)
    }
}

/// A number that is written in the only way: greater than zero, without a sign or a leading zero.
fn canonical(number: &str) -> Option<&str> {
    number.starts_with(|first| matches!(first, '1'..='9')).then_some(number)
}

impl Serialize for ClientOrderId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClientOrderId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = ClientOrderId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a client order id")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ClientOrderId, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_str(Name)
    }
}

/// How far an order may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Of a buy: fiat, the ceiling on cost **and** fees together. As much crypto as that pays for.
    Spend(Amount),
    /// Of a sell: crypto, the quantity.
    Quantity(Amount),
}

/// An order for the venue. It is a market order, immediate-or-cancel: what cannot be filled at once is cancelled, so an
/// order never rests in the venue's book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "client_order_id": "cambist-5eed0001-1-exchange-1", "side": "buy", "base": "BTC", "quote": "USD",
    "limit": {"spend": {"amount": "30", "asset": "USD"}}, "expires_at": "2030-01-01T12:00:05Z"
})))]
pub struct VenueOrder {
    /// Our name for it, unique for good.
    #[schema(value_type = String)]
    pub client_order_id: ClientOrderId,
    /// Whether `base` is bought or sold.
    pub side: Side,
    /// The crypto.
    pub base: Asset,
    /// The fiat.
    pub quote: Asset,
    /// How far it may go; [`Limit::Spend`] for a buy, [`Limit::Quantity`] for a sell.
    pub limit: Limit,
    /// The venue must not begin to execute it at or after this time, by the venue's clock.
    pub expires_at: Timestamp,
}

/// A part of an order that was executed at one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Fill {
    /// Crypto; greater than zero.
    pub quantity: Amount,
    /// Fiat per unit of crypto.
    pub price: Price,
    /// Fiat, at least zero: on top of the price for a buyer, out of the proceeds for a seller.
    pub fee: Amount,
}

/// What a venue says of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = VenueAnswer)]
pub enum Answer {
    /// **Final.** The order is over, and these are all its fills; none, if nothing could be filled at once.
    Done(Vec<Fill>),
    /// It is still being executed.
    Open,
    /// **Final.** The venue refused the order and executed none of it.
    Rejected {
        /// Why, in the venue's words.
        reason: String,
    },
    /// The venue knows no order of this name *yet*.
    NotFound {
        /// The venue's own time when it looked, or an earlier one of its times: never ours, which may be wrong.
        at: Timestamp,
    },
    /// No answer, or none that could be understood. The order may have been executed.
    Unknown {
        /// What happened to the answer, for people.
        reason: String,
    },
}

/// An external venue.
///
/// An implementation MUST keep these promises; the money depends on them:
///
/// - Only [`Answer::Done`] and [`Answer::Rejected`] are final, and they are the same for ever: `find` repeats what `place`
///   answered, for at least as long as a command can wait (days).
/// - Whatever is not understood (a time-out, a broken connection, a status 5xx, a new field) is [`Answer::Unknown`],
///   never a refusal. A refusal *because the name is taken* is answered with what `find` says.
/// - An order is executed at most once for a name, at most as far as its limit, and not begun at or after `expires_at`. A
///   venue without expiring orders sends the time of sending along (a receive window) and refuses by it.
/// - [`Answer::NotFound`] is proof of absence only when the venue's own clock stood at `expires_at` + the engine's time-out
///   (how long an accepted order may stay invisible) + the skew between its own computers. Before, it says nothing. An
///   answer without a time of the venue (a `serverTime`, a `Date` header) is [`Answer::Unknown`].
/// - Fees are in whole units of fiat, rounded once for the order, and of a sell never more than its proceeds rounded up.
///   Fills of one price are merged: an answer has at most a thousand.
/// - Every call comes back within a bounded time; dropping the call's future early is the same as [`Answer::Unknown`].
#[async_trait]
pub trait Venue: Send + Sync {
    /// What it is called in the books; the same for the life of the installation.
    fn name(&self) -> &VenueName;

    /// Sends an order whose name and expiry have been stored. Never called twice for a name by one who knows of the
    /// first call; an adapter meets a repeated name all the same when a worker comes back from the dead.
    async fn place(&self, order: &VenueOrder) -> Answer;

    /// What became of the order of this name. Changes nothing.
    async fn find(&self, id: &ClientOrderId) -> Answer;
}
