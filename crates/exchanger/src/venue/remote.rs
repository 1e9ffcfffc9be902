//! A venue in another process, behind [`super::server`].
//!
//! What it keeps true:
//!
//! - an answer is what the venue has said of that very order, whole and readable, or [`Answer::Unknown`]. No status, no lost
//!   connection and no wrong token is ever a refusal;
//! - an order is sent again only where it is known that nothing of it arrived. Questions are asked again whatever happens;
//! - absence has the venue's own time, from the same answer.

use async_trait::async_trait;
use transport::http::retry::Repeat;
use transport::http::{Peer, Together};

use crate::ports::{Answer, ClientOrderId, Venue, VenueName, VenueOrder};

/// A [`Venue`] at a peer.
#[derive(Debug)]
pub struct RemoteVenue {
    name: VenueName,
    orders: Together<VenueOrder, Answer>,
    queries: Together<ClientOrderId, Answer>,
}

impl RemoteVenue {
    /// The venue at `peer`, which is called `name` in our books. Calls come back within the peer's `call_timeout` and the
    /// moment that they wait to be sent.
    #[must_use]
    pub fn new(name: VenueName, peer: Peer) -> Self {
        let unknown = |reason| Answer::Unknown { reason };
        Self {
            name,
            orders: Together::new(peer.clone(), "/orders", Repeat::IfNothingWasDone, unknown),
            queries: Together::new(peer, "/queries", Repeat::Always, unknown),
        }
    }
}

#[async_trait]
impl Venue for RemoteVenue {
    fn name(&self) -> &VenueName {
        &self.name
    }

    async fn place(&self, order: &VenueOrder) -> Answer {
        self.orders.ask(*order).await
    }

    async fn find(&self, id: &ClientOrderId) -> Answer {
        self.queries.ask(*id).await
    }
}
