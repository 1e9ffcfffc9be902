//! The bounds of the way to a peer, and what an address must be.

use std::num::NonZeroUsize;
use std::time::Duration;

use reqwest::Url;
use thiserror::Error;

use super::{circuit, retry};

/// The bounds of the way to one peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How long a connection may take to be there.
    pub connect_timeout: Duration,
    /// How long one attempt may take, from the request's first byte to the answer's last.
    pub attempt_timeout: Duration,
    /// How long a call may take, all attempts and the pauses between them. Shorter than a dispatcher waits for a delivery.
    pub call_timeout: Duration,
    /// How many requests may be under way at once. More wait for a place, as long as their call may take.
    pub in_flight: NonZeroUsize,
    /// How many connections are kept while nobody uses them.
    pub idle_connections: usize,
    /// For how long; shorter than the peer keeps them (`header_timeout`), so that few requests meet one that is closing.
    pub idle_for: Duration,
    /// The most bytes of an answer.
    pub answer_bytes: usize,
    /// How often and when a request is sent again.
    pub retry: retry::Rules,
    /// When the peer is not asked at all.
    pub circuit: circuit::Rules,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(1),
            attempt_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(8),
            in_flight: NonZeroUsize::new(64).expect("64 is not zero"),
            idle_connections: 32,
            idle_for: Duration::from_secs(10),
            answer_bytes: 1024 * 1024,
            retry: retry::Rules::default(),
            circuit: circuit::Rules::default(),
        }
    }
}

/// Why there can be no way to a peer.
#[derive(Debug, Error)]
pub enum InvalidPeer {
    /// The address is none.
    #[error("an address is written like http://10.0.0.7:8001 or http://balance:8001/balance: {0}")]
    Address(String),
    /// The token cannot be sent.
    #[error("an internal token is 1 to 4096 visible ASCII characters")]
    Token,
    /// The client cannot be made.
    #[error("the HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

/// The longest token that the other side looks at.
const MAX_TOKEN_BYTES: usize = 4096;

/// An address without the slash at its end.
pub(super) fn address(text: &str) -> Result<String, InvalidPeer> {
    let wrong = |why: &str| InvalidPeer::Address(why.to_owned());
    let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if url.scheme() != "http" {
        return Err(wrong("internal listeners speak http, and nothing else"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("the token is a setting of its own"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it ends with its path"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// What is sent in `Authorization`, kept out of logs.
pub(super) fn authorization(token: &str) -> Result<reqwest::header::HeaderValue, InvalidPeer> {
    let sound = (1..=MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
    if !sound {
        return Err(InvalidPeer::Token);
    }
    let mut value =
        reqwest::header::HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| InvalidPeer::Token)?;
    value.set_sensitive(true);
    Ok(value)
}
