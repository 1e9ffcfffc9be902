//! What the hand-written JSON of this crate looks like to a machine: schemas (JSON Schema 2020-12) for OpenAPI.
//!
//! They say exactly what the code next to them reads and writes; where a bound depends on another field (an amount's
//! decimals on its asset) they say the widest. Everything else derives its schema.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type};
use utoipa::{Number, PartialSchema, ToSchema};

use crate::ledger::Owner;
use crate::money::decimal::MAX_TEXT_LEN;
use crate::money::{DecimalText, JsonNumber};
use crate::{Amount, Asset, DepositId, OrderId, Price, UserId};

/// A decimal number as JSON writes it; leading zeros are fine.
const DECIMAL: &str = r"^-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?$";

/// The same, greater than zero: a digit that is not a zero stands before the exponent.
const POSITIVE: &str = r"^([0-9]*[1-9][0-9]*(\.[0-9]+)?|[0-9]+\.[0-9]*[1-9][0-9]*)([eE][+-]?[0-9]+)?$";

/// The shortest exact text of a number, as amounts are written.
const EXACT: &str = r"^-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$";

const OWNER: &str = "^(user:([2-9]|[1-9][0-9]{1,18})|hot_wallet|external:(bank|chain)|venue:[a-z0-9_-]{1,32}|treasury|\
     fees|rounding)$";

/// The schema of a [`DecimalText`] that must be greater than zero. Stands in `#[schema(value_type = …)]`; there is
/// no such value.
#[derive(Debug, Clone, Copy)]
pub enum PositiveDecimal {}

fn text(description: &str, pattern: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
}

fn number() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Number)
}

/// A JSON number or a JSON string, both read digit by digit.
fn decimal(description: &str, number: ObjectBuilder, pattern: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(pattern))
        .max_length(Some(MAX_TEXT_LEN));
    OneOfBuilder::new()
        .description(Some(description))
        .item(number)
        .item(text)
        .into()
}

impl PartialSchema for DecimalText {
    fn schema() -> RefOr<Schema> {
        let description = "A decimal number, as a JSON number or a string, of at most 64 characters. It is read exactly: \
                           more decimals than its asset has are refused, never rounded.";
        decimal(description, number(), DECIMAL)
    }
}

impl ToSchema for DecimalText {
    fn name() -> Cow<'static, str> {
        "Decimal".into()
    }
}

impl PartialSchema for PositiveDecimal {
    fn schema() -> RefOr<Schema> {
        let description = "A decimal number greater than zero, as a JSON number or a string, of at most 64 characters. \
                           It is read exactly: more decimals than its asset has are refused, never rounded.";
        decimal(description, number().exclusive_minimum(Some(Number::Int(0))), POSITIVE)
    }
}

impl ToSchema for PositiveDecimal {}

impl PartialSchema for JsonNumber {
    fn schema() -> RefOr<Schema> {
        let description = "A JSON number written with its exact decimals; read it as a decimal, not as a float.";
        number().description(Some(description)).into()
    }
}

impl ToSchema for JsonNumber {}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        let amount = text("The exact decimal, whole units of the asset.", DECIMAL).max_length(Some(MAX_TEXT_LEN));
        ObjectBuilder::new()
            .description(Some("An exact amount of an asset."))
            .property("amount", amount)
            .required("amount")
            .property("asset", Asset::schema())
            .required("asset")
            .additional_properties(Some(utoipa::openapi::schema::AdditionalProperties::FreeForm(false)))
            .examples([serde_json::json!({"amount": "0.5", "asset": "BTC"})])
            .into()
    }
}

impl ToSchema for Amount {}

impl PartialSchema for Asset {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "An asset's code. Crypto: BTC, LTC (8 decimals), ETH (18), SOL (9), XRP (6); fiat: USD, EUR, GBP, CHF \
                 (2), JPY (0).",
            ))
            .enum_values(Some(Self::KNOWN.iter().map(|asset| asset.code())))
            .into()
    }
}

impl ToSchema for Asset {}

impl PartialSchema for Price {
    fn schema() -> RefOr<Schema> {
        text("Whole units of fiat for one whole unit of crypto, exact.", EXACT).into()
    }
}

impl ToSchema for Price {}

impl PartialSchema for Owner {
    fn schema() -> RefOr<Schema> {
        text("Whose account: `user:2`, `hot_wallet`, `venue:simulated`, …", OWNER).into()
    }
}

impl ToSchema for Owner {
    fn name() -> Cow<'static, str> {
        "Account".into()
    }
}

macro_rules! id {
    ($name:ident, $description:literal) => {
        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new()
                    .schema_type(Type::Integer)
                    .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
                    .description(Some($description))
                    .minimum(Some(Number::Int(1)))
                    .maximum(Some(Number::Int(isize::MAX)))
                    .into()
            }
        }

        impl ToSchema for $name {}
    };
}

id!(
    UserId,
    "A user; also the number of that user's wallet. The first who registers is 2."
);
id!(OrderId, "An order, ascending in the order of creation.");
id!(DepositId, "A deposit, ascending in the order of creation.");
