//! A listener's end of a queue: it asks the server for as many envelopes as it has room for, and for no more.
//!
//! The requests are made here, not by the library's stream, which asks for more as soon as envelopes are handed out: then a
//! slow listener would hold more and more of them, and a neighbour that is free would get none.
//!
//! What it keeps true: a listener holds at most `in_hand` envelopes; whatever happens to the connection, the consumer, the
//! stream or the whole store, it goes on asking, and makes again what is missing.

use std::sync::Arc;
use std::time::Duration;

use async_nats::StatusCode;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_trait::async_trait;
use contracts::messages::Queue;
use contracts::random::backoff;
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::DropGuard;

use super::Shared;
use super::connection::{self, Link};
use super::in_hand::InHand;
use super::streams::{self, StreamError};
use crate::queue::{Delivery, Subscription};

/// The first pause before a listener that broke tries again, which doubles, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How many heartbeats long a request for envelopes stands.
const REQUEST_HEARTBEATS: u32 = 6;

/// The messages of envelopes that this listener holds.
pub(super) struct NatsSubscription {
    envelopes: mpsc::Receiver<Vec<Delivery>>,
    /// What of an envelope did not fit into a batch.
    rest: std::vec::IntoIter<Delivery>,
    _end: DropGuard,
}

#[async_trait]
impl Subscription for NatsSubscription {
    async fn receive(&mut self, max: usize) -> Vec<Delivery> {
        if self.rest.len() == 0 {
            match self.envelopes.recv().await {
                // From here on nothing is waited for: whoever stops waiting finds everything where it was.
                Some(envelope) => self.rest = envelope.into_iter(),
                None => return Vec::new(),
            }
        }
        let mut batch: Vec<Delivery> = self.rest.by_ref().take(max).collect();
        while batch.len() < max
            && let Ok(envelope) = self.envelopes.try_recv()
        {
            self.rest = envelope.into_iter();
            batch.extend(self.rest.by_ref().take(max - batch.len()));
        }
        batch
    }
}

/// Why a listener begins anew.
enum Broken {
    /// The connection is gone, or another one: what was asked over the old one is forgotten.
    Disconnected,
    /// The stream or the consumer is not there any more.
    Gone,
    /// The server does not do what it was asked for.
    Failed(String),
    /// Messages are there, we have room, and none arrives.
    Stalled,
}

/// A request for envelopes that stands.
struct Request {
    /// Room for those that have not arrived.
    room: OwnedSemaphorePermit,
    /// Whether any arrived.
    served: bool,
    /// When the server has been silent for too long.
    overdue: Instant,
}

struct Listener {
    shared: Arc<Shared>,
    queue: Queue,
    envelopes: mpsc::Sender<Vec<Delivery>>,
    room: Arc<Semaphore>,
    links: watch::Receiver<Link>,
    /// Whether this listener had a consumer before: then a missing one is news.
    began: bool,
    /// How often in a row nothing arrived where something was.
    stalls: u32,
    /// How often in a row it had to begin anew without an envelope in between.
    failures: u32,
}

/// Starts a listener; it ends when its subscription is dropped or the transport is closed.
pub(super) fn listen(shared: &Arc<Shared>, queue: Queue) -> NatsSubscription {
    let in_hand = usize::from(shared.settings.bounds.in_hand.max(1));
    let (envelopes, subscription) = mpsc::channel(in_hand);
    let stop = shared.closing.child_token();
    let listener = Listener {
        shared: Arc::clone(shared),
        queue,
        envelopes,
        room: Arc::new(Semaphore::new(in_hand)),
        links: shared.links.clone(),
        began: false,
        stalls: 0,
        failures: 0,
    };
    let until = stop.clone();
    shared
        .tasks
        .spawn(async move { until.run_until_cancelled(listener.run()).await });
    NatsSubscription {
        envelopes: subscription,
        rest: Vec::new().into_iter(),
        _end: stop.drop_guard(),
    }
}

impl Listener {
    /// Without end.
    async fn run(mut self) {
        loop {
            let link = connection::up(&mut self.links).await;
            let broken = match self.consumer().await {
                Ok(consumer) => self.serve(&consumer, link).await,
                Err(error) => Broken::Failed(error.to_string()),
            };
            let rest = if matches!(broken, Broken::Gone) {
                streams::REST
            } else {
                Duration::ZERO
            };
            match broken {
                Broken::Disconnected => self.failures = 0,
                Broken::Gone => tracing::debug!(queue = %self.queue, "the consumer is gone"),
                Broken::Failed(reason) => {
                    tracing::warn!(queue = %self.queue, reason, "the queue cannot be read; again shortly");
                }
                Broken::Stalled => {
                    self.stalls += 1;
                    tracing::warn!(queue = %self.queue, "messages wait and none arrives; asking anew");
                }
            }
            let pause = backoff(FIRST_PAUSE, self.failures, LONGEST_PAUSE).max(rest);
            self.failures += 1;
            // sleep: a server does not tell when it is well again
            tokio::time::sleep(self.shared.entropy.jitter(pause)).await;
        }
    }

    /// The queue's consumer; made again where it is missing, or where asking anew did not help.
    async fn consumer(&mut self) -> Result<PullConsumer, StreamError> {
        let Shared { context, settings, .. } = self.shared.as_ref();
        if self.stalls > 1 {
            let name = self.queue.as_str();
            // What it had handed out is handed out again, by the next one.
            let deleted = context.delete_consumer_from_stream(name, name).await;
            tracing::warn!(
                queue = name,
                ok = deleted.is_ok(),
                "a consumer that hands out nothing is made anew"
            );
            self.stalls = 0;
        }
        let (consumer, made) = streams::consumer(context, self.queue, &settings.bounds, &settings.times).await?;
        if made && self.began {
            self.shared.metrics.rebuilt.one();
            tracing::warn!(queue = %self.queue, "the queue's consumer was gone and is made again");
        }
        self.began = true;
        Ok(consumer)
    }

    /// Takes envelopes over one connection for as long as they come.
    async fn serve(&mut self, consumer: &PullConsumer, link: Link) -> Broken {
        let inbox = self.shared.client.new_inbox();
        let mut arrivals = match self.shared.client.subscribe(inbox.clone()).await {
            Ok(arrivals) => arrivals,
            Err(error) => return Broken::Failed(error.to_string()),
        };
        let mut links = self.links.clone();
        let mut request: Option<Request> = None;
        loop {
            let overdue = request.as_ref().map(|request| request.overdue);
            tokio::select! {
                biased;
                arrival = arrivals.next() => {
                    let Some(arrival) = arrival else {
                        return Broken::Failed("the subscription ended".to_owned());
                    };
                    if let Some(broken) = self.take(arrival, &mut request, consumer).await {
                        return broken;
                    }
                }
                () = connection::changed(&mut links, link) => return Broken::Disconnected,
                room = all_room(&self.room), if request.is_none() => {
                    if let Err(error) = consumer.request_batch(self.batch(&room), inbox.clone().into()).await {
                        return Broken::Failed(error.to_string());
                    }
                    request = Some(Request { room, served: false, overdue: self.overdue() });
                }
                // sleep: a heartbeat that stays away is nothing that could be waited for
                () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => {
                    let broken = self.diagnose(consumer).await;
                    return broken.unwrap_or_else(|| Broken::Failed("no heartbeat".to_owned()));
                }
            }
        }
    }

    fn batch(&self, room: &OwnedSemaphorePermit) -> BatchConfig {
        let heartbeat = self.shared.settings.times.heartbeat;
        BatchConfig {
            batch: room.num_permits(),
            expires: Some(heartbeat * REQUEST_HEARTBEATS),
            idle_heartbeat: heartbeat,
            ..BatchConfig::default()
        }
    }

    fn overdue(&self) -> Instant {
        Instant::now() + self.shared.settings.times.heartbeat * 3
    }

    /// An envelope, or what the server has to say of a request.
    async fn take(
        &mut self,
        arrival: async_nats::Message,
        request: &mut Option<Request>,
        consumer: &PullConsumer,
    ) -> Option<Broken> {
        let status = arrival.status.unwrap_or(StatusCode::OK);
        if let Some(request) = request {
            request.overdue = self.overdue();
        }
        match status {
            StatusCode::OK => {
                self.carry(arrival, request);
                None
            }
            StatusCode::IDLE_HEARTBEAT => None,
            StatusCode::TIMEOUT | StatusCode::NOT_FOUND => match request.take() {
                Some(request) if !request.served => self.diagnose(consumer).await,
                Some(_) | None => None,
            },
            StatusCode::NO_RESPONDERS => Some(Broken::Gone),
            _ => {
                let said = arrival.description.unwrap_or_default();
                Some(if said.contains("Deleted") {
                    Broken::Gone
                } else {
                    Broken::Failed(format!("{status} {said}"))
                })
            }
        }
    }

    fn carry(&mut self, arrival: async_nats::Message, request: &mut Option<Request>) {
        (self.failures, self.stalls) = (0, 0);
        // One that was asked for over a connection that broke has no room of its own, and is rather held than lost.
        let place = request.as_mut().and_then(|request| {
            request.served = true;
            request.room.split(1)
        });
        if request.as_ref().is_some_and(|request| request.room.num_permits() == 0) {
            *request = None;
        }
        let shared = Arc::clone(&self.shared);
        let in_hand = InHand {
            shared,
            queue: self.queue,
        };
        let listener = self.envelopes.clone();
        let envelope = async_nats::jetstream::Message {
            message: arrival,
            context: self.shared.context.clone(),
        };
        self.shared.tasks.spawn(async move {
            in_hand.carry(envelope, listener).await;
            drop(place);
        });
    }

    /// Why nothing arrives, if there is a reason but that nothing is there.
    async fn diagnose(&mut self, consumer: &PullConsumer) -> Option<Broken> {
        match consumer.get_info().await {
            Ok(info) => {
                let most = usize::try_from(info.config.max_ack_pending).unwrap_or(usize::MAX);
                if info.num_pending > 0 && info.num_ack_pending < most {
                    return Some(Broken::Stalled);
                }
                // Two stalls with a healthy look in between are not in a row.
                self.stalls = 0;
                None
            }
            Err(error) => Some(match error.kind() {
                ConsumerInfoErrorKind::NotFound | ConsumerInfoErrorKind::StreamNotFound => Broken::Gone,
                ConsumerInfoErrorKind::InvalidName
                | ConsumerInfoErrorKind::Offline
                | ConsumerInfoErrorKind::Request
                | ConsumerInfoErrorKind::JetStream(_)
                | ConsumerInfoErrorKind::TimedOut
                | ConsumerInfoErrorKind::NoResponders => Broken::Failed(error.to_string()),
            }),
        }
    }
}

/// Waits for room for one envelope, and takes as much as there is.
async fn all_room(room: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let mut all = Arc::clone(room).acquire_owned().await.expect("never closed");
    while let Ok(more) = Arc::clone(room).try_acquire_owned() {
        all.merge(more);
    }
    all
}
