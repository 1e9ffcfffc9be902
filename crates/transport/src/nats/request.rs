//! A request for envelopes that stands at the server, until it brought what was asked for or its time is over.
//!
//! What it keeps true: nothing that comes by it is lost to a listener that went away. The server goes on sending to an inbox
//! until it hears that nobody reads it, and would then wait half a minute for a word about what it sent. So the inbox stays
//! until the request is over, and what comes is handed back at once. It is over soon: that is why requests are short.

use std::time::Duration;

use async_nats::jetstream::{self, AckKind, Context};
use async_nats::{StatusCode, Subscriber};
use futures::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

/// How much later than a request's end the server may say so.
const GRACE: Duration = Duration::from_secs(1);

pub(super) struct Request {
    /// Room for those that have not arrived.
    pub(super) room: OwnedSemaphorePermit,
    /// Whether any arrived.
    pub(super) served: bool,
    /// When the server forgets it.
    pub(super) ends: Instant,
    /// When the server has been silent for too long.
    pub(super) overdue: Instant,
}

impl Request {
    /// Hands back what still comes. Ends with the request, a second later at most.
    pub(super) async fn give_back(self, mut arrivals: Subscriber, context: Context) {
        let mut missing = self.room.num_permits();
        // Whoever asks next may have the room.
        drop(self.room);
        let giving_back = async {
            while missing > 0
                && let Some(message) = arrivals.next().await
            {
                if message.status.is_some_and(|status| status != StatusCode::OK) {
                    return;
                }
                missing -= 1;
                let context = context.clone();
                let arrived = jetstream::Message { message, context };
                if let Err(error) = arrived.ack_with(AckKind::Nak(None)).await {
                    tracing::debug!(%error, "an envelope could not be given back; it comes again later");
                }
            }
        };
        let _ = timeout_at(self.ends + GRACE, giving_back).await;
    }
}
