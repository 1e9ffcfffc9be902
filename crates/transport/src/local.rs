//! Queues inside one process: a bounded channel each. What is in them is lost with the process, which costs time and
//! nothing else: outbox rows and open commands are found by the sweeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::messages::{Message, Queue};
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use crate::queue::{Delivered, Delivery, PublishError, Subscription, Transport};

/// How long a publisher waits for room before it leaves its rows to the outbox.
const MAX_WAIT_FOR_ROOM: Duration = Duration::from_secs(1);

/// Bounded channels, one for each queue.
pub struct LocalTransport {
    queues: BTreeMap<Queue, Channel>,
}

struct Channel {
    sender: mpsc::Sender<Message>,
    receiver: Arc<Mutex<mpsc::Receiver<Message>>>,
}

impl LocalTransport {
    /// Queues that hold at most `capacity` messages each.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        let queues = Queue::ALL
            .into_iter()
            .map(|queue| {
                let (sender, receiver) = mpsc::channel(capacity.max(1));
                (
                    queue,
                    Channel {
                        sender,
                        receiver: Arc::new(Mutex::new(receiver)),
                    },
                )
            })
            .collect();
        Self { queues }
    }

    /// How many messages wait in a queue now.
    #[must_use]
    pub fn waiting(&self, queue: Queue) -> usize {
        let sender = &self.channel(queue).sender;
        sender.max_capacity().saturating_sub(sender.capacity())
    }

    fn channel(&self, queue: Queue) -> &Channel {
        self.queues.get(&queue).expect("made for every queue")
    }
}

#[async_trait]
impl Transport for LocalTransport {
    /// Waits at most a second for room; messages that fit into the queue together go in together or not at all.
    async fn publish(&self, queue: Queue, messages: Vec<Message>) -> Result<(), PublishError> {
        let sender = &self.channel(queue).sender;
        let mut messages = messages.into_iter().peekable();
        let all = messages.len();
        let publish = async {
            while messages.peek().is_some() {
                let room = messages.len().min(sender.max_capacity());
                let room = sender.reserve_many(room).await.map_err(|_| "it is closed")?;
                room.zip(&mut messages).for_each(|(place, message)| place.send(message));
            }
            Ok(())
        };
        let published = timeout(MAX_WAIT_FOR_ROOM, publish).await.unwrap_or(Err("it is full"));
        published.or_else(|reason: &str| {
            let left = Delivered::NotYet {
                reason: reason.to_owned(),
            };
            let mut outcomes = vec![Delivered::Yes; all - messages.len()];
            outcomes.resize(all, left);
            PublishError::unless_all(queue, outcomes)
        })
    }

    async fn subscribe(&self, queue: Queue) -> Result<Box<dyn Subscription>, PublishError> {
        Ok(Box::new(LocalSubscription {
            receiver: Arc::clone(&self.channel(queue).receiver),
        }))
    }
}

struct LocalSubscription {
    receiver: Arc<Mutex<mpsc::Receiver<Message>>>,
}

#[async_trait]
impl Subscription for LocalSubscription {
    async fn receive(&mut self, max: usize) -> Vec<Delivery> {
        let mut messages = Vec::new();
        self.receiver.lock().await.recv_many(&mut messages, max).await;
        messages.into_iter().map(Delivery::unreceipted).collect()
    }
}
