//! Money: exact amounts, exact prices, and the one place where anything is ever rounded.
//!
//! Everything the services say about money goes through these types, so that a coin or a cent cannot be lost in a
//! conversion. What they keep true:
//!
//! - an [`Amount`] is a whole number of an [`Asset`]'s atomic units; arithmetic is checked and never crosses assets;
//! - text and JSON are read and written exactly ([`decimal`]), never by way of a float: `parse(format(x)) = x`;
//! - a number with more decimals than its asset has is refused, not rounded;
//! - a [`Price`] is exact, and products and quotients of prices are rounded once, in a direction that is named
//!   ([`Rounding`]), at 512 bits, so nothing wraps on the way.
//!
//! Nothing here does I/O, allocates in proportion to a number's size, or panics on what an outsider can send.

mod amount;
mod asset;
mod basis_points;
pub mod decimal;
mod error;
mod json;
mod price;
mod rounding;

pub use amount::Amount;
pub use asset::{Asset, AssetKind};
pub use basis_points::BasisPoints;
pub use error::{AmountError, BasisPointsError, MoneyError, UnknownAsset};
pub use json::{DecimalText, JsonNumber};
pub use price::Price;
pub use rounding::{Rounding, average_price, quantity_for, share_of, value_of};
