//! Where NATS is, who we are there, and how much may be under way.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach NATS, and the bounds of what travels over it.
#[derive(Debug, Clone)]
pub struct NatsSettings {
    /// `nats://host:port` or `tls://host:port`; several of one cluster are parted by commas. Carries no secrets.
    pub url: String,
    /// What this process is called in the server's lists.
    pub name: String,
    /// Who this process is.
    pub credentials: Credentials,
    /// How the connection is secured.
    pub tls: Tls,
    /// How long a start waits for a server that does not answer.
    pub patience: Duration,
    /// How much may be where.
    pub bounds: Bounds,
    /// The times of the protocol.
    pub times: Times,
}

impl NatsSettings {
    /// A server without credentials at `url`, with the usual bounds.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            name: "cambist".to_owned(),
            credentials: Credentials::Nobody,
            tls: Tls::default(),
            patience: Duration::from_secs(10),
            bounds: Bounds::default(),
            times: Times::default(),
        }
    }
}

/// Who we are. What is secret is never shown.
#[derive(Clone, Default)]
pub enum Credentials {
    /// The server asks for nothing.
    #[default]
    Nobody,
    /// A token that everybody shares.
    Token(String),
    /// A user of the server's configuration.
    User {
        /// Their name.
        name: String,
        /// Their password.
        password: String,
    },
    /// A `.creds` file, with a token of the operator's and the seed of a key.
    File(PathBuf),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("Nobody"),
            Self::Token(_) => f.write_str("Token(…)"),
            Self::User { name, .. } => write!(f, "User({name}, …)"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

/// TLS, by rustls.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Whether a server without it is refused. A `tls://` address says so as well.
    pub required: bool,
    /// A PEM file with the authorities that are trusted instead of the machine's.
    pub authorities: Option<PathBuf>,
    /// PEM files with the certificate and the key that we show.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// How much may be where. A stream's bounds count when the stream is made; later they are only compared.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// The most envelopes that wait in a queue; more are refused.
    pub queue_envelopes: u32,
    /// The most bytes that wait in a queue.
    pub queue_bytes: u32,
    /// The most messages in an envelope.
    pub envelope_messages: usize,
    /// The most bytes in an envelope of several messages. A single larger message has one of its own.
    pub envelope_bytes: usize,
    /// The most envelopes that one listener holds and has not acknowledged.
    pub in_hand: u16,
    /// The most envelopes that all listeners of a queue together hold, those whose pause is not over included.
    pub unacknowledged: u32,
    /// The most envelopes under way to the server at once.
    pub in_flight: usize,
    /// How many servers of a cluster keep a stream.
    pub replicas: u8,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            queue_envelopes: 1_000_000,
            queue_bytes: 1 << 30,
            envelope_messages: 100,
            envelope_bytes: 256 * 1024,
            in_hand: 16,
            unacknowledged: 1_024,
            in_flight: 256,
            replicas: 1,
        }
    }
}

/// The times of the protocol.
#[derive(Debug, Clone)]
pub struct Times {
    /// How long the server waits for a word about an envelope before it delivers it again. While it is being worked on,
    /// the server hears so three times in that time.
    pub ack_wait: Duration,
    /// How long a request for envelopes stands before it is made anew. As long at most does one that goes away wait for what
    /// it asked for.
    pub request: Duration,
    /// How long one publication waits for the server, all its attempts together.
    pub publish: Duration,
    /// How long the server may take to answer one question.
    pub answer: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            ack_wait: Duration::from_secs(30),
            request: Duration::from_secs(1),
            publish: Duration::from_secs(5),
            answer: Duration::from_secs(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_not_shown() {
        let secret = "correct horse";
        let user = Credentials::User {
            name: "wallet".to_owned(),
            password: secret.to_owned(),
        };
        for credentials in [user, Credentials::Token(secret.to_owned())] {
            let settings = NatsSettings {
                credentials,
                ..NatsSettings::new("nats://nats:4222")
            };
            assert!(!format!("{settings:?}").contains(secret));
        }
    }
}
