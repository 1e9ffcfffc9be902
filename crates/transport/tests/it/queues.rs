//! The two transports, so that a story can be told over either: inside one process, and over a real NATS server.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::messages::{Message, Queue};
use jiff::Timestamp;
use storage::StoreError;
use storage::letters::DeadLetterStore;
use storage::outbox::Destination;
use test_servers::nats::Nats;
use tokio::sync::watch;
use transport::local::LocalTransport;
use transport::metrics::TransportMetrics;
use transport::nats::{Bounds, ConnectError, NatsParts, NatsSettings, NatsTransport, Times};
use transport::queue::{Delivery, Subscription, Transport};

use crate::given::{entropy, noon, soon, wake_up};

pub(crate) const QUEUE: Queue = Queue::ExchangeOrders;

/// Declares each test twice, as `local::name` and as `nats::name`.
macro_rules! on_both_transports {
    ($($name:ident,)*) => {
        mod local {
            $(#[tokio::test] async fn $name() { super::$name(crate::queues::Kind::Local).await; })*
        }
        mod nats {
            $(#[tokio::test] async fn $name() { super::$name(crate::queues::Kind::Nats).await; })*
        }
    };
}
pub(crate) use on_both_transports;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Local,
    Nats,
}

/// A transport with nothing in it.
pub(crate) struct Queues {
    pub(crate) transport: Arc<dyn Transport>,
    /// Ends after the transport.
    _server: Option<Nats>,
}

impl std::ops::Deref for Queues {
    type Target = dyn Transport;

    fn deref(&self) -> &Self::Target {
        self.transport.as_ref()
    }
}

impl Kind {
    /// Queues for `capacity` messages each.
    pub(crate) async fn queues(self, capacity: usize) -> Queues {
        match self {
            Self::Local => Queues {
                transport: Arc::new(LocalTransport::new(capacity)),
                _server: None,
            },
            Self::Nats => {
                let given = given_nats();
                let bounds = Bounds {
                    queue_envelopes: capacity.try_into().unwrap(),
                    // A queue there is bounded in envelopes.
                    envelope_messages: 1,
                    ..Bounds::default()
                };
                let transport = given.transport_with(|settings| settings.bounds = bounds).await;
                Queues {
                    transport: Arc::new(transport),
                    _server: Some(given.server),
                }
            }
        }
    }
}

/// A NATS server, and what transports on it share.
pub(crate) struct GivenNats {
    pub(crate) server: Nats,
    pub(crate) letters: Arc<Letters>,
    pub(crate) metrics: Arc<TransportMetrics>,
}

pub(crate) fn given_nats() -> GivenNats {
    GivenNats {
        server: Nats::start(),
        letters: Arc::default(),
        metrics: Arc::default(),
    }
}

impl GivenNats {
    pub(crate) async fn transport(&self) -> NatsTransport {
        self.transport_with(|_| {}).await
    }

    pub(crate) async fn transport_with(&self, change: impl FnOnce(&mut NatsSettings)) -> NatsTransport {
        let mut settings = NatsSettings::new(self.server.url());
        change(&mut settings);
        self.connect(settings).await.unwrap()
    }

    pub(crate) fn connect(
        &self,
        settings: NatsSettings,
    ) -> impl Future<Output = Result<NatsTransport, ConnectError>> + use<> {
        let parts = NatsParts {
            letters: self.letters.clone(),
            clock: Arc::new(contracts::time::ManualClock::new(noon())),
            entropy: entropy(),
            metrics: Arc::clone(&self.metrics),
        };
        soon(NatsTransport::connect(settings, parts))
    }

    /// A client that knows nothing of our habits.
    pub(crate) async fn stranger(&self) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(async_nats::connect(self.server.url()).await.unwrap())
    }
}

/// Times at which a server that lost something does not take half a minute to notice.
pub(crate) fn impatient() -> Times {
    Times {
        ack_wait: Duration::from_millis(1_500),
        request: Duration::from_millis(300),
        ..Times::default()
    }
}

/// Dead letters, as (source, payload, error), and how many are refused first.
#[derive(Default)]
pub(crate) struct Letters {
    pub(crate) buried: watch::Sender<Vec<(Destination, String, String)>>,
    pub(crate) refusals: Mutex<u32>,
}

impl Letters {
    /// Waits until there are so many.
    pub(crate) async fn come(&self, letters: usize) -> Vec<(Destination, String, String)> {
        let mut buried = self.buried.subscribe();
        soon(buried.wait_for(|buried| buried.len() >= letters))
            .await
            .unwrap()
            .clone()
    }
}

#[async_trait]
impl DeadLetterStore for Letters {
    async fn bury(
        &self,
        _now: Timestamp,
        source: Destination,
        payload: String,
        error: String,
    ) -> Result<(), StoreError> {
        {
            let mut refusals = self.refusals.lock().unwrap();
            if *refusals > 0 {
                *refusals -= 1;
                return Err(StoreError::Overloaded);
            }
        }
        self.buried.send_modify(|buried| buried.push((source, payload, error)));
        Ok(())
    }
}

pub(crate) fn orders(from: i64, to: i64) -> Vec<Message> {
    (from..=to).map(wake_up).collect()
}

pub(crate) fn order_of(delivery: &Delivery) -> i64 {
    delivery.message.order_id.get()
}

/// One batch, done with.
pub(crate) async fn received(listener: &mut Box<dyn Subscription>, max: usize) -> Vec<i64> {
    let deliveries = soon(listener.receive(max)).await;
    let orders = deliveries.iter().map(order_of).collect();
    for delivery in deliveries {
        delivery.done().await;
    }
    orders
}

/// Batches until there are so many messages, all done with; in their order.
pub(crate) async fn received_in_all(listener: &mut Box<dyn Subscription>, messages: usize) -> Vec<i64> {
    let mut seen = Vec::new();
    while seen.len() < messages {
        let batch = received(listener, 100).await;
        assert!(!batch.is_empty(), "the queue is closed after {seen:?}");
        seen.extend(batch);
    }
    seen.sort_unstable();
    seen
}
