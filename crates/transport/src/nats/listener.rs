//! A listener's end of a queue: it asks the server for as many envelopes as it has room for, and for no more.
//!
//! The requests are made here, not by the library's stream, which asks for more as soon as envelopes are handed out: then a
//! slow listener would hold more and more of them, and a neighbour that is free would get none.
//!
//! What it keeps true: a listener holds at most `in_hand` envelopes; whatever happens to the connection, the consumer, the
//! stream or the whole store, it goes on asking, and makes again what is missing; what it asked for and does not want any more
//! is given back when it comes.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::pull::BatchConfig;
use async_nats::jetstream::context::ConsumerInfoErrorKind;
use async_nats::{StatusCode, Subject, Subscriber};
use async_trait::async_trait;
use contracts::messages::Queue;
use contracts::random::backoff;
use futures::StreamExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Shared;
use super::connection::{self, Link};
use super::in_hand::InHand;
use super::request::Request;
use super::streams::{self, StreamError};
use crate::queue::{Delivery, Subscription};

/// The first pause before a listener that broke tries again, which doubles, and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After how many requests in a row that brought nothing it is looked for a reason.
const LOOK_AFTER: u32 = 30;

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

struct Listener {
    shared: Arc<Shared>,
    queue: Queue,
    envelopes: mpsc::Sender<Vec<Delivery>>,
    room: Arc<Semaphore>,
    links: watch::Receiver<Link>,
    stop: CancellationToken,
    /// Whether this listener had a consumer before: then a missing one is news.
    began: bool,
    /// How many requests in a row brought nothing.
    unserved: u32,
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
        stop: stop.clone(),
        began: false,
        unserved: 0,
        stalls: 0,
        failures: 0,
    };
    shared.tasks.spawn(listener.run());
    NatsSubscription {
        envelopes: subscription,
        rest: Vec::new().into_iter(),
        _end: stop.drop_guard(),
    }
}

impl Listener {
    /// Until it is to stop.
    async fn run(mut self) {
        let stop = self.stop.clone();
        while let Some(broken) = self.round().await {
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
            let pause = tokio::time::sleep(self.shared.entropy.jitter(pause));
            if stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// Listens until something breaks; `None` when it is to stop.
    async fn round(&mut self) -> Option<Broken> {
        let stop = self.stop.clone();
        let link = stop.run_until_cancelled(connection::up(&mut self.links)).await?;
        match stop.run_until_cancelled(self.consumer()).await? {
            Ok(consumer) => self.serve(&consumer, link).await,
            Err(error) => Some(Broken::Failed(error.to_string())),
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

    /// Listens over one connection. However that ends, what was asked for and still comes is given back: the server would
    /// keep what it sent to nobody until its wait for a word is over.
    async fn serve(&mut self, consumer: &PullConsumer, link: Link) -> Option<Broken> {
        let inbox = self.shared.client.new_inbox();
        let mut arrivals = match self.shared.client.subscribe(inbox.clone()).await {
            Ok(arrivals) => arrivals,
            Err(error) => return Some(Broken::Failed(error.to_string())),
        };
        let (mut request, stop) = (None, self.stop.clone());
        let receiving = self.receive(consumer, link, inbox.into(), &mut arrivals, &mut request);
        let broken = stop.run_until_cancelled(receiving).await;
        if let Some(request) = request {
            let context = self.shared.context.clone();
            self.shared.tasks.spawn(request.give_back(arrivals, context));
        }
        broken
    }

    /// Takes envelopes for as long as they come.
    async fn receive(
        &mut self,
        consumer: &PullConsumer,
        link: Link,
        inbox: Subject,
        arrivals: &mut Subscriber,
        request: &mut Option<Request>,
    ) -> Broken {
        let mut links = self.links.clone();
        loop {
            let overdue = request.as_ref().map(|request| request.overdue);
            tokio::select! {
                biased;
                arrival = arrivals.next() => {
                    let Some(arrival) = arrival else {
                        return Broken::Failed("the subscription ended".to_owned());
                    };
                    if let Some(broken) = self.take(arrival, request, consumer).await {
                        return broken;
                    }
                }
                () = connection::changed(&mut links, link) => return Broken::Disconnected,
                room = all_room(&self.room), if request.is_none() => {
                    // Before it is sent: whether it was is not known of one that is stopped on the way.
                    let batch = self.batch(&room);
                    *request = Some(self.request(room));
                    if let Err(error) = consumer.request_batch(batch, inbox.clone()).await {
                        return Broken::Failed(error.to_string());
                    }
                }
                // sleep: an answer that stays away is nothing that could be waited for
                () = sleep_until(overdue.unwrap_or_else(Instant::now)), if overdue.is_some() => {
                    let broken = self.diagnose(consumer).await;
                    return broken.unwrap_or_else(|| Broken::Failed("no answer to a request".to_owned()));
                }
            }
        }
    }

    fn batch(&self, room: &OwnedSemaphorePermit) -> BatchConfig {
        BatchConfig {
            batch: room.num_permits(),
            expires: Some(self.shared.settings.times.request),
            ..BatchConfig::default()
        }
    }

    fn request(&self, room: OwnedSemaphorePermit) -> Request {
        Request {
            room,
            served: false,
            ends: Instant::now() + self.shared.settings.times.request,
            overdue: self.overdue(),
        }
    }

    fn overdue(&self) -> Instant {
        let times = &self.shared.settings.times;
        Instant::now() + times.request + times.answer * 2
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
                Some(request) if !request.served => {
                    self.unserved += 1;
                    if self.unserved.is_multiple_of(LOOK_AFTER) {
                        self.diagnose(consumer).await
                    } else {
                        None
                    }
                }
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
        (self.failures, self.stalls, self.unserved) = (0, 0, 0);
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
