//! Following orders by their events, as a customer's program does that loses its connection and comes back.

use std::time::Duration;

use cambist::event_stream::{Event, EventStream, Item};
use http::Method;

use crate::api::User;

/// Longer than any order of a test takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Follows an order, from behind the event `last_id` on if one is named.
///
/// # Panics
/// When there is no stream.
pub async fn follow(user: &User, order_id: i64, last_id: Option<&str>) -> EventStream {
    let path = format!("/orders/{}/{order_id}/events", user.id);
    let mut request = user.api.request(Method::GET, &path).bearer_auth(&user.token);
    if let Some(id) = last_id {
        request = request.header("last-event-id", id);
    }
    let answer = request.timeout(PATIENCE).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 200, "{answer:?}");
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    EventStream::new(answer)
}

/// What a stream has told when it ended or broke, and the last comment in it.
pub async fn told(mut stream: EventStream) -> (Vec<Event>, Option<String>) {
    let (mut events, mut comment) = (Vec::new(), None);
    while let Ok(Some(item)) = stream.next().await {
        match item {
            Item::Event(event) => events.push(event),
            Item::Comment(text) => comment = Some(text),
        }
    }
    (events, comment)
}

/// The names of events, in their order.
#[must_use]
pub fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}
