//! Queues inside one process: a bounded channel each. What is in them is lost with the process, which costs time and
//! nothing else: outbox rows and open commands are found by the sweeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::messages::{Message, Queue};
use tokio::sync::{Mutex, mpsc};

use crate::queue::{Delivery, PublishError, Subscription, Transport};

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

    fn channel(&self, queue: Queue) -> &Channel {
        self.queues.get(&queue).expect("made for every queue")
    }
}

#[async_trait]
impl Transport for LocalTransport {
    async fn publish(&self, queue: Queue, messages: Vec<Message>) -> Result<(), PublishError> {
        let sender = &self.channel(queue).sender;
        for message in messages {
            sender
                .send_timeout(message, MAX_WAIT_FOR_ROOM)
                .await
                .map_err(|error| PublishError {
                    queue,
                    reason: error.to_string(),
                })?;
        }
        Ok(())
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
