//! `notification` over HTTP. Messages are repeated after any failure: an order has one. `replayed` is then said of the last
//! request.

use async_trait::async_trait;
use contracts::clients::{ClientError, Notification, NotifyCommand, Submission};

use super::batch;
use super::peer::Peer;

/// [`Notification`] at a peer.
#[derive(Debug, Clone)]
pub struct HttpNotification(pub Peer);

#[async_trait]
impl Notification for HttpNotification {
    async fn submit(&self, commands: Vec<NotifyCommand>) -> Result<Vec<Submission>, ClientError> {
        batch::submit(&self.0, &commands, |command| command.order_id).await
    }
}
