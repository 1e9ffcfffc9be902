//! Queues between processes: a JetStream work-queue stream of NATS each, with one consumer that all its listeners share.
//!
//! The store of the server may be lost at any time: what is in it is a wake-up, the databases hold the truth, and the sweeps
//! of senders and receivers find what got lost. So it costs time and nothing else, and an envelope is acknowledged after the
//! commit of what it caused.
//!
//! What it keeps true: a message is told as published when the server has it; an envelope is given up only when it is
//! stored as a dead letter; everything that is missing at the server is made again without a restart.

mod connection;
mod envelope;
mod in_hand;
mod listener;
mod publisher;
mod request;
mod settings;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::{self, Context};
use async_trait::async_trait;
use contracts::messages::{Message, Queue};
use contracts::{Clock, Entropy};
use storage::letters::DeadLetterStore;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use self::connection::ConnectError;
use self::connection::Link;
use self::publisher::Publisher;
pub use self::settings::{Bounds, Credentials, NatsSettings, Times, Tls};
use self::streams::StreamError;
use crate::metrics::TransportMetrics;
use crate::queue::{Delivered, PublishError, Subscription, Transport};

/// What is left for the headers of a publication, its id, in what a server takes at once.
const HEADER_BYTES: usize = 256;

/// What a transport needs from its process.
pub struct NatsParts {
    /// Where messages go that cannot be read.
    pub letters: Arc<dyn DeadLetterStore>,
    /// The time of dead letters.
    pub clock: Arc<dyn Clock>,
    /// Jitter, and the names of publications.
    pub entropy: Arc<dyn Entropy>,
    /// Where it counts.
    pub metrics: Arc<TransportMetrics>,
}

/// The queues on a NATS server. Dropping it ends its listeners.
pub struct NatsTransport {
    shared: Arc<Shared>,
    _open: DropGuard,
}

/// What listeners and publishers have in common.
struct Shared {
    settings: NatsSettings,
    client: Client,
    context: Context,
    links: watch::Receiver<Link>,
    publisher: Publisher,
    letters: Arc<dyn DeadLetterStore>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    metrics: Arc<TransportMetrics>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl Shared {
    /// The bounds of envelopes: ours, and what the server takes.
    fn envelope_bounds(&self) -> Bounds {
        let bounds = self.settings.bounds.clone();
        let taken = self.client.max_payload().saturating_sub(HEADER_BYTES);
        Bounds {
            envelope_bytes: bounds.envelope_bytes.min(taken),
            ..bounds
        }
    }
}

impl NatsTransport {
    /// Connects, and makes the queues that are missing. Waits for a server that is not there yet, for as long as the settings
    /// say; once connected, it is reconnected for ever.
    ///
    /// # Errors
    /// In one line, why there are no queues.
    pub async fn connect(settings: NatsSettings, parts: NatsParts) -> Result<Self, ConnectError> {
        let (client, links) = connection::connect(&settings, &parts.entropy).await?;
        let mut context = jetstream::new(client.clone());
        context.set_timeout(settings.times.answer);
        for queue in Queue::ALL {
            make_sure_of(&context, queue, &settings, &parts.entropy).await?;
        }
        let publisher = Publisher {
            context: context.clone(),
            links: links.clone(),
            entropy: Arc::clone(&parts.entropy),
            bounds: settings.bounds.clone(),
            times: settings.times.clone(),
            in_flight: Semaphore::new(settings.bounds.in_flight.max(1)),
            making: Mutex::new(()),
        };
        let closing = CancellationToken::new();
        let shared = Shared {
            settings,
            client,
            context,
            links,
            publisher,
            letters: parts.letters,
            clock: parts.clock,
            entropy: parts.entropy,
            metrics: parts.metrics,
            closing: closing.clone(),
            tasks: TaskTracker::new(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            _open: closing.drop_guard(),
        })
    }
}

/// Has a queue before anything is sent to it, so that what is wrong with the server is told at the start.
async fn make_sure_of(
    context: &Context,
    queue: Queue,
    settings: &NatsSettings,
    entropy: &Arc<dyn Entropy>,
) -> Result<(), ConnectError> {
    let give_up = tokio::time::Instant::now() + settings.patience;
    loop {
        let reason = match streams::ensure(context, queue, &settings.bounds).await {
            Ok(_) => return Ok(()),
            // A server that has just started may not have its store ready.
            Err(StreamError::Unavailable(_)) if tokio::time::Instant::now() < give_up => {
                // sleep: a server does not tell when it is well again
                tokio::time::sleep(entropy.jitter(Duration::from_millis(100))).await;
                continue;
            }
            Err(StreamError::Unavailable(reason) | StreamError::Wrong(reason)) => reason,
        };
        let url = settings.url.clone();
        return Err(ConnectError::Queue { url, queue, reason });
    }
}

#[async_trait]
impl Transport for NatsTransport {
    /// Waits for the server's word, five seconds at most as usual, one of them for room. What is larger than the server takes
    /// is never published.
    async fn publish(&self, queue: Queue, messages: Vec<Message>) -> Result<(), PublishError> {
        let envelopes = envelope::pack(&messages, &self.shared.envelope_bounds());
        let sizes: Vec<usize> = envelopes.iter().map(|envelope| envelope.messages).collect();
        let outcomes = self.shared.publisher.publish(queue, envelopes).await;
        // A message has the fate of its envelope.
        let each = outcomes.into_iter().zip(sizes);
        let outcomes: Vec<_> = each
            .flat_map(|(outcome, messages)| std::iter::repeat_n(outcome, messages))
            .collect();
        let published = outcomes.iter().filter(|outcome| **outcome == Delivered::Yes).count();
        let metrics = &self.shared.metrics;
        metrics.published.add(u64::try_from(published).unwrap_or(u64::MAX));
        let refused = outcomes.len() - published;
        metrics.refused.add(u64::try_from(refused).unwrap_or(u64::MAX));
        PublishError::unless_all(queue, outcomes)
    }

    async fn subscribe(&self, queue: Queue) -> Result<Box<dyn Subscription>, PublishError> {
        Ok(Box::new(listener::listen(&self.shared, queue)))
    }

    fn readiness(&self) -> Result<(), String> {
        if self.shared.links.borrow().up {
            Ok(())
        } else {
            Err("there is no connection to NATS".to_owned())
        }
    }

    async fn close(&self, patience: Duration) -> bool {
        let shared = &self.shared;
        shared.closing.cancel();
        shared.tasks.close();
        let settled = async {
            shared.tasks.wait().await;
            shared.client.flush().await
        };
        matches!(tokio::time::timeout(patience, settled).await, Ok(Ok(())))
    }
}
