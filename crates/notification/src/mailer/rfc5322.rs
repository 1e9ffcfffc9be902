//! Mails as RFC 5322 wants them, with the text and a page to choose from (RFC 2046, section 5.1.4). Pure: the same mail
//! gives the same bytes, all of them ASCII, in lines that end with CRLF.

use std::fmt::Arguments;
use std::io::Write as _;
use std::str::FromStr;

use lettre::Address;
use lettre::address::AddressError;
use lettre::message::header::{
    ContentTransferEncoding, Date, From, Header as _, HeaderValue, Headers, MessageId, Subject, To,
};
use lettre::message::{Body, Mailbox, Mailboxes};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::ports::Mail;

/// Lettre writes longer lines otherwise (RFC 5322, section 2.1.1, wants no more than 78).
const SHORT_LINE: usize = 74;

/// Who sends: `Cambist <cambist@localhost>`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sender {
    address: Address,
    /// `From`, the same in every mail.
    header: HeaderValue,
}

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
        self.address.domain()
    }

    pub(super) const fn address(&self) -> &Address {
        &self.address
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
        let address = mailbox.email.clone();
        if !AsRef::<str>::as_ref(&address).is_ascii() {
            return Err(invalid());
        }
        let header = From::from(Mailboxes::from(mailbox)).display();
        Ok(Self { address, header })
    }
}

/// A receiver to whom no mail can be addressed.
#[derive(Debug, Error)]
#[error("the receiver's address: {0}")]
pub(super) struct InvalidReceiver(#[from] AddressError);

/// The mail as it goes over the wire. What depends on what somebody wrote is encoded by lettre; the rest is always the
/// same, and said here.
pub(super) fn format(mail: &Mail, sender: &Sender) -> Result<Vec<u8>, InvalidReceiver> {
    let receiver: Address = mail.to.parse()?;
    let mut headers = Headers::with_capacity(5);
    headers.set(MessageId::from(mail.message_id.clone()));
    headers.set(Date::new(mail.date.into()));
    headers.insert_raw(sender.header.clone());
    headers.set(To::from(Mailboxes::from(Mailbox::new(None, receiver))));
    headers.set(Subject::from(mail.subject.clone()));
    let boundary = boundary(mail);
    let mut message = Vec::with_capacity(1024 + mail.text.len() + mail.html.len());
    // RFC 3834, `Auto-Submitted`: nobody wrote this by hand, so no machine should answer it.
    append(
        &mut message,
        format_args!(
            "{headers}Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/alternative;\r\n boundary=\"{boundary}\"\r\n\r\n"
        ),
    );
    for (kind, text) in [("plain", &mail.text), ("html", &mail.html)] {
        let body = encoded(text);
        let encoding = body.encoding();
        append(
            &mut message,
            format_args!(
                "--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\n\
                 Content-Transfer-Encoding: {encoding}\r\n\r\n"
            ),
        );
        message.extend_from_slice(body.as_ref());
        message.extend_from_slice(b"\r\n");
    }
    append(&mut message, format_args!("--{boundary}--\r\n"));
    Ok(message)
}

fn append(message: &mut Vec<u8>, text: Arguments<'_>) {
    message.write_fmt(text).expect("memory takes what is written to it");
}

/// A text that ends its lines with line feeds, ready to be sent. That short lines of ASCII need nothing but line ends,
/// lettre would find out as well, but slowly.
fn encoded(text: &str) -> Body {
    if text.is_ascii() && text.lines().all(|line| line.len() <= SHORT_LINE) {
        let lines = text.replace('\n', "\r\n");
        Body::dangerous_pre_encoded(lines.into_bytes(), ContentTransferEncoding::SevenBit)
    } else {
        Body::new(text.to_owned())
    }
}

/// The line that parts the alternatives. It must not be in them, and be the same each time: who wants to write a text
/// with its own digest in it has to find one first.
fn boundary(mail: &Mail) -> String {
    let digest = Sha256::new()
        .chain_update(&mail.text)
        .chain_update(&mail.html)
        .finalize();
    let half = digest.first_chunk().expect("it has 32 bytes");
    format!("cambist-{:032x}", u128::from_be_bytes(*half))
}
