//! JSON numbers without floats: their decimal text is kept exactly, on the way in and on the way out.
//!
//! Both types hold on to the text of the document through `serde_json`'s `RawValue`. That works wherever `serde_json`
//! itself reads or writes the document: in structs (with `deny_unknown_fields` too), `Option`s, vectors and maps. Inside
//! `#[serde(flatten)]`, untagged and internally tagged enums serde buffers values as floats first; there a
//! [`DecimalText`] is an error, not an inexact number. For the same reason a body must be read from its bytes and
//! not by way of `serde_json::Value`, which has made floats of the numbers before anybody sees them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, Error as _};
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Amount, AmountError, Asset, decimal};

/// A number as somebody wrote it: a JSON number or a JSON string, at most [`decimal::MAX_TEXT_LEN`] characters.
///
/// Reading one checks its kind and length only; [`DecimalText::amount`] decides whether it is an amount of an asset,
/// so that "not JSON" (400) and "not an amount" (422) stay apart. Equality is that of the text: `1.0` is not `1`.
///
/// Written, it is a JSON number if its text is one, else a JSON string.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DecimalText(Box<str>);

impl DecimalText {
    /// Takes a text that may or may not turn out to be a number.
    ///
    /// # Errors
    ///
    /// [`AmountError::TooLong`].
    pub fn try_new(text: &str) -> Result<Self, AmountError> {
        if text.len() > decimal::MAX_TEXT_LEN {
            return Err(AmountError::TooLong);
        }
        Ok(Self(text.into()))
    }

    /// The text, character by character as it was written (a string's without its quotes).
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The amount of `asset` that the text stands for, exactly.
    ///
    /// # Errors
    ///
    /// As [`Amount::parse`].
    pub fn amount(&self, asset: Asset) -> Result<Amount, AmountError> {
        Amount::parse(&self.0, asset)
    }
}

impl fmt::Display for DecimalText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Amount> for DecimalText {
    /// The shortest exact text, which is a JSON number of at most 41 characters.
    fn from(amount: Amount) -> Self {
        Self(amount.to_string().into())
    }
}

impl Serialize for DecimalText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let starts_as_number = self.0.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        match serde_json::from_str::<&RawValue>(&self.0) {
            Ok(number) if starts_as_number && number.get().len() == self.0.len() => number.serialize(serializer),
            Ok(_) | Err(_) => serializer.serialize_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for DecimalText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let json = raw.get();
        let text = match json.as_bytes().first() {
            // A string may be written with escapes, up to six bytes for each character of a number.
            Some(b'"') if json.len() <= 6 * decimal::MAX_TEXT_LEN + 2 => {
                serde_json::from_str::<Cow<'_, str>>(json).map_err(D::Error::custom)?
            }
            Some(b'"') => return Err(D::Error::custom(AmountError::TooLong)),
            Some(b'-' | b'0'..=b'9') => Cow::Borrowed(json),
            Some(_) | None => return Err(D::Error::custom("expected a number, or a number in a string")),
        };
        Self::try_new(&text).map_err(D::Error::custom)
    }
}

/// An amount that is written as a JSON *number* with its exact decimal text: `0.5`, `30`, `-13.77`.
///
/// Only for the few documented fields that are numbers; everything else writes [`Amount`] itself, because many
/// readers of JSON make an inexact float of a number. Reading needs the asset, hence [`DecimalText`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct JsonNumber(pub Amount);

impl From<Amount> for JsonNumber {
    fn from(amount: Amount) -> Self {
        Self(amount)
    }
}

impl Serialize for JsonNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string())
            .map_err(S::Error::custom)?
            .serialize(serializer)
    }
}
