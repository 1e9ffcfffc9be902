//! The sweep: at start and then now and again. On the path of an order nothing waits for it.

use storage::StoreError;
use tokio_util::sync::CancellationToken;
use transport::steps::Steps;

use crate::use_cases::Wallet;
use crate::use_cases::purge_keys::KeyPurge;
use crate::use_cases::re_issue::{make_due, re_issue};

/// Issues again what is due, and purges old keys, until `stop`.
pub(super) async fn run(wallet: &Wallet, stop: &CancellationToken) {
    let mut purge = KeyPurge::default();
    let mut steps = Steps::new(wallet.now());
    loop {
        if let Err(error) = take_up(wallet, &mut steps).await {
            tracing::warn!(%error, "what is due could not be claimed; again shortly");
        }
        if let Err(error) = purge.turn(wallet).await {
            tracing::warn!(%error, "old idempotency keys could not be purged; again shortly");
        }
        if !pause(wallet, stop).await {
            return;
        }
    }
}

async fn take_up(wallet: &Wallet, steps: &mut Steps) -> Result<usize, StoreError> {
    // What is due is found all the same.
    if let Err(error) = steps.watch(wallet.now(), make_due(wallet)).await {
        tracing::warn!(%error, "orders that were put off could not be brought forward; again shortly");
    }
    re_issue(wallet).await
}

/// Waits for the next turn; `false` when there is none.
async fn pause(wallet: &Wallet, stop: &CancellationToken) -> bool {
    let pause = wallet.ports.entropy.jitter(wallet.ports.settings.sweep_every);
    // The wait between two sweeps is cut short by the end of the process.
    tokio::time::timeout(pause, stop.cancelled()).await.is_err()
}
