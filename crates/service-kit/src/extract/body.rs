//! JSON bodies: 415 for the wrong type, 413 for too much, 400 for what is not JSON, 422 for JSON that makes no sense.

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use ::http::{HeaderMap, Request};
use axum::body::Body;
use axum::extract::FromRequest;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use serde_path_to_error::{Path, Segment};

use super::idempotency::{Fingerprint, fingerprint};
use crate::problem::{Problem, ProblemCode};

/// The most bytes a body may have: 16 KiB.
pub const BODY_LIMIT: usize = 16 * 1024;

/// The most bytes a batch of [`contracts::clients::MAX_COMMANDS`] internal commands may have: 256 KiB.
pub const BATCH_BODY_LIMIT: usize = contracts::clients::MAX_BATCH_BYTES;

/// Serde's parser refuses to go deeper, so that no stack overflows.
const MAX_DEPTH: usize = 128;

/// A JSON body of type `T` and at most `LIMIT` bytes.
///
/// Fields given twice and of the wrong type are refused. Unknown fields are refused if `T` says
/// `#[serde(deny_unknown_fields)]`, as every body must. A struct is read from a JSON object only.
#[derive(Debug)]
pub struct JsonBody<T, const LIMIT: usize = BODY_LIMIT> {
    /// What it says.
    pub value: T,
    /// Stands for method, path and the exact body, to recognise an idempotency key that came before with another
    /// request.
    pub fingerprint: Fingerprint,
}

/// As [`JsonBody`], where the body may be left out.
#[derive(Debug)]
pub struct OptionalJsonBody<T, const LIMIT: usize = BODY_LIMIT> {
    /// What it says; `None` when it is empty.
    pub value: Option<T>,
    /// As in [`JsonBody`].
    pub fingerprint: Fingerprint,
}

/// No body: nothing, or an empty JSON object for clients that cannot send nothing.
#[derive(Debug)]
pub struct EmptyBody {
    /// As in [`JsonBody`].
    pub fingerprint: Fingerprint,
}

impl<T, S, const LIMIT: usize> FromRequest<S> for JsonBody<T, LIMIT>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: axum::extract::Request, _: &S) -> Result<Self, Problem> {
        require_json(request.headers())?;
        let (bytes, fingerprint) = read::<LIMIT>(request).await?;
        Ok(Self {
            value: parse(&bytes)?,
            fingerprint,
        })
    }
}

impl<T, S, const LIMIT: usize> FromRequest<S> for OptionalJsonBody<T, LIMIT>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: axum::extract::Request, _: &S) -> Result<Self, Problem> {
        let json = require_json(request.headers());
        let (bytes, fingerprint) = read::<LIMIT>(request).await?;
        if bytes.is_empty() {
            return Ok(Self {
                value: None,
                fingerprint,
            });
        }
        json?;
        Ok(Self {
            value: Some(parse(&bytes)?),
            fingerprint,
        })
    }
}

impl<S: Send + Sync> FromRequest<S> for EmptyBody {
    type Rejection = Problem;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Problem> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        let body = OptionalJsonBody::<Nothing>::from_request(request, state).await?;
        Ok(Self {
            fingerprint: body.fingerprint,
        })
    }
}

/// `application/json`, with nothing but UTF-8 as its character set (RFC 8259, section 8.1).
fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let only = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    };
    let mut parts = only.unwrap_or_default().split(';').map(str::trim);
    let json = parts
        .next()
        .is_some_and(|media| media.eq_ignore_ascii_case("application/json"));
    let utf8 = parts.filter(|parameter| !parameter.is_empty()).all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if json && utf8 {
        Ok(())
    } else {
        Err(Problem::new(ProblemCode::UnsupportedMediaType))
    }
}

/// The whole body, refused as soon as it is known to be too large: by its declared length, or while reading.
async fn read<const LIMIT: usize>(request: Request<Body>) -> Result<(Bytes, Fingerprint), Problem> {
    let too_large =
        || Problem::new(ProblemCode::BodyTooLarge).with_detail(format!("at most {LIMIT} bytes are accepted here"));
    let (parts, body) = request.into_parts();
    let declared = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if declared.is_some_and(|length| usize::try_from(length).map_or(true, |length| length > LIMIT)) {
        return Err(too_large());
    }
    let bytes = match Limited::new(body, LIMIT).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(too_large()),
        // The client went away or sent broken chunks; nobody is likely to read this.
        Err(_) => return Err(Problem::new(ProblemCode::MalformedJson).with_detail("the body ends before its end")),
    };
    let fingerprint = fingerprint(&parts.method, parts.uri.path(), &bytes);
    Ok((bytes, fingerprint))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let malformed = |error: serde_json::Error| Problem::new(ProblemCode::MalformedJson).with_detail(error.to_string());
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let error = match T::deserialize(NamedFields(&mut json)).and_then(|value| json.end().map(|()| value)) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    // A field may be wrong long before the text stops being JSON; what is not JSON is 400 all the same.
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Problem::new(ProblemCode::MalformedJson).with_detail(error.to_string()))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(malformed)?;
    // It is JSON: only for its depth it was not read to the end. Whatever else the parser calls a matter of form (a number
    // beyond every range, `null` for one of several names) is a value that the field cannot have.
    if !error.is_data() && is_deep(bytes) {
        return Err(malformed(error));
    }
    // Only now, as nobody waits for a refusal, find out which field it was.
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let located = serde_path_to_error::deserialize::<_, T>(NamedFields(&mut json));
    let pointer = located.err().map(|error| pointer(error.path())).unwrap_or_default();
    Err(Problem::invalid(pointer, without_position(&error.to_string())))
}

/// Whether this JSON is nested deeper than the parser goes.
fn is_deep(json: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    json.iter().any(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth >= MAX_DEPTH
    })
}

/// Serde reads a struct from an array too, field by field in the order of declaration. In a body that would be a
/// second spelling nobody documented: `[30]` for `{"fiat_amount": 30}`.
struct NamedFields<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for NamedFields<D> {
    type Error = D::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    // Spelled out, because no float is named in this workspace; bodies have none either.
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// Line and column mean nothing to a program that built the body; the pointer says where.
fn without_position(message: &str) -> &str {
    message.rsplit_once(" at line ").map_or(message, |(message, _)| message)
}
