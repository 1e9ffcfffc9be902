//! The notification service: keeps each order's message, so that a test can wait for it and count them.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use contracts::OrderId;
use contracts::clients::{ClientError, Notification, NotifyCommand, Submission};

/// The messages that users got.
pub(crate) struct Mailbox {
    mails: Mutex<BTreeMap<OrderId, NotifyCommand>>,
    arrived: tokio::sync::watch::Sender<usize>,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            mails: Mutex::default(),
            arrived: tokio::sync::watch::Sender::new(0),
        }
    }
}

impl Mailbox {
    /// Waits for the message about this order.
    pub(crate) async fn mail(&self, id: OrderId) -> NotifyCommand {
        let mut arrivals = self.arrived.subscribe();
        let arrives = async {
            loop {
                if let Some(mail) = self.mails.lock().unwrap().get(&id) {
                    return mail.clone();
                }
                arrivals.changed().await.unwrap();
            }
        };
        tokio::time::timeout(super::PATIENCE, arrives).await.expect("a mail")
    }

    pub(crate) fn count(&self) -> usize {
        self.mails.lock().unwrap().len()
    }
}

#[async_trait]
impl Notification for Mailbox {
    async fn submit(&self, commands: Vec<NotifyCommand>) -> Result<Vec<Submission>, ClientError> {
        assert!((1..=100).contains(&commands.len()));
        let mut mails = self.mails.lock().unwrap();
        let take = |command: NotifyCommand| match mails.get(&command.order_id) {
            Some(stored) if *stored != command => Submission::Conflict,
            Some(_) => Submission::Accepted { replayed: true },
            None => {
                mails.insert(command.order_id, command);
                Submission::Accepted { replayed: false }
            }
        };
        let submissions = commands.into_iter().map(take).collect();
        self.arrived.send_modify(|count| *count += 1);
        Ok(submissions)
    }
}
