//! What runs without being asked: the worker of the commands and the sweep of coins.

use std::sync::Arc;
use std::time::Duration;

use contracts::Entropy;
use contracts::messages::Queue;
use tokio_util::sync::CancellationToken;
use transport::command_worker::CommandWorker;
use transport::queue::{PublishError, Transport};

use crate::use_cases::sweep::{Round, Sweep};

/// Works on commands until `stop`.
pub(crate) async fn work(
    worker: CommandWorker,
    transport: Arc<dyn Transport>,
    granted: tokio::sync::mpsc::Receiver<storage::commands::Claimed>,
    stop: CancellationToken,
) -> Result<(), PublishError> {
    let wake_ups = transport.subscribe(Queue::BcgatewayOrders).await?;
    worker.run(wake_ups, granted, stop).await;
    Ok(())
}

/// Sweeps coins until `stop`. A round that is cut off by it is taken up by the next process.
pub(crate) async fn sweep_coins(sweep: Sweep, every: Duration, entropy: Arc<dyn Entropy>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            // sleep: coins that were sold have no deadline, and nobody tells this service of a sale
            () = tokio::time::sleep(entropy.jitter(every)) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            round = sweep.round() => match round {
                Ok(Round { begun: 0, confirmed: 0, .. }) => {}
                Ok(round) => tracing::info!(begun = round.begun, confirmed = round.confirmed, "swept coins"),
                Err(error) => tracing::warn!(%error, "the sweep of coins was interrupted; again shortly"),
            },
        }
    }
}
