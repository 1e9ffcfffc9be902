//! The stages that wait for the network and for programs of others, one after the other in processes of their own, beside
//! those that keep the processors busy.
//!
//! What they say is kept together and printed when they have ended, so that two stages never speak at once. One that fails
//! is heard of at once. Nothing is killed: what installs tools is let come to its end, and nothing follows it.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::Stage;

/// How often it is looked whether one has ended.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A stage that has ended.
pub(super) struct Ended {
    pub(super) stage: Stage,
    pub(super) time: Duration,
    pub(super) well: bool,
    /// All that it said.
    pub(super) said: Vec<u8>,
}

struct Running {
    stage: Stage,
    since: Instant,
    process: Child,
    said: JoinHandle<Vec<u8>>,
}

/// Those that wait, and the one that runs.
#[derive(Default)]
pub(super) struct Beside {
    waiting: VecDeque<Stage>,
    running: Option<Running>,
}

impl Beside {
    /// These are to run, in this order.
    pub(super) fn of(stages: &[Stage]) -> Self {
        Self {
            waiting: stages.iter().copied().collect(),
            running: None,
        }
    }

    /// Sees to it that one runs while there are any. The one that has ended in the meantime; if it failed, none follows.
    pub(super) fn tend(&mut self) -> Option<Ended> {
        let Some(running) = &mut self.running else {
            let next = self.waiting.pop_front()?;
            match start(next) {
                Ok(running) => self.running = Some(running),
                Err(error) => return Some(self.end(next, Duration::ZERO, false, error.to_string().into_bytes())),
            }
            return None;
        };
        let status = running.process.try_wait().transpose()?;
        let Running { stage, since, said, .. } = self.running.take()?;
        let said = said.join().unwrap_or_default();
        Some(self.end(
            stage,
            since.elapsed(),
            status.is_ok_and(|status| status.success()),
            said,
        ))
    }

    fn end(&mut self, stage: Stage, time: Duration, well: bool, said: Vec<u8>) -> Ended {
        if !well {
            self.abandon();
        }
        Ended {
            stage,
            time,
            well,
            said,
        }
    }

    /// Lets no further one begin.
    pub(super) fn abandon(&mut self) {
        self.waiting.clear();
    }

    /// The one that runs.
    pub(super) fn running(&self) -> Option<Stage> {
        self.running.as_ref().map(|running| running.stage)
    }

    /// Waits for the next that ends; `None` when all have.
    pub(super) fn next(&mut self) -> Option<Ended> {
        while self.running.is_some() || !self.waiting.is_empty() {
            if let Some(ended) = self.tend() {
                return Some(ended);
            }
            // sleep: it is `tend` that has to look, for those who wait for something else as well
            thread::sleep(LOOK_AGAIN);
        }
        None
    }
}

fn start(stage: Stage) -> io::Result<Running> {
    let (mut hear, say) = io::pipe()?;
    // This very program, even if a build has put a new one in its place.
    let process = Command::new("/proc/self/exe")
        .args(["test", "--beside", "--only", stage.name()])
        .stdin(Stdio::null())
        .stdout(say.try_clone()?)
        .stderr(say)
        .spawn()?;
    let said = thread::spawn(move || {
        let mut said = Vec::new();
        // What was heard until it broke is better than nothing.
        let _ = hear.read_to_end(&mut said);
        said
    });
    Ok(Running {
        stage,
        since: Instant::now(),
        process,
        said,
    })
}
