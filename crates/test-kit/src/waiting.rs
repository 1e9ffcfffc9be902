//! Waiting for what nothing tells of: looked at again and again, with an end, so that a test fails and never hangs.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What `look` finds, once it does; until then it says what there is instead.
///
/// # Panics
/// When `within` is over and it is still not there; with `what` was waited for and what there was instead.
pub async fn eventually<T, E: Debug>(within: Duration, what: &str, mut look: impl AsyncFnMut() -> Result<T, E>) -> T {
    let give_up = Instant::now() + within;
    loop {
        let instead = match look().await {
            Ok(found) => return found,
            Err(instead) => instead,
        };
        assert!(
            Instant::now() < give_up,
            "waited {within:?} in vain: {what}; last seen: {instead:?}"
        );
        // sleep: nothing tells when it is there
        sleep(LOOK_AGAIN).await;
    }
}
