//! Mails as RFC 5322 wants them. Pure: the same mail gives the same bytes.

use std::str::FromStr;
use std::time::SystemTime;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
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

impl FromStr for Sender {
    type Err = InvalidSender;

    fn from_str(text: &str) -> Result<Self, InvalidSender> {
        let invalid = || InvalidSender { text: text.to_owned() };
        if text.chars().any(char::is_control) {
            return Err(invalid());
        }
        text.parse().map(Self).map_err(|_| invalid())
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

/// The mail as it goes over the wire, lines ending with CRLF.
pub(super) fn format(mail: &Mail, Sender(sender): &Sender) -> Result<Vec<u8>, FormatError> {
    let message = Message::builder()
        .message_id(Some(mail.message_id.clone()))
        .date(SystemTime::from(mail.date))
        .from(sender.clone())
        .to(Mailbox::new(None, mail.to.parse()?))
        .subject(&*mail.subject)
        .header(ContentType::TEXT_PLAIN)
        .body(mail.text.clone())?;
    Ok(message.formatted())
}
