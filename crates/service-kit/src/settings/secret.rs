//! Settings that hold secrets: kept, handed to the one place that needs them, and shown nowhere.

use std::fmt;
use std::sync::Arc;

use super::value::{MASK, Value};
use crate::internal::Caller;

/// Text that is never printed, logged or shown.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Keeps `text` from now on.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Value for Secret {
    const KIND: &'static str = "SECRET";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim() != text || text.chars().any(char::is_control) {
            return Err("starts or ends with a space or holds a control character; check how it was copied".into());
        }
        Ok(Self::new(text))
    }

    fn shown(text: &str) -> String {
        if text.is_empty() { String::new() } else { MASK.into() }
    }
}

/// An address that may hold a password, which is masked wherever the address is shown.
#[derive(Clone)]
pub struct SecretUrl(Arc<str>);

impl SecretUrl {
    /// The whole address, password included, for the one place that connects.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The part before the first colon: `sqlite`, `postgres`, `nats`, `smtp`.
    #[must_use]
    pub fn scheme(&self) -> &str {
        self.0.split_once(':').map_or("", |(scheme, _)| scheme)
    }

    /// What follows `scheme:` and an optional `//`: for `sqlite:` the path of the database.
    #[must_use]
    pub fn rest(&self) -> &str {
        let rest = self.0.split_once(':').map_or("", |(_, rest)| rest);
        rest.strip_prefix("//").unwrap_or(rest)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::shown(&self.0))
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Self::shown(&self.0))
    }
}

impl Value for SecretUrl {
    const KIND: &'static str = "URL";

    fn parse(text: &str) -> Result<Self, String> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        let known = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
        if !known || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(
                "is not an address; write it like sqlite:./data/cambist.db or postgres://user@host/name".into(),
            );
        }
        Ok(Self(text.into()))
    }

    /// Masks the password of `scheme://user:password@host`, everything after a `?`, where drivers take passwords too,
    /// and whatever holds an `@` in a form we do not know. Rather too much than too little.
    fn shown(text: &str) -> String {
        let Some((scheme, rest)) = text.split_once("://") else {
            return if text.contains('@') {
                MASK.into()
            } else {
                without_query(text)
            };
        };
        let Some((user, host)) = rest.rsplit_once('@') else {
            return without_query(text);
        };
        let host = without_query(host);
        match user.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:{MASK}@{host}"),
            // NATS takes a token in the place of a user.
            None if scheme == "nats" => format!("{scheme}://{MASK}@{host}"),
            None => format!("{scheme}://{user}@{host}"),
        }
    }
}

fn without_query(text: &str) -> String {
    text.split_once('?')
        .map_or_else(|| text.to_owned(), |(text, _)| format!("{text}?{MASK}"))
}

/// Who may call, and with which token: `wallet=TOKEN,operator:ann=TOKEN`.
#[derive(Debug, Clone, Default)]
pub struct CallerTokens(pub Vec<(Caller, Secret)>);

impl CallerTokens {
    /// Shorter tokens can be guessed.
    pub const MIN_TOKEN_BYTES: usize = 16;
}

impl Value for CallerTokens {
    const KIND: &'static str = "NAME=TOKEN,…";
    const SECRET: bool = true;

    fn parse(text: &str) -> Result<Self, String> {
        let mut callers = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (name, token) = entry
                .split_once('=')
                .ok_or("is not a list of names and tokens; write it like wallet=TOKEN,operator:ann=TOKEN")?;
            let caller: Caller = name
                .trim()
                .parse()
                .map_err(|error| format!("names `{}`: {error}", name.trim()))?;
            if token.len() < Self::MIN_TOKEN_BYTES {
                return Err(format!(
                    "has a token of less than {} characters for `{caller}`; make a longer one",
                    Self::MIN_TOKEN_BYTES
                ));
            }
            callers.push((caller, Secret::parse(token)?));
        }
        Ok(Self(callers))
    }

    fn shown(text: &str) -> String {
        let name = |entry: &str| format!("{}={MASK}", entry.split('=').next().unwrap_or_default().trim());
        text.split(',')
            .filter(|entry| entry.contains('='))
            .map(name)
            .collect::<Vec<_>>()
            .join(",")
    }
}
