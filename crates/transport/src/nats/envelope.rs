//! Envelopes: several messages in one, as a JSON array, because a server's acknowledgement costs the same for one as for a
//! hundred.
//!
//! What it keeps true: every message is in exactly one envelope; a message that cannot be read takes none of its neighbours
//! with it.

use bytes::Bytes;
use contracts::messages::Message;
use serde_json::value::RawValue;

use super::settings::Bounds;

/// Messages that travel together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) payload: Bytes,
    pub(super) messages: usize,
}

/// One message of an envelope that arrived.
#[derive(Debug)]
pub(super) struct Part {
    /// As it was written.
    pub(super) text: String,
    /// What it says, or why nobody can read it.
    pub(super) message: Result<Message, String>,
}

/// Puts messages into as few envelopes as the bounds allow.
pub(super) fn pack(messages: &[Message], bounds: &Bounds) -> Vec<Envelope> {
    let texts = messages
        .iter()
        .map(|message| serde_json::to_string(message).expect("a message is plain data"));
    pack_texts(texts, bounds)
}

/// The same for messages that are written already.
pub(super) fn pack_texts(texts: impl IntoIterator<Item = String>, bounds: &Bounds) -> Vec<Envelope> {
    let mut envelopes = Vec::new();
    let (mut open, mut messages) = (String::new(), 0);
    for text in texts {
        let full = messages >= bounds.envelope_messages.max(1) || open.len() + text.len() + 2 > bounds.envelope_bytes;
        if messages > 0 && full {
            envelopes.push(close(&mut open, messages));
            messages = 0;
        }
        open.push(if messages == 0 { '[' } else { ',' });
        open.push_str(&text);
        messages += 1;
    }
    if messages > 0 {
        envelopes.push(close(&mut open, messages));
    }
    envelopes
}

fn close(open: &mut String, messages: usize) -> Envelope {
    open.push(']');
    Envelope {
        payload: std::mem::take(open).into(),
        messages,
    }
}

/// Takes an envelope apart, or says why it is none.
pub(super) fn open(payload: &[u8]) -> Result<Vec<Part>, String> {
    let texts: Vec<Box<RawValue>> =
        serde_json::from_slice(payload).map_err(|error| format!("not an envelope: {error}"))?;
    let part = |text: Box<RawValue>| Part {
        message: serde_json::from_str(text.get()).map_err(|error| format!("not a message: {error}")),
        text: text.get().to_owned(),
    };
    Ok(texts.into_iter().map(part).collect())
}

#[cfg(test)]
mod tests {
    use contracts::OrderId;
    use contracts::messages::{SCHEMA_VERSION, Status, Step};

    use super::*;

    fn message(order: i64) -> Message {
        Message {
            message_id: format!("wake-up-{order}"),
            order_id: OrderId::try_new(order).unwrap(),
            step: Step::Exchange,
            status: Status::Accepted,
            schema_version: SCHEMA_VERSION,
            occurred_at: "2026-11-22T12:00:00Z".parse().unwrap(),
            traceparent: None,
            result: None,
        }
    }

    fn bounds(envelope_messages: usize, envelope_bytes: usize) -> Bounds {
        Bounds {
            envelope_messages,
            envelope_bytes,
            ..Bounds::default()
        }
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        let messages: Vec<_> = (1..=7).map(message).collect();
        let envelopes = pack(&messages, &bounds(3, 10_000));
        assert_eq!(envelopes.iter().map(|it| it.messages).collect::<Vec<_>>(), [3, 3, 1]);
        let parts = envelopes.iter().flat_map(|it| open(&it.payload).unwrap());
        let out: Vec<_> = parts.map(|part| part.message.unwrap()).collect();
        assert_eq!(out, messages);
        assert_eq!(pack(&[], &bounds(3, 10_000)), []);
    }

    #[test]
    fn no_envelope_of_several_is_larger_than_it_may_be_and_a_large_message_has_its_own() {
        let texts = ["1", "\"22222\"", "3", "4", "5"].map(str::to_owned);
        let envelopes = pack_texts(texts, &bounds(100, 7));
        let payloads: Vec<&[u8]> = envelopes.iter().map(|it| it.payload.as_ref()).collect();
        let expected: [&[u8]; 3] = [b"[1]", b"[\"22222\"]", b"[3,4,5]"];
        assert_eq!(payloads, expected);
    }

    #[test]
    fn what_cannot_be_read_takes_no_neighbour_with_it() {
        let good = serde_json::to_string(&message(1)).unwrap();
        let newer = good.replace("\"exchange\"", "\"hedge\"");
        let parts = open(format!("[{newer},{good}, 7]").as_bytes()).unwrap();
        let readable: Vec<_> = parts.iter().map(|part| part.message.is_ok()).collect();
        assert_eq!(readable, [false, true, false]);
        assert_eq!(parts[0].text, newer);
        assert!(open(b"[").is_err() && open(good.as_bytes()).is_err());
    }
}
