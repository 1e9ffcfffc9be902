//! Mail as files: one `order-7.eml` for each order.
//!
//! A file is written without its name, forced to disk, and named; then the folder is forced to disk. So a reader sees
//! the whole mail or none, what was answered as delivered is there after a power cut, and writing the same mail again
//! leaves the same one file.
//!
//! Forcing to disk is what takes time, so mails that wait while others are written are written together: one job at a
//! time writes whatever waits, and both are forced once for all of them. An fsync for each file allowed some 700 mails a
//! second; one for each batch leaves the making of the files as what takes time. Between two batches the job rests, so
//! that batches are large where there are many mails; a mail that comes alone is written at once.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use contracts::Entropy;
use thiserror::Error;
use tokio::sync::oneshot;

use super::rfc5322::{Sender, format};
use crate::ports::{Mail, MailAnswer, Mailer};

/// The most mails that wait to be written.
const MAX_WAITING: usize = 4_096;
/// The most mails that are written together: bounds how long the first of them waits.
const MAX_TOGETHER: usize = 256;
/// How long the job rests after each batch. Forcing a file system to disk costs the same for one mail as for a hundred,
/// and everybody else who writes to that disk waits meanwhile. Measured with 5,000 mails a second: 89 µs of processor
/// time a mail without a rest, in batches of 5; about 45 µs with one.
const REST: Duration = Duration::from_millis(10);
/// As many files are forced to disk one by one; for more, their whole file system is, which is dearer if others have
/// written much on it.
#[cfg(target_os = "linux")]
const FEW: usize = 2;
const TEMPORARY: &str = ".tmp";
/// Who may read a mail, which says who has bought what: whoever the program runs as. A folder that is made here is as
/// private.
const PRIVATE: u32 = 0o600;

/// Why mail cannot be written into a folder.
#[derive(Debug, Error)]
#[error("the mail folder {folder} cannot be used: {error}")]
pub struct OpenError {
    folder: PathBuf,
    error: io::Error,
}

/// Writes mails into a folder. Several processes may write into the same one.
pub struct EmlMailer {
    sender: Sender,
    desk: Arc<Desk>,
}

struct Desk {
    folder: PathBuf,
    /// Part of the temporary names, so that two processes never write into the same one.
    run: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Letter>,
    /// Whether a job is there that will see what waits.
    writing: bool,
}

struct Letter {
    name: String,
    bytes: Vec<u8>,
    answer: oneshot::Sender<io::Result<()>>,
}

impl EmlMailer {
    /// A mailer into `folder`, which is made where absent; `entropy` keeps the temporary names of two processes apart.
    /// Blocks shortly.
    ///
    /// # Errors
    /// [`OpenError`] when the folder cannot be made or read.
    pub fn try_new(folder: &Path, sender: Sender, entropy: &dyn Entropy) -> Result<Self, OpenError> {
        let unusable = |error| OpenError {
            folder: folder.to_owned(),
            error,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(unusable)?;
        remove_leftovers(folder).map_err(unusable)?;
        Ok(Self {
            sender,
            desk: Arc::new(Desk {
                folder: folder.to_owned(),
                run: entropy.next_id(),
                state: Mutex::default(),
            }),
        })
    }
}

#[async_trait]
impl Mailer for EmlMailer {
    async fn send(&self, mail: &Mail) -> MailAnswer {
        let bytes = match format(mail, &self.sender) {
            Ok(bytes) => bytes,
            Err(error) => {
                return MailAnswer::Refused {
                    reason: error.to_string(),
                };
            }
        };
        let (answer, written) = oneshot::channel();
        let name = format!("order-{}.eml", mail.order_id);
        if !Desk::lay_down(&self.desk, Letter { name, bytes, answer }) {
            return MailAnswer::TryLater {
                reason: "too many mails wait to be written".to_owned(),
            };
        }
        match written.await {
            Ok(Ok(())) => MailAnswer::Delivered,
            Ok(Err(error)) => MailAnswer::TryLater {
                reason: format!("{}: {error}", self.desk.folder.display()),
            },
            Err(_) => MailAnswer::TryLater {
                reason: "the job that writes mails died".to_owned(),
            },
        }
    }
}

impl Desk {
    /// Puts a letter where the writing job finds it, and starts that if there is none. `false` if there is no room.
    fn lay_down(desk: &Arc<Self>, letter: Letter) -> bool {
        let mut state = desk.state();
        if state.waiting.len() >= MAX_WAITING {
            return false;
        }
        state.waiting.push(letter);
        if !state.writing {
            state.writing = true;
            let job = Job {
                desk: Arc::clone(desk),
                finished: false,
            };
            tokio::task::spawn_blocking(move || job.run());
        }
        true
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, letters: Vec<Letter>) {
        let mut named = Vec::with_capacity(letters.len());
        let rest = self.write_together(letters, &mut named);
        for letter in rest {
            match self.write_one(&letter) {
                Ok(()) => named.push(letter.answer),
                Err(error) => answer(letter.answer, Err(error)),
            }
        }
        // A name is on disk when its folder is.
        let forced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        for waiting in named {
            let same = forced
                .as_ref()
                .map_err(|error| io::Error::new(error.kind(), error.to_string()));
            answer(waiting, same.copied());
        }
    }

    /// Writes files that have no name, forces all of them to disk at once, and names them. Those with which that does not
    /// work come back: there are too few for it to pay, the file system has no nameless files, or the mail is there already.
    #[cfg(target_os = "linux")]
    fn write_together(&self, letters: Vec<Letter>, named: &mut Vec<oneshot::Sender<io::Result<()>>>) -> Vec<Letter> {
        if letters.len() <= FEW {
            return letters;
        }
        let mut rest = Vec::new();
        // Opened first: the file system keeps its errors for us from here on.
        let Ok(folder) = File::open(&self.folder) else {
            return letters;
        };
        let mut drafts = Vec::with_capacity(letters.len());
        for letter in letters {
            match nameless::write(&folder, &letter.bytes) {
                Ok(file) => drafts.push((letter, file)),
                Err(_) => rest.push(letter),
            }
        }
        let forced = nameless::force_all(&folder);
        for (letter, file) in drafts {
            if forced.is_ok() && nameless::name(&file, &folder, &letter.name).is_ok() {
                named.push(letter.answer);
            } else {
                rest.push(letter);
            }
        }
        rest
    }

    #[cfg(not(target_os = "linux"))]
    fn write_together(&self, letters: Vec<Letter>, _: &mut Vec<oneshot::Sender<io::Result<()>>>) -> Vec<Letter> {
        letters
    }

    fn write_one(&self, letter: &Letter) -> io::Result<()> {
        let temporary = self.folder.join(format!(".{}.{}{TEMPORARY}", letter.name, self.run));
        let written = write_and_force(&temporary, &letter.bytes)
            .and_then(|()| fs::rename(&temporary, self.folder.join(&letter.name)));
        if written.is_err() {
            // Best effort: the next start removes what is left.
            let _ = fs::remove_file(&temporary);
        }
        written
    }
}

/// Files that have no name until they are on disk (`O_TMPFILE`, open(2)): whoever dies before leaves nothing behind.
#[cfg(target_os = "linux")]
mod nameless {
    use std::fs::File;
    use std::io::{self, Write as _};
    use std::os::fd::AsRawFd as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{AtFlags, CWD, Mode, OFlags, linkat, openat, syncfs};
    use rustix::io::Errno;

    /// Whether files could only be named by way of /proc so far.
    static BY_PATH: AtomicBool = AtomicBool::new(false);

    pub(super) fn write(folder: &File, bytes: &[u8]) -> io::Result<File> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let mut file = File::from(openat(folder, ".", flags, Mode::from_raw_mode(super::PRIVATE))?);
        file.write_all(bytes)?;
        Ok(file)
    }

    /// Forces everything on the folder's file system to disk. Linux tells, since 5.8, of every write that has failed since
    /// `folder` was opened (syncfs(2)).
    pub(super) fn force_all(folder: &File) -> io::Result<()> {
        Ok(syncfs(folder)?)
    }

    /// Fails where the name is taken.
    pub(super) fn name(file: &File, folder: &File, name: &str) -> io::Result<()> {
        // Since Linux 6.10 whoever opened a file may name it without a path to it; before, only the privileged may
        // (linkat(2)). The detour costs a look-up of four folders that are made up on the way.
        if !BY_PATH.load(Ordering::Relaxed) {
            let named = linkat(file, "", folder, name, AtFlags::EMPTY_PATH);
            if matches!(named, Ok(()) | Err(Errno::EXIST)) {
                return Ok(named?);
            }
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        linkat(CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW)?;
        BY_PATH.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// Writes until nothing waits. When it dies, those who wait hear of it, and the next letter starts another.
struct Job {
    desk: Arc<Desk>,
    finished: bool,
}

impl Job {
    fn run(mut self) {
        loop {
            let letters = {
                let mut state = self.desk.state();
                if state.waiting.is_empty() {
                    state.writing = false;
                    self.finished = true;
                    return;
                }
                let together = state.waiting.len().min(MAX_TOGETHER);
                state.waiting.drain(..together).collect()
            };
            self.desk.write(letters);
            // sleep: company is waited for, which nobody announces; not waiting is dear, not wrong
            thread::sleep(REST);
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if !self.finished {
            let mut state = self.desk.state();
            state.writing = false;
            state.waiting.clear();
        }
    }
}

fn write_and_force(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(PRIVATE)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn answer(waiting: oneshot::Sender<io::Result<()>>, outcome: io::Result<()>) {
    // Nobody listens any more when the caller gave up waiting; the mail is written all the same.
    let _ = waiting.send(outcome);
}

/// Removes what a process left behind that died between writing and renaming. A mail that another process is writing
/// right now may be hit: its rename fails, and it is written again.
fn remove_leftovers(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(".order-") && name.ends_with(TEMPORARY) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
