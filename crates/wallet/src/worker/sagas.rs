//! The saga worker: takes results from the queue, a hundred at a time, and several hundred at once.
//!
//! Commit first, then tell the queue. A batch that cannot be stored is delivered again, or found by the sweep.

use std::sync::Arc;
use std::time::Duration;

use contracts::messages::{Message, Queue};
use contracts::traces::{self, Span};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use transport::queue::{Delivery, Subscription};

use crate::ports::MAX_BATCH;
use crate::use_cases::Wallet;
use crate::use_cases::apply_results::apply_results;

/// The most batches under way; they share the store's commits.
const MAX_BATCHES: usize = 8;
/// The pause before messages are delivered again that could not be stored, or are for a newer program.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Runs until `stop` or until the queue is closed; then finishes the batches that are under way.
pub(super) async fn run(wallet: Arc<Wallet>, mut steps: Box<dyn Subscription>, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(MAX_BATCHES));
    let mut batches = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            break;
        };
        let deliveries = tokio::select! {
            () = stop.cancelled() => break,
            deliveries = steps.receive(MAX_BATCH) => deliveries,
        };
        if deliveries.is_empty() {
            break;
        }
        let wallet = Arc::clone(&wallet);
        batches.spawn(async move {
            settle(&wallet, deliveries).await;
            drop(permit);
        });
        while batches.try_join_next().is_some() {}
    }
    while batches.join_next().await.is_some() {}
}

async fn settle(wallet: &Wallet, deliveries: Vec<Delivery>) {
    let messages: Vec<&Message> = deliveries.iter().map(|delivery| &delivery.message).collect();
    let mut spans = traced(&messages);
    let applied = apply_results(wallet, &messages).await;
    if applied.is_err() {
        spans.iter_mut().for_each(Span::fail);
    }
    drop(spans);
    match applied {
        Ok(for_newer) => {
            for (place, delivery) in deliveries.into_iter().enumerate() {
                if for_newer.contains(&place) {
                    delivery.again(wallet.ports.entropy.jitter(AGAIN_AFTER)).await;
                } else {
                    delivery.done().await;
                }
            }
        }
        Err(error) => {
            tracing::warn!(%error, messages = deliveries.len(), "results could not be stored; again shortly");
            for delivery in deliveries {
                delivery.again(wallet.ports.entropy.jitter(AGAIN_AFTER)).await;
            }
        }
    }
}

/// A span for each message, below the one that sent it; none where nothing is traced.
fn traced(messages: &[&Message]) -> Vec<Span> {
    if !traces::are_collected() {
        return Vec::new();
    }
    let span = |message: &&Message| {
        traces::learn(message);
        Span::processing(Queue::SagaSteps, message.order_id, message.step)
    };
    messages.iter().filter_map(span).collect()
}
