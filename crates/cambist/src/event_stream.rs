//! Reads server-sent events (WHATWG HTML, section 9.2.6) as they arrive: for the demo, and for tests.
//!
//! What a broken stream ends with is never handed out: an event counts once the empty line after it is there, so that
//! whoever comes back with the last id has missed nothing.

use std::collections::VecDeque;

use thiserror::Error;

/// The most bytes of an event that has not ended; ours have some hundreds.
const MAX_EVENT: usize = 64 * 1024;

/// Something in a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// An event.
    Event(Event),
    /// A comment: a sign of life, or a word about why the stream ends.
    Comment(String),
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The last `id` there was, of this event or of an earlier one: what to come back with.
    pub last_id: String,
    /// Its name; `message` when it has none.
    pub name: String,
    /// Its data.
    pub data: String,
}

/// Why a stream cannot be read on.
#[derive(Debug, Error)]
pub enum StreamError {
    /// The connection broke.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// An event that does not end.
    #[error("an event of the stream is longer than {MAX_EVENT} bytes")]
    TooLong,
}

/// A stream of events, read from an answer.
#[derive(Debug)]
pub struct EventStream {
    answer: reqwest::Response,
    parser: Parser,
    items: VecDeque<Item>,
}

impl EventStream {
    /// The events of this answer, which is a `text/event-stream`.
    #[must_use]
    pub fn new(answer: reqwest::Response) -> Self {
        Self {
            answer,
            parser: Parser::default(),
            items: VecDeque::new(),
        }
    }

    /// What comes next, once it is there; `None` at the end.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn next(&mut self) -> Result<Option<Item>, StreamError> {
        loop {
            if let Some(item) = self.items.pop_front() {
                return Ok(Some(item));
            }
            let Some(bytes) = self.answer.chunk().await? else {
                return Ok(None);
            };
            self.parser.read(&bytes, &mut self.items)?;
        }
    }

    /// The next event, comments aside; `None` at the end.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn next_event(&mut self) -> Result<Option<Event>, StreamError> {
        loop {
            match self.next().await? {
                Some(Item::Event(event)) => return Ok(Some(event)),
                Some(Item::Comment(_)) => {}
                None => return Ok(None),
            }
        }
    }
}

/// What has been read of the event that is not complete.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    /// A line ended with CR; an LF right behind it belongs to the same end.
    after_cr: bool,
    name: String,
    data: Option<String>,
    last_id: String,
}

impl Parser {
    fn read(&mut self, bytes: &[u8], items: &mut VecDeque<Item>) -> Result<(), StreamError> {
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    items.extend(self.end_of_line(&String::from_utf8_lossy(&line)));
                }
                other => self.line.push(other),
            }
            let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
            if held > MAX_EVENT {
                return Err(StreamError::TooLong);
            }
        }
        Ok(())
    }

    fn end_of_line(&mut self, line: &str) -> Option<Item> {
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let data = self.data.take()?;
            return Some(Item::Event(Event {
                last_id: self.last_id.clone(),
                name: if name.is_empty() { "message".to_owned() } else { name },
                data,
            }));
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "" => return Some(Item::Comment(value.to_owned())),
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" if !value.contains('\0') => value.clone_into(&mut self.last_id),
            // `retry`, and whatever else there may be one day.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(last_id: &str, name: &str, data: &str) -> Item {
        Item::Event(Event {
            last_id: last_id.to_owned(),
            name: name.to_owned(),
            data: data.to_owned(),
        })
    }

    #[test]
    fn a_stream_means_the_same_however_it_is_cut_and_however_its_lines_end() {
        let text = "retry: 10\n\nid: 1\nevent: held\ndata: {\"a\": 1}\n\n: alive\ndata: one\ndata:two\n\n\
                    id\nevent: end\ndata\n\ndata: never ended\n";
        let expected = [
            event("1", "held", "{\"a\": 1}"),
            Item::Comment("alive".to_owned()),
            event("1", "message", "one\ntwo"),
            event("", "end", ""),
        ];
        for text in [text.to_owned(), text.replace('\n', "\r"), text.replace('\n', "\r\n")] {
            for size in 1..text.len() {
                let (mut parser, mut items) = (Parser::default(), VecDeque::new());
                for piece in text.as_bytes().chunks(size) {
                    parser.read(piece, &mut items).unwrap();
                }
                assert_eq!(items, expected, "{text:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn an_event_without_an_end_is_an_error() {
        let mut parser = Parser::default();
        let line = format!("data: {}\n", "x".repeat(1_000));
        let mut read = || parser.read(line.as_bytes(), &mut VecDeque::new());
        assert!((0..60).all(|_| read().is_ok()));
        assert!((0..60).any(|_| read().is_err()));
    }
}
