//! How the text of a setting becomes a typed value.
//!
//! Every type says what it accepts, so that each error can say what to do, and how it may be shown, so that no
//! secret ever is.

use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use contracts::money::DecimalText;
use contracts::{Amount, Asset, BasisPoints};

/// What stands in for a secret wherever a value is shown.
pub const MASK: &str = "[secret]";

/// A type a setting can have.
pub trait Value: Sized {
    /// What to write, as shown in help texts: `DURATION`, `ADDRESS`.
    const KIND: &'static str;

    /// Whether the value must come from the environment or a file, never from a flag: command lines are readable
    /// by everyone on a machine.
    const SECRET: bool = false;

    /// Reads the text of a setting.
    ///
    /// # Errors
    /// What is wrong and what to write instead, continuing a sentence that starts with the setting's name. Never
    /// contains the text itself.
    fn parse(text: &str) -> Result<Self, String>;

    /// The text as it may be shown: masked where it holds a secret.
    fn shown(text: &str) -> String {
        text.to_owned()
    }
}

/// The internal address of another service, `http://host:port`, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceUrl(String);

impl ServiceUrl {
    /// The address; a path that starts with a slash is appended as it is.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for ServiceUrl {
    const KIND: &'static str = "URL";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || String::from("is not an address of a service; write it like http://balance:8001");
        let uri: ::http::Uri = text.parse().map_err(|_| wrong())?;
        if uri.scheme_str() == Some("https") {
            return Err("is https, which internal listeners do not speak; write it like http://balance:8001".into());
        }
        let http = uri.scheme_str() == Some("http");
        let plain = uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'))
            && uri.query().is_none();
        if http && plain {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err(wrong())
        }
    }
}

/// Who may book a deposit of fiat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deposits {
    /// Users book their own: for trying things out, since nobody checks that money arrived.
    SelfService,
    /// Only the internal side books deposits.
    Operator,
}

impl Value for Deposits {
    const KIND: &'static str = "self|operator";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "self" => Ok(Self::SelfService),
            "operator" => Ok(Self::Operator),
            _ => Err("is neither self nor operator".into()),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people when standard error is a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Value for LogFormat {
    const KIND: &'static str = "auto|human|json";

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err("is none of auto, human, json".into()),
        }
    }
}

/// Which log lines are written: `info`, or `info,cambist::venue=debug`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFilter(String);

impl LogFilter {
    /// The filter's text, known to parse.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for LogFilter {
    const KIND: &'static str = "FILTER";

    fn parse(text: &str) -> Result<Self, String> {
        match text.parse::<tracing_subscriber::filter::Targets>() {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err("is not a filter; write it like info or info,exchanger=debug".into()),
        }
    }
}

impl Value for Duration {
    const KIND: &'static str = "DURATION";

    /// A whole number and a unit: `250ms`, `2s`, `15m`, `1h`, `7d`. At most ten years.
    fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            || String::from("is not a duration; write a whole number and a unit, like 250ms, 2s, 15m, 1h or 7d");
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = text[..split].parse().map_err(|_| wrong())?;
        let milliseconds: u64 = match &text[split..] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let duration = number
            .checked_mul(milliseconds)
            .map(Self::from_millis)
            .ok_or_else(wrong)?;
        if duration > Self::from_hours(10 * 365 * 24) {
            Err("is longer than ten years".into())
        } else {
            Ok(duration)
        }
    }
}

/// An optional value: the empty text stands for none.
impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    const SECRET: bool = T::SECRET;

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Ok(None)
        } else {
            T::parse(text).map(Some)
        }
    }

    fn shown(text: &str) -> String {
        T::shown(text)
    }
}

/// Types whose own parser says all there is to say.
macro_rules! parsed_by_from_str {
    ($($type:ty, $kind:literal, $advice:literal;)+) => {
        $(impl Value for $type {
            const KIND: &'static str = $kind;

            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_| String::from($advice))
            }
        })+
    };
}

parsed_by_from_str! {
    SocketAddr, "ADDRESS", "is not an address to listen on; write it like 127.0.0.1:8000 or [::]:8000";
    PathBuf, "PATH", "is not a path";
    i16, "NUMBER", "is not a whole number between -32768 and 32767";
    u32, "NUMBER", "is not a whole number between 0 and 4294967295";
    u64, "NUMBER", "is not a whole number between 0 and 18446744073709551615";
    NonZeroU32, "NUMBER", "is not a whole number between 1 and 4294967295";
    NonZeroUsize, "NUMBER", "is not a whole number of at least 1";
    BasisPoints, "BASIS_POINTS", "is not a whole number of basis points between 0 and 10000";
}

/// A positive decimal number. How many decimals it may have depends on the asset it is used for.
impl Value for DecimalText {
    const KIND: &'static str = "AMOUNT";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || String::from("is not a positive decimal number; write it like 10 or 0.05");
        // Ether has the most decimals of all assets: what is no amount of it is no amount of any.
        let amount = Amount::parse(text, Asset::ETH).map_err(|_| wrong())?;
        if amount.is_positive() {
            Self::try_new(text).map_err(|_| wrong())
        } else {
            Err(wrong())
        }
    }
}

impl Value for String {
    const KIND: &'static str = "TEXT";

    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() || text.len() > 200 || text.chars().any(char::is_control) {
            return Err("must have between 1 and 200 characters and no control characters".into());
        }
        Ok(text.to_owned())
    }
}
