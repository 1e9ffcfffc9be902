//! The simulated chain in another process, behind [`super::server`].
//!
//! What it keeps true:
//!
//! - keys stay here: addresses and signatures are made in this process, and only what is signed leaves it;
//! - an answer is what the chain has said, whole and readable, or unknown. No status, no lost connection and no wrong token
//!   ever means that a transfer is refused or not there.
//!
//! Everything is asked again whatever happens: questions change nothing, and the same bytes sent twice are sent once.

use std::fmt;

use async_trait::async_trait;
use transport::http::retry::Repeat;
use transport::http::{Peer, Together};

use super::server::NonceQuery;
use super::simulated::{SimulatedChain, wire};
use crate::ports::{
    Address, BroadcastAnswer, Chain, FindAnswer, Keys, NonceAnswer, SendCheck, SignedTransfer, TransferDraft,
};

/// A simulated [`Chain`] at a peer.
pub struct RemoteChain {
    pen: wire::Pen,
    checks: Together<TransferDraft, SendCheck>,
    nonces: Together<NonceQuery, NonceAnswer>,
    broadcasts: Together<SignedTransfer, BroadcastAnswer>,
    queries: Together<String, FindAnswer>,
}

impl fmt::Debug for RemoteChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteChain({:?})", self.queries)
    }
}

impl RemoteChain {
    /// The chain at `peer`. Calls come back within the peer's `call_timeout` and the moment that they wait to be sent.
    #[must_use]
    pub fn new(peer: &Peer) -> Self {
        let again = Repeat::Always;
        Self {
            pen: wire::Pen::default(),
            checks: Together::new(peer.clone(), "/checks", again, |reason| SendCheck::Unknown { reason }),
            nonces: Together::new(peer.clone(), "/nonces", again, |reason| NonceAnswer::Unknown { reason }),
            broadcasts: Together::new(peer.clone(), "/broadcasts", again, |reason| BroadcastAnswer::Unknown {
                reason,
            }),
            queries: Together::new(peer.clone(), "/queries", again, |reason| FindAnswer::Unknown { reason }),
        }
    }

    async fn nonce(&self, address: &Address, depth: Option<u32>) -> NonceAnswer {
        let address = address.clone();
        self.nonces.ask(NonceQuery { address, depth }).await
    }
}

#[async_trait]
impl Chain for RemoteChain {
    fn name(&self) -> &'static str {
        SimulatedChain::NAME
    }

    fn address(&self, keys: &Keys) -> Address {
        wire::address(keys)
    }

    fn sign(&self, keys: &Keys, draft: &TransferDraft, nonce: u64) -> SignedTransfer {
        self.pen.sign(keys, draft, nonce)
    }

    async fn can_send(&self, draft: &TransferDraft) -> SendCheck {
        self.checks.ask(draft.clone()).await
    }

    async fn next_nonce(&self, address: &Address) -> NonceAnswer {
        self.nonce(address, None).await
    }

    async fn confirmed_nonce(&self, address: &Address, depth: u32) -> NonceAnswer {
        self.nonce(address, Some(depth)).await
    }

    async fn broadcast(&self, transfer: &SignedTransfer) -> BroadcastAnswer {
        self.broadcasts.ask(transfer.clone()).await
    }

    async fn find(&self, hash: &str) -> FindAnswer {
        self.queries.ask(hash.to_owned()).await
    }
}
