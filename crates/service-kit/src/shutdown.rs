//! One end for the whole process: asked for, or because a task that must not end has ended.
//!
//! What it keeps true: a loop that panics or returns early never dies silently; it takes the process down, visibly,
//! so that a supervisor starts it again. On the way down everybody is told, and waited for, but not for ever.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a process does not end well.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShutdownError {
    /// A task failed, panicked, or ended although nobody asked it to. The first one counts.
    #[error("{task} {problem}")]
    TaskFailed {
        /// Its name.
        task: String,
        /// What happened to it, continuing the sentence.
        problem: String,
    },
    /// These tasks did not end in time.
    #[error("did not end in time: {}", .0.join(", "))]
    Unfinished(Vec<String>),
}

/// The end of this process, as everybody in it sees it. Clones are the same end.
#[derive(Clone, Default)]
pub struct Shutdown(Arc<Parts>);

#[derive(Default)]
struct Parts {
    requested: CancellationToken,
    impatient: CancellationToken,
    tasks: TaskTracker,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: BTreeMap<String, usize>,
    failure: Option<ShutdownError>,
}

impl std::fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shutdown")
            .field("requested", &self.is_requested())
            .finish_non_exhaustive()
    }
}

impl Shutdown {
    /// Nothing has ended yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the process on SIGTERM and SIGINT; a second signal stops waiting for what is in flight.
    ///
    /// # Errors
    /// The signals cannot be listened to.
    pub fn on_signals(&self) -> io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};

        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            for told in [&shutdown.0.requested, &shutdown.0.impatient] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                tracing::info!("{name}: stopping");
                told.cancel();
            }
        });
        Ok(())
    }

    /// Asks everybody to end.
    pub fn request(&self) {
        self.0.requested.cancel();
    }

    /// Whether the end has been asked for.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.requested.is_cancelled()
    }

    /// Cancelled when the end is asked for: what loops and listeners wait on.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.0.requested.clone()
    }

    /// Runs a task that is to live as long as the process. When it fails, panics, or ends before the end was asked
    /// for, the whole process ends, and [`Shutdown::wait`] says why.
    pub fn spawn<E: Display>(
        &self,
        name: impl Into<String>,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let name = name.into();
        let shutdown = self.clone();
        *self.state().running.entry(name.clone()).or_default() += 1;
        self.0.tasks.spawn(async move {
            let problem = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) if shutdown.is_requested() => None,
                Ok(Ok(())) => Some("ended, although it should run as long as the process".to_owned()),
                Ok(Err(error)) => Some(format!("failed: {error}")),
                Err(panic) => Some(format!("panicked: {}", panic_message(&*panic))),
            };
            shutdown.ended(name, problem);
        });
    }

    /// Waits until the end is asked for, and then for everybody, but no longer than `drain`.
    ///
    /// # Errors
    /// The first task that failed; otherwise those that did not end in time.
    pub async fn wait(&self, drain: Duration) -> Result<(), ShutdownError> {
        self.0.requested.cancelled().await;
        self.0.tasks.close();
        let ended = tokio::select! {
            ended = tokio::time::timeout(drain, self.0.tasks.wait()) => ended.is_ok(),
            () = self.0.impatient.cancelled() => false,
        };
        let mut state = self.state();
        match state.failure.take() {
            Some(failure) => Err(failure),
            None if ended => Ok(()),
            None => Err(ShutdownError::Unfinished(state.running.keys().cloned().collect())),
        }
    }

    fn ended(&self, name: String, problem: Option<String>) {
        let mut state = self.state();
        if let Some(count) = state.running.get_mut(&name) {
            *count -= 1;
            if *count == 0 {
                state.running.remove(&name);
            }
        }
        if let Some(problem) = problem {
            tracing::error!(task = name, problem, "a task ended; so does the process");
            state
                .failure
                .get_or_insert(ShutdownError::TaskFailed { task: name, problem });
            drop(state);
            self.request();
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a panic said.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no message").to_owned()
}
