//! JSON bodies: 415 for the wrong type, 413 for too much, 400 for what is not JSON, 422 for JSON that makes no sense.

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use ::http::{HeaderMap, Request};
use axum::body::Body;
use axum::extract::FromRequest;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_path_to_error::{Path, Segment};

use super::idempotency::{Fingerprint, fingerprint};
use crate::problem::{Problem, ProblemCode};

/// The most bytes a body may have: 16 KiB.
pub const BODY_LIMIT: usize = 16 * 1024;

/// The most bytes a batch of [`contracts::clients::MAX_COMMANDS`] internal commands may have: 256 KiB.
pub const BATCH_BODY_LIMIT: usize = 256 * 1024;

/// A JSON body of type `T` and at most `LIMIT` bytes.
///
/// Fields given twice and of the wrong type are refused. Unknown fields are refused if `T` says
/// `#[serde(deny_unknown_fields)]`, as every body must. JSON nested more than 128 deep is malformed.
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
    let error = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    // A field may be wrong long before the text stops being JSON; what is not JSON is 400 all the same.
    match serde_json::from_slice::<IgnoredAny>(bytes) {
        Err(syntax) => return Err(Problem::new(ProblemCode::MalformedJson).with_detail(syntax.to_string())),
        Ok(_) if !error.is_data() => {
            return Err(Problem::new(ProblemCode::MalformedJson).with_detail(error.to_string()));
        }
        Ok(_) => {}
    }
    // Only now, as nobody waits for a refusal, find out which field it was.
    let deserializer = &mut serde_json::Deserializer::from_slice(bytes);
    let pointer = match serde_path_to_error::deserialize::<_, T>(deserializer) {
        Ok(_) => String::new(),
        Err(located) => pointer(located.path()),
    };
    Err(Problem::invalid(pointer, without_position(&error.to_string())))
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
