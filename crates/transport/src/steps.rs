//! A clock that is set back, while the program runs or while it does not.
//!
//! What is due is due at a time that is written down, and a clock that goes back an hour would let all of it sleep for an
//! hour more. Those who sweep look at the clock anyway: the one that sees it go back brings its rows forward. What it did
//! before the program started nobody has seen, so the first look does the same.

use std::future::Future;
use std::time::Duration;

use contracts::time::until;
use jiff::Timestamp;

/// A step that is not worth a sweep of its own: as much later than it should be, anything may be.
const NEGLIGIBLE: Duration = Duration::from_secs(1);

/// The last time that a sweep saw; by default none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Steps {
    last: Option<Timestamp>,
}

impl Steps {
    /// Watches from `now` on: for whoever knows that nothing was put off beyond that before.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { last: Some(now) }
    }

    /// Whether nothing was seen yet, so that the next call of [`Steps::watch`] brings forward whatever the clock says.
    #[must_use]
    pub const fn is_first(&self) -> bool {
        self.last.is_none()
    }

    /// Runs `bring_forward` at the first call, and if the clock was set back by more than a second since the last one;
    /// again at the next call if it fails. To be called before each look for what is due.
    ///
    /// # Errors
    /// What `bring_forward` says.
    pub async fn watch<E>(
        &mut self,
        now: Timestamp,
        bring_forward: impl Future<Output = Result<u64, E>> + Send,
    ) -> Result<(), E> {
        match self.last.map(|last| until(now, last)) {
            None => {
                let rows = bring_forward.await?;
                tracing::debug!(rows, "what was put off before the start is due earlier now");
            }
            Some(back) if back > NEGLIGIBLE => {
                let rows = bring_forward.await?;
                tracing::warn!(
                    seconds = back.as_secs(),
                    rows,
                    "the clock was set back; what was put off is due earlier now"
                );
            }
            Some(_) => {}
        }
        self.last = Some(now);
        Ok(())
    }
}
