//! Publishing: every envelope waits for the server's word that it has it, many at a time, for a bounded time.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use contracts::Entropy;
use contracts::messages::Queue;
use contracts::random::backoff;
use futures::future::join_all;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::connection::{self, Link};
use super::envelope::Envelope;
use super::settings::{Bounds, Times};
use super::streams::{self, StreamError};
use crate::queue::Delivered;

/// How long a full queue is waited for, as in the local transport.
const MAX_WAIT_FOR_ROOM: Duration = Duration::from_secs(1);
/// The first pause between two attempts, which doubles, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Where envelopes go out.
pub(super) struct Publisher {
    pub(super) context: Context,
    pub(super) links: watch::Receiver<Link>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) bounds: Bounds,
    pub(super) times: Times,
    /// How many more envelopes may be under way.
    pub(super) in_flight: Semaphore,
    /// Held by whoever makes a missing stream, so that a hundred envelopes do not make it a hundred times.
    pub(super) making: Mutex<()>,
}

/// Why an envelope was not taken in the end.
enum Refused {
    /// It may be another time.
    NotYet(String),
    /// It is too large for the server.
    Never(String),
}

/// Why an envelope was not taken this time.
enum Refusal {
    /// The stream is not there.
    NoStream,
    /// There is no room.
    Full,
    /// Nobody knows whether it was taken.
    Unknown(String),
    /// It never will be.
    Never(String),
}

impl Publisher {
    /// Hands all envelopes over, and tells what became of each: whatever becomes of one, the others are not given up.
    pub(super) async fn publish(&self, queue: Queue, envelopes: Vec<Envelope>) -> Vec<Delivered> {
        join_all(envelopes.into_iter().map(|envelope| async move {
            match self.publish_one(queue, &envelope).await {
                Ok(()) => Delivered::Yes,
                // In smaller envelopes it may be.
                Err(Refused::Never(error)) if envelope.messages == 1 => Delivered::Never { error },
                Err(Refused::Never(reason) | Refused::NotYet(reason)) => Delivered::NotYet { reason },
            }
        }))
        .await
    }

    async fn publish_one(&self, queue: Queue, envelope: &Envelope) -> Result<(), Refused> {
        let began = Instant::now();
        let give_up = began + self.times.publish;
        let mut reason = String::from("too much is under way");
        let attempts = async {
            let _permit = self.in_flight.acquire().await.expect("never closed");
            // Of this publication only: what is published once more for a reason must not be taken for a duplicate.
            let id = self.entropy.next_id();
            let mut links = self.links.clone();
            for tried in 0.. {
                "there is no connection".clone_into(&mut reason);
                connection::up(&mut links).await;
                "no answer in time".clone_into(&mut reason);
                match self.attempt(queue, envelope, &id).await {
                    Ok(()) => return Ok(()),
                    Err(Refusal::NoStream) => match self.make(queue).await {
                        Ok(()) => continue,
                        Err(StreamError::Unavailable(why)) => reason = why,
                        Err(StreamError::Wrong(why)) => return Err(Refused::NotYet(why)),
                    },
                    Err(Refusal::Full) => {
                        "it is full".clone_into(&mut reason);
                        if began.elapsed() >= MAX_WAIT_FOR_ROOM {
                            return Err(Refused::NotYet(reason.clone()));
                        }
                    }
                    Err(Refusal::Unknown(why)) => reason = why,
                    Err(Refusal::Never(why)) => return Err(Refused::Never(why)),
                }
                // sleep: a server does not tell when it has room or is well again
                tokio::time::sleep(self.entropy.jitter(backoff(FIRST_PAUSE, tried, LONGEST_PAUSE))).await;
            }
            Ok(())
        };
        match timeout_at(give_up, attempts).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Refused::NotYet(reason)),
        }
    }

    async fn attempt(&self, queue: Queue, envelope: &Envelope, id: &str) -> Result<(), Refusal> {
        let publication = PublishMessage::build().message_id(id).payload(envelope.payload.clone());
        let stored = async { self.context.send_publish(queue.as_str(), publication).await?.await };
        let error = match stored.await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        Err(match error.kind() {
            PublishErrorKind::StreamNotFound => Refusal::NoStream,
            PublishErrorKind::MaxPayloadExceeded => Refusal::Never(error.to_string()),
            PublishErrorKind::TimedOut => Refusal::Unknown("no answer in time".to_owned()),
            // "maximum messages exceeded", "maximum bytes exceeded": told apart by their words alone.
            PublishErrorKind::Other if error.to_string().contains("maximum") => Refusal::Full,
            PublishErrorKind::Other
            | PublishErrorKind::WrongLastMessageId
            | PublishErrorKind::WrongLastSequence
            | PublishErrorKind::BrokenPipe
            | PublishErrorKind::MaxAckPending => Refusal::Unknown(error.to_string()),
        })
    }

    async fn make(&self, queue: Queue) -> Result<(), StreamError> {
        let _alone = self.making.lock().await;
        if streams::is_there(&self.context, queue).await? {
            return Ok(());
        }
        // sleep: nothing tells when the server has done away with the stream before
        tokio::time::sleep(self.entropy.jitter(streams::REST)).await;
        let made = streams::ensure(&self.context, queue, &self.bounds).await?;
        if made {
            tracing::warn!(%queue, "the queue was gone and is made again; what was in it comes by the senders' sweeps");
        }
        Ok(())
    }
}
