//! Mails as RFC 5322 wants them, with the text and a page to choose from (RFC 2046, section 5.1.4). Pure: the same mail
//! gives the same bytes, all of them ASCII, in lines that end with CRLF.

use std::str::FromStr;
use std::time::SystemTime;

use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::ports::Mail;

/// Who sends: `Cambist <cambist@localhost>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender(Mailbox);

/// A text that is no sender.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no sender of mail: write a name and an address, `Cambist <cambist@example.com>`")]
pub struct InvalidSender {
    text: String,
}

impl Sender {
    /// What stands behind the @ of its address.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.email.domain()
    }

    pub(super) const fn address(&self) -> &Address {
        &self.0.email
    }
}

impl FromStr for Sender {
    type Err = InvalidSender;

    fn from_str(text: &str) -> Result<Self, InvalidSender> {
        let invalid = || InvalidSender { text: text.to_owned() };
        if text.chars().any(char::is_control) {
            return Err(invalid());
        }
        let mailbox: Mailbox = text.parse().map_err(|_| invalid())?;
        // The address also goes into message ids and commands, which are ASCII.
        let address: &str = mailbox.email.as_ref();
        if address.is_ascii() {
            Ok(Self(mailbox))
        } else {
            Err(invalid())
        }
    }
}

/// A mail that cannot be written down.
#[derive(Debug, Error)]
pub(super) enum FormatError {
    #[error("the receiver's address: {0}")]
    Receiver(#[from] lettre::address::AddressError),
    #[error("the message: {0}")]
    Message(#[from] lettre::error::Error),
}

/// The mail as it goes over the wire.
pub(super) fn format(mail: &Mail, Sender(sender): &Sender) -> Result<Vec<u8>, FormatError> {
    let alternatives = MultiPart::alternative()
        .boundary(boundary(mail))
        .singlepart(SinglePart::plain(mail.text.clone()))
        .singlepart(SinglePart::html(mail.html.clone()));
    let receiver: Address = mail.to.parse()?;
    // Said, because lettre would read it back from the headers, and stumbles over addresses like `"."@example.com`.
    let envelope = Envelope::new(Some(sender.email.clone()), vec![receiver.clone()])?;
    let message = Message::builder()
        .envelope(envelope)
        .message_id(Some(mail.message_id.clone()))
        .date(SystemTime::from(mail.date))
        .from(sender.clone())
        .to(Mailbox::new(None, receiver))
        .subject(&*mail.subject)
        // RFC 3834: nobody wrote this by hand, so no machine should answer it.
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".to_owned(),
        ))
        .multipart(alternatives)?;
    Ok(message.formatted())
}

/// The line that parts the alternatives. It must not be in them, and be the same each time: who wants to write a text
/// with its own digest in it has to find one first.
fn boundary(mail: &Mail) -> String {
    let mut digest = Sha256::new();
    digest.update(&mail.text);
    digest.update(&mail.html);
    let bytes = digest.finalize();
    let hex: String = bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("cambist-{hex}")
}
