//! A clock that is set back while the program runs.
//!
//! What is due is due at a time that is written down, and a clock that goes back an hour would let all of it sleep for an
//! hour more. Those who sweep look at the clock anyway: the one that sees it go back brings its rows forward.

use std::future::Future;
use std::time::Duration;

use contracts::time::until;
use jiff::Timestamp;

/// A step that is not worth a sweep of its own: as much later than it should be, anything may be.
const NEGLIGIBLE: Duration = Duration::from_secs(1);

/// The last time that a sweep saw.
#[derive(Debug, Clone, Copy)]
pub struct Steps {
    last: Timestamp,
}

impl Steps {
    /// Watches from `now` on.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { last: now }
    }

    /// Runs `bring_forward` if the clock was set back by more than a second since the last call; again at the next call
    /// if it fails. To be called before each look for what is due.
    ///
    /// # Errors
    /// What `bring_forward` says.
    pub async fn watch<E>(
        &mut self,
        now: Timestamp,
        bring_forward: impl Future<Output = Result<u64, E>> + Send,
    ) -> Result<(), E> {
        let back = until(now, self.last);
        if back > NEGLIGIBLE {
            let rows = bring_forward.await?;
            tracing::warn!(
                seconds = back.as_secs(),
                rows,
                "the clock was set back; what was put off is due earlier now"
            );
        }
        self.last = now;
        Ok(())
    }
}
