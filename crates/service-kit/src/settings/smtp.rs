//! The address of a mail server: `smtp://user:password@host:587?tls=required`, `smtps://user:password@host`.
//!
//! What it keeps true: a password goes over an open connection only to this machine itself, or where somebody wrote that
//! it may; and it is shown nowhere.

use std::net::IpAddr;

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::secret::{Secret, SecretUrl};
use super::value::{MASK, Value};

const FORM: &str = "write it like smtp://user:password@host:587?tls=required or smtps://user:password@host";

/// How a connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailSecurity {
    /// Not at all: for a server on the same machine or in the same closed network.
    Open,
    /// It begins open and is encrypted before anything is said (RFC 3207); a server that cannot do that gets no mail.
    StartTls,
    /// Encrypted from its first byte (RFC 8314).
    Tls,
}

/// Where mail goes, and as whom.
#[derive(Debug, Clone)]
pub struct SmtpUrl {
    /// A name, or an IP address without brackets.
    pub host: String,
    /// The port; by default 25 for open connections, 587 with `?tls=required`, 465 for `smtps`.
    pub port: u16,
    /// How the connection is protected.
    pub security: MailSecurity,
    /// User name and password, if the server wants to know.
    pub login: Option<(String, Secret)>,
}

impl SmtpUrl {
    /// Whether the server is this very machine, so that nobody listens on the way.
    #[must_use]
    pub fn is_local(&self) -> bool {
        let loopback = self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        loopback || self.host.eq_ignore_ascii_case("localhost")
    }
}

impl Value for SmtpUrl {
    const KIND: &'static str = "URL";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("is not an address of a mail server; {FORM}");
        let url = Url::parse(text).map_err(|_| wrong())?;
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(format!("{} (what is special in a password as %2F for /)", wrong()));
        }
        let (security, explicit, usual_port) = security(&url)?;
        let address = Self {
            host: host(&url).ok_or_else(wrong)?,
            port: url.port().unwrap_or(usual_port),
            security,
            login: login(&url)?,
        };
        if address.login.is_some() && security == MailSecurity::Open && !explicit && !address.is_local() {
            return Err(
                "would send its password unprotected; write ?tls=required behind it, or ?tls=none if that is meant"
                    .into(),
            );
        }
        Ok(address)
    }

    /// Like other addresses; besides, `?tls=` is no secret. Of what is no address nobody knows where the password is.
    fn shown(text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        match (Self::parse(text), text.split_once('?')) {
            (Ok(_), Some((address, query))) => format!("{}?{query}", SecretUrl::shown(address)),
            (Ok(_), None) => SecretUrl::shown(text),
            (Err(_), _) => MASK.into(),
        }
    }
}

/// How the connection is protected, whether that was written down, and the usual port for it.
fn security(url: &Url) -> Result<(MailSecurity, bool, u16), String> {
    let mut written = Vec::new();
    for (name, value) in url.query_pairs() {
        if name != "tls" {
            return Err("knows nothing behind the question mark but tls".into());
        }
        written.push(value.into_owned());
    }
    let written: Vec<_> = written.iter().map(String::as_str).collect();
    match (url.scheme(), written.as_slice()) {
        ("smtp", []) => Ok((MailSecurity::Open, false, 25)),
        ("smtp", ["none"]) => Ok((MailSecurity::Open, true, 25)),
        ("smtp", ["required"]) => Ok((MailSecurity::StartTls, true, 587)),
        ("smtps", [] | ["required"]) => Ok((MailSecurity::Tls, true, 465)),
        ("smtp" | "smtps", _) => Err("has a tls that is neither required nor none (smtps is always encrypted)".into()),
        _ => Err(format!("is not an address of a mail server; {FORM}")),
    }
}

fn host(url: &Url) -> Option<String> {
    match url.host()? {
        Host::Domain(name) => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (!name.is_empty() && name.bytes().all(plain)).then(|| name.to_owned())
        }
        Host::Ipv4(address) => Some(address.to_string()),
        Host::Ipv6(address) => Some(address.to_string()),
    }
}

fn login(url: &Url) -> Result<Option<(String, Secret)>, String> {
    let decoded = |text: &str| {
        let decoded = percent_decode_str(text).decode_utf8().ok()?.into_owned();
        let sound = !decoded.is_empty() && !decoded.chars().any(char::is_control);
        sound.then_some(decoded)
    };
    match (url.username(), url.password()) {
        ("", None) => Ok(None),
        (user, Some(password)) => match (decoded(user), decoded(password)) {
            (Some(user), Some(password)) => Ok(Some((user, Secret::new(&password)))),
            _ => Err("has an empty or unreadable user or password".into()),
        },
        (_, None) => Err("names a user without a password".into()),
    }
}
