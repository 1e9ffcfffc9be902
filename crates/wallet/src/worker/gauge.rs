//! The gauge of admission: the orders under way, taken from the store again and again beside an API.
//!
//! One count is under way at most, however many ask for one.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::use_cases::Wallet;
use crate::use_cases::admit::recount;

/// How often orders are counted that other processes end.
const EVERY: Duration = Duration::from_millis(200);

/// Sets the gauge to the store's count now and again, and when a request would be turned away, until `stop`.
pub(super) async fn run(wallet: &Wallet, stop: &CancellationToken) {
    let settings = wallet.ports.settings;
    let every = if settings.single_process {
        settings.sweep_every
    } else {
        EVERY
    };
    loop {
        let pause = wallet.ports.entropy.jitter(every);
        tokio::select! {
            () = stop.cancelled() => return,
            () = wallet.admission.wanted.notified() => {}
            // sleep: the store tells nobody when an order ends
            () = tokio::time::sleep(pause) => {}
        }
        if let Err(error) = recount(wallet).await {
            tracing::warn!(%error, "the orders under way could not be counted; again shortly");
        }
    }
}
