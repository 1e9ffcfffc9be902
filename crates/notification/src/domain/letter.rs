//! What may be sent to whom.
//!
//! A [`Letter`] cannot be made but through its check. Its stored form is canonical, so that asking again is
//! recognised byte by byte; when it was accepted is stored beside it, and becomes the mail's date: whoever repeats a
//! mail repeats it exactly.

use contracts::OrderId;
use contracts::email::email_flaw;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::delivery::Tally;
use super::html::page;

/// The longest text, in bytes.
pub const MAX_PAYLOAD_BYTES: usize = 4 * 1024;
/// A longer first line is cut for the subject; the text has it in full.
const MAX_SUBJECT_CHARS: usize = 150;

/// A field of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// The receiver's address.
    Email,
    /// The text.
    Payload,
}

impl Field {
    /// The name in bodies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Payload => "payload",
        }
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flaw {
    /// Which one.
    pub field: Field,
    /// What is accepted there.
    pub detail: &'static str,
}

/// A text for a user, and where it goes; checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    email: String,
    payload: String,
}

impl Letter {
    /// The letter with this address and text.
    ///
    /// # Errors
    /// Every flaw.
    pub fn try_new(email: String, payload: String) -> Result<Self, Vec<Flaw>> {
        let checks = [
            (Field::Email, email_flaw(&email)),
            (Field::Payload, payload_flaw(&payload)),
        ];
        let flaws: Vec<_> = checks
            .into_iter()
            .filter_map(|(field, detail)| Some(Flaw { field, detail: detail? }))
            .collect();
        if flaws.is_empty() {
            Ok(Self { email, payload })
        } else {
            Err(flaws)
        }
    }

    /// The receiver's address.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The text as it was given.
    #[must_use]
    pub fn payload(&self) -> &str {
        &self.payload
    }

    /// The first line of the text, without what surrounds it; cut after 150 characters.
    #[must_use]
    pub fn subject(&self) -> String {
        let line = first_line(&self.payload);
        match line.char_indices().nth(MAX_SUBJECT_CHARS) {
            None => line.to_owned(),
            Some((end, _)) => format!("{}…", &line[..end]),
        }
    }

    /// The text with line feeds only, ending with one.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = if self.payload.contains('\r') {
            self.payload.replace("\r\n", "\n").replace('\r', "\n")
        } else {
            self.payload.clone()
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }

    /// The stored form: JSON, always the same for the same letter.
    #[must_use]
    pub fn to_content(&self) -> String {
        serde_json::to_string(self).expect("two strings are JSON")
    }

    /// The letter with this stored form.
    ///
    /// # Errors
    /// [`BadRow`] for what [`Letter::to_content`] cannot have written.
    pub fn from_content(content: &str) -> Result<Self, BadRow> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Stored {
            email: String,
            payload: String,
        }
        let Stored { email, payload } = serde_json::from_str(content).map_err(|error| BadRow(error.to_string()))?;
        Self::try_new(email, payload).map_err(|flaws| BadRow(describe(&flaws)))
    }
}

/// A stored notification that this program cannot have written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a notification: {0}")]
pub struct BadRow(String);

/// What is stored beside a letter: when it was accepted, and what was tried since.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The time of acceptance.
    pub accepted_at: Timestamp,
    /// The tries so far, as far as they were recorded.
    #[serde(default)]
    pub tally: Tally,
}

impl Progress {
    /// Accepted now, not tried yet.
    #[must_use]
    pub fn new(accepted_at: Timestamp) -> Self {
        Self {
            accepted_at,
            tally: Tally::default(),
        }
    }

    /// The stored form.
    #[must_use]
    pub fn to_json(self) -> String {
        serde_json::to_string(&self).expect("a time and two counts are JSON")
    }

    /// The progress with this stored form.
    ///
    /// # Errors
    /// [`BadRow`] for what [`Progress::to_json`] cannot have written.
    pub fn from_json(json: &str) -> Result<Self, BadRow> {
        serde_json::from_str(json).map_err(|error| BadRow(error.to_string()))
    }
}

/// A mail, ready to be sent. The same notification gives the same mail every time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The order it is about; an order has one mail.
    pub order_id: OrderId,
    /// `<order-7.1772625600000000@example.com>`: the same whenever this mail is sent, brackets included (RFC 5322,
    /// section 3.6.4). The order's number, the time of acceptance in microseconds, and the sender's domain: no other
    /// mail has it, not even one of a second installation under the same name, whose orders have the same numbers.
    pub message_id: String,
    /// The receiver's address: visible ASCII, at most 254 bytes.
    pub to: String,
    /// One line without control characters.
    pub subject: String,
    /// Lines that end with line feeds; no other control characters but tabs.
    pub text: String,
    /// The same for readers that prefer HTML: a whole page that refers to nothing outside itself.
    pub html: String,
    /// When it was accepted.
    pub date: Timestamp,
}

impl Mail {
    /// The mail about an order.
    #[must_use]
    pub fn new(order_id: OrderId, letter: &Letter, progress: Progress, message_host: &str) -> Self {
        let accepted = progress.accepted_at.as_microsecond();
        let text = letter.text();
        Self {
            order_id,
            message_id: format!("<order-{order_id}.{accepted}@{message_host}>"),
            to: letter.email().to_owned(),
            subject: letter.subject(),
            html: page(&text),
            text,
            date: progress.accepted_at,
        }
    }
}

/// Flaws as one sentence.
#[must_use]
pub fn describe(flaws: &[Flaw]) -> String {
    let sentences: Vec<_> = flaws
        .iter()
        .map(|flaw| format!("{}: {}", flaw.field.as_str(), flaw.detail))
        .collect();
    sentences.join("; ")
}

fn first_line(payload: &str) -> &str {
    payload.split(['\n', '\r']).next().unwrap_or_default().trim()
}

fn payload_flaw(payload: &str) -> Option<&'static str> {
    if payload.len() > MAX_PAYLOAD_BYTES {
        return Some("a text has at most 4096 bytes");
    }
    if payload
        .chars()
        .any(|char| char.is_control() && !matches!(char, '\n' | '\r' | '\t'))
    {
        return Some("a text has no control characters but line breaks and tabs");
    }
    first_line(payload)
        .is_empty()
        .then_some("a text begins with a line that is not blank: the subject")
}
