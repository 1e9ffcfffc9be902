//! Replaces signing keys when they are old. Only the age of the stored key counts, so it does not matter how many
//! processes look, how often, or whether one was away for a month.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use contracts::Entropy;
use tokio_util::sync::CancellationToken;

use crate::domain::keys::{Change, Wish};
use crate::use_cases::KeyRing;

/// The loop that looks at the keys' age.
pub(crate) struct KeyRotation {
    pub(crate) ring: Arc<KeyRing>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) every: Duration,
}

impl KeyRotation {
    /// Runs until `stop`. A failure is only logged: an old key signs as well as a new one, and the next look comes.
    pub(crate) async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        loop {
            match self.ring.amend(Wish::RotateIfDue).await {
                Ok(Change::None) => {}
                Ok(Change::First) => tracing::info!("the first signing key was made"),
                Ok(Change::Rotated) => tracing::info!("the signing key was too old and is being replaced"),
                Ok(Change::TooMany) => {
                    tracing::warn!("the signing key is too old, but there are too many keys already");
                }
                Err(error) => tracing::warn!(%error, "the age of the signing key could not be looked at"),
            }
            let pause = self.entropy.jitter(self.every);
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                // sleep: age is no event; nothing but time passes between two looks.
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}
