//! One connection to a mail server, and what its answers mean.
//!
//! The mail's own transaction is spoken command by command, because what a failure means depends on when it happens:
//! before the message is sent nothing was taken; once it was, only an answer tells.

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters, TlsParametersBuilder,
};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use service_kit::settings::{MailSecurity, SmtpUrl};
use tokio::time::{Instant, timeout_at};

use super::InvalidCertificates;
use crate::ports::MailAnswer;

/// So much of what a mail server says is kept.
const MAX_REASON_CHARS: usize = 300;
/// "Service not available, closing transmission channel" (RFC 5321, section 3.8).
const CLOSING: u16 = 421;
/// "Start mail input".
const GO_AHEAD: u16 = 354;
/// What a server says, to whatever command, when it misses or does not like our login (RFC 4954, section 6; 534 and 538
/// of its predecessor). Nobody's mail is at fault then, but a setting of ours.
const LOGIN_TROUBLE: [u16; 4] = [530, 534, 535, 538];

/// How a connection begins.
pub(super) struct Terms {
    host: String,
    port: u16,
    security: MailSecurity,
    tls: TlsParameters,
    hello: ClientId,
    login: Option<Credentials>,
}

impl Terms {
    pub(super) fn try_new(
        url: &SmtpUrl,
        authorities: Option<&[u8]>,
        own_name: &str,
    ) -> Result<Self, InvalidCertificates> {
        let invalid = |error: Error| InvalidCertificates(error.to_string());
        let mut tls = TlsParametersBuilder::new(url.host.clone());
        if let Some(pem) = authorities {
            let none = !pem
                .windows(CERTIFICATE.len())
                .any(|window| window == CERTIFICATE.as_bytes());
            if none {
                return Err(InvalidCertificates(format!("it holds no {CERTIFICATE}")));
            }
            tls = tls
                .certificate_store(CertificateStore::None)
                .add_root_certificate(Certificate::from_pem(pem).map_err(invalid)?);
        }
        let login = url.login.as_ref();
        Ok(Self {
            host: url.host.clone(),
            port: url.port,
            security: url.security,
            tls: tls.build().map_err(invalid)?,
            hello: ClientId::Domain(own_name.to_owned()),
            login: login.map(|(user, password)| Credentials::new(user.clone(), password.expose().to_owned())),
        })
    }
}

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----";

/// How the offer of a mail ended. In no case was it taken.
#[derive(Debug)]
pub(super) enum Offer {
    /// The server waits for the message.
    Accepted,
    /// Not this mail, not now.
    Later(String),
    /// Never this mail.
    Refused(String),
    /// The connection is of no more use.
    Broken(String),
}

/// A connection that is ready for mail.
pub(super) struct Session(AsyncSmtpConnection);

impl Session {
    /// Connects, encrypts and logs in, as the terms say.
    ///
    /// # Errors
    /// Why there is no session. Whatever it is, even a refusal for good: it is no mail's fault, and an operator can mend
    /// it.
    pub(super) async fn open(terms: &Terms, deadline: Instant) -> Result<Self, String> {
        let place = format!("{}:{}", terms.host, terms.port);
        match timeout_at(deadline, Self::connect(terms)).await {
            Ok(Ok(connection)) => Ok(Self(connection)),
            Ok(Err(error)) => Err(format!("the mail server {place} is not ready: {}", told(&error))),
            Err(_) => Err(format!("the mail server {place} was not ready in time")),
        }
    }

    async fn connect(terms: &Terms) -> Result<AsyncSmtpConnection, Error> {
        let wrapper = (terms.security == MailSecurity::Tls).then(|| terms.tls.clone());
        let address = (terms.host.as_str(), terms.port);
        let mut connection = AsyncSmtpConnection::connect_tokio1(address, None, &terms.hello, wrapper, None).await?;
        if terms.security == MailSecurity::StartTls {
            connection.starttls(terms.tls.clone(), &terms.hello).await?;
        }
        if let Some(login) = &terms.login {
            connection.auth(DEFAULT_MECHANISMS, login).await?;
        }
        Ok(connection)
    }

    /// Asks whether the server takes a mail from `sender` to `receiver`.
    pub(super) async fn offer(&mut self, sender: &Address, receiver: &Address, deadline: Instant) -> Offer {
        match timeout_at(deadline, self.ask(sender, receiver)).await {
            Ok(Ok(offer) | Err(offer)) => offer,
            Err(_) => Offer::Broken("the mail server did not answer in time".to_owned()),
        }
    }

    async fn ask(&mut self, sender: &Address, receiver: &Address) -> Result<Offer, Offer> {
        let mail = Mail::new(Some(sender.clone()), Vec::new());
        // A sender that is refused is refused with every mail: a setting, which an operator can mend.
        self.0.command(mail).await.map_err(|error| match refusal(&error) {
            Offer::Refused(reason) => Offer::Later(reason),
            other @ (Offer::Accepted | Offer::Later(_) | Offer::Broken(_)) => other,
        })?;
        let rcpt = Rcpt::new(receiver.clone(), Vec::new());
        self.0.command(rcpt).await.map_err(|error| refusal(&error))?;
        let answer = self.0.command(Data).await.map_err(|error| refusal(&error))?;
        Ok(if answer.has_code(GO_AHEAD) {
            Offer::Accepted
        } else {
            Offer::Broken(format!("the mail server answered {} to DATA", answer.code()))
        })
    }

    /// Sends the message of a mail that was accepted, and waits for the answer; also says whether the connection may be
    /// used again.
    pub(super) async fn hand_over(&mut self, bytes: &[u8], deadline: Instant) -> (MailAnswer, bool) {
        let unconfirmed = |reason| (MailAnswer::Unconfirmed { reason }, false);
        let error = match timeout_at(deadline, self.0.message(bytes)).await {
            Ok(Ok(answer)) if u16::from(answer.code()) / 100 == 2 => return (MailAnswer::Delivered, true),
            Ok(Ok(answer)) => return unconfirmed(format!("the mail server answered {} to a mail", answer.code())),
            Ok(Err(error)) => error,
            Err(_) => return unconfirmed("the mail server took the mail and did not answer in time".to_owned()),
        };
        match refusal(&error) {
            Offer::Refused(reason) => (MailAnswer::Refused { reason }, true),
            Offer::Later(reason) => (MailAnswer::TryLater { reason }, true),
            // With a code it is an answer, and it says no.
            Offer::Broken(reason) if error.status().is_some() => (MailAnswer::TryLater { reason }, false),
            Offer::Broken(reason) => {
                unconfirmed(format!("the connection broke before the mail was confirmed: {reason}"))
            }
            Offer::Accepted => unconfirmed("an error that is none".to_owned()),
        }
    }

    /// Ends the mail that was offered; whether the connection may be used again.
    pub(super) async fn reset(&mut self, deadline: Instant) -> bool {
        matches!(timeout_at(deadline, self.0.command(Rset)).await, Ok(Ok(_)))
    }
}

/// What an error means for the mail that is on offer, or was just handed over.
fn refusal(error: &Error) -> Offer {
    let reason = told(error);
    let is_ours = |code| LOGIN_TROUBLE.contains(&code) || is_policy(&reason);
    match error.status().map(u16::from) {
        None | Some(CLOSING) => Offer::Broken(reason),
        Some(code) if error.is_permanent() && !is_ours(code) => Offer::Refused(reason),
        Some(_) => Offer::Later(reason),
    }
}

/// Whether an enhanced status is of "security or policy" (RFC 3463, section 3.8), as in "5.7.1 relaying denied" at the
/// receiver, or "5.7.26 unauthenticated sender" (RFC 7372) once the message is read: that is about us, what we may send
/// and who vouches for it, which an operator can mend, and not about this mail or whether there is such a receiver.
fn is_policy(reason: &str) -> bool {
    let detail = |word: &str| word.strip_prefix("5.7.").map(str::to_owned);
    reason
        .split_whitespace()
        .filter_map(detail)
        .any(|detail| !detail.is_empty() && detail.bytes().all(|byte| byte.is_ascii_digit()))
}

/// An error in words, on one line and not too long: a server may say what it likes.
fn told(error: &Error) -> String {
    let plain = |char: char| if char.is_control() { ' ' } else { char };
    error.to_string().chars().map(plain).take(MAX_REASON_CHARS).collect()
}
