//! A chain whose calls end: whatever an adapter does, the gateway gets an answer in time. Each answer is counted.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::metrics::Metrics;
use crate::ports::{
    Address, BroadcastAnswer, Chain, FindAnswer, Keys, NonceAnswer, SendCheck, SignedTransfer, TransferDraft,
};

/// Another chain, each call of which is cut off after a while. What was cut off is unknown, not failed.
pub(crate) struct Bounded {
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) limit: Duration,
    pub(crate) metrics: Arc<Metrics>,
}

impl Bounded {
    fn late(&self) -> String {
        format!("no answer within {} ms", self.limit.as_millis())
    }
}

#[async_trait]
impl Chain for Bounded {
    fn name(&self) -> &'static str {
        self.chain.name()
    }

    fn address(&self, keys: &Keys) -> Address {
        self.chain.address(keys)
    }

    fn sign(&self, keys: &Keys, draft: &TransferDraft, nonce: u64) -> SignedTransfer {
        self.chain.sign(keys, draft, nonce)
    }

    async fn can_send(&self, draft: &TransferDraft) -> SendCheck {
        let answer = timeout(self.limit, self.chain.can_send(draft))
            .await
            .unwrap_or_else(|_| SendCheck::Unknown { reason: self.late() });
        self.metrics.chain.checked(&answer);
        answer
    }

    async fn next_nonce(&self, address: &Address) -> NonceAnswer {
        let answer = timeout(self.limit, self.chain.next_nonce(address))
            .await
            .unwrap_or_else(|_| NonceAnswer::Unknown { reason: self.late() });
        self.metrics.chain.counted(&answer);
        answer
    }

    async fn confirmed_nonce(&self, address: &Address, depth: u32) -> NonceAnswer {
        let answer = timeout(self.limit, self.chain.confirmed_nonce(address, depth))
            .await
            .unwrap_or_else(|_| NonceAnswer::Unknown { reason: self.late() });
        self.metrics.chain.counted(&answer);
        answer
    }

    async fn broadcast(&self, transfer: &SignedTransfer) -> BroadcastAnswer {
        let answer = timeout(self.limit, self.chain.broadcast(transfer))
            .await
            .unwrap_or_else(|_| BroadcastAnswer::Unknown { reason: self.late() });
        self.metrics.chain.sent(&answer);
        answer
    }

    async fn find(&self, hash: &str) -> FindAnswer {
        let answer = timeout(self.limit, self.chain.find(hash))
            .await
            .unwrap_or_else(|_| FindAnswer::Unknown { reason: self.late() });
        self.metrics.chain.found(&answer);
        answer
    }
}
