//! Follows an order: tells what is in its log, and goes on telling as it grows, without a gap and without a repetition.
//!
//! The store is read once the order is watched, and again whenever that wakes us, from the entry told last. So an entry
//! is either read or announced; what another process commits is found by looking again now and then. Nothing is
//! fetched before it is asked for: a slow reader costs a place, and no memory.

use std::collections::VecDeque;
use std::sync::Arc;

use contracts::time::until;
use contracts::{OrderId, UserId};
use jiff::Timestamp;
use service_kit::http::Closing;
use storage::StoreError;
use thiserror::Error;

use super::Wallet;
use super::watch::{NoRoom, Watch};
use crate::domain::{Chapter, OrderState, Story};
use crate::ports::MAX_BATCH;

/// What is to be followed.
pub(crate) struct Follow {
    pub(crate) user: UserId,
    pub(crate) order: OrderId,
    /// The number of the entry that was received last; 0 for none.
    pub(crate) after: i64,
    /// Not beyond this moment: the caller proved who they are until then.
    pub(crate) until: Timestamp,
    pub(crate) closing: Closing,
}

/// Why there is nothing to follow.
#[derive(Debug, Error)]
pub(crate) enum FollowError {
    #[error("the user has no such order")]
    NoOrder,
    #[error("the order has no event {0}")]
    NeverTold(i64),
    #[error("the order has ended, and all of it was told")]
    AllTold,
    #[error("there is no room")]
    NoRoom(NoRoom),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is told.
pub(crate) enum Told {
    Chapter(Box<Chapter>),
    /// The order has ended so, and nothing follows.
    End(OrderState),
    /// Nothing more is told here, for this reason; whoever comes back is told the rest.
    Interrupted(&'static str),
}

/// The follower of one order.
pub(crate) struct Follower {
    wallet: Arc<Wallet>,
    watch: Watch,
    follow: Follow,
    story: Story,
    /// Read and not told yet; no longer than a log.
    next: VecDeque<Chapter>,
    finished: bool,
}

/// Begins to follow an order of this user.
pub(crate) async fn follow_order(wallet: &Arc<Wallet>, follow: Follow) -> Result<Follower, FollowError> {
    let Follow { user, order, after, .. } = follow;
    let watch = wallet.watchers.watch(user, order).map_err(FollowError::NoRoom)?;
    let (_, log) = wallet
        .ports
        .orders
        .order(user, order)
        .await?
        .ok_or(FollowError::NoOrder)?;
    let mut story = Story::new(order);
    // From the beginning, whatever was received: the amounts are told by entries before.
    let chapters = log.into_iter().filter_map(|entry| story.tell(entry));
    let next: VecDeque<_> = chapters.filter(|chapter| chapter.entry.seq > after).collect();
    if after > story.told() {
        return Err(FollowError::NeverTold(after));
    }
    if next.is_empty() && story.state().is_end() {
        return Err(FollowError::AllTold);
    }
    Ok(Follower {
        wallet: Arc::clone(wallet),
        watch,
        follow,
        story,
        next,
        finished: false,
    })
}

impl Follower {
    /// Which order is followed.
    pub(crate) const fn order(&self) -> OrderId {
        self.follow.order
    }

    /// What is told next, once there is something; `None` after the last.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        if self.finished {
            return None;
        }
        loop {
            let told = if self.follow.closing.has_begun() {
                Some(Told::Interrupted("the server is stopping"))
            } else if self.wallet.now() >= self.follow.until {
                Some(Told::Interrupted("the token has expired"))
            } else if let Some(chapter) = self.next.pop_front() {
                return Some(Told::Chapter(Box::new(chapter)));
            } else if self.story.state().is_end() {
                Some(Told::End(self.story.state()))
            } else {
                self.wait().await;
                self.read().await.err()
            };
            if told.is_some() {
                self.finished = true;
                return told;
            }
        }
    }

    /// Until something may have happened.
    async fn wait(&self) {
        let ports = &self.wallet.ports;
        let look_again = ports.entropy.jitter(ports.settings.streams.look_again);
        let pause = look_again.min(until(self.wallet.now(), self.follow.until));
        tokio::select! {
            () = self.watch.woken() => {}
            () = self.follow.closing.begins() => {}
            // sleep: for what another process commits, of which this one hears nothing
            () = tokio::time::sleep(pause) => {}
        }
    }

    async fn read(&mut self) -> Result<(), Told> {
        let Follow { user, order, .. } = self.follow;
        let unavailable = |error: StoreError| {
            tracing::warn!(order_id = %order, %error, "an order cannot be followed any more");
            Told::Interrupted("temporarily unavailable")
        };
        let ports = &self.wallet.ports;
        // Whoever is frozen would be turned away now.
        if ports.freezes.is_frozen(user).await.map_err(unavailable)? {
            return Err(Told::Interrupted("the account is frozen"));
        }
        let read = ports.orders.log_after(order, self.story.told(), MAX_BATCH).await;
        for entry in read.map_err(unavailable)? {
            self.next.extend(self.story.tell(entry));
        }
        Ok(())
    }
}
