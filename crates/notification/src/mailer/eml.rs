//! Mail as files: one `order-7.eml` for each order.
//!
//! A file is written under another name, forced to disk, and renamed; then the folder is forced to disk. So a reader
//! sees the whole mail or none, what was answered as delivered is there after a power cut, and writing the same mail
//! again leaves the same one file.
//!
//! Forcing to disk is what takes time, so mails that wait while others are written are written together: one job at a
//! time writes whatever waits, and both are forced once for all of them. An fsync for each file allowed some 700 mails a
//! second; one for each batch leaves the making of the files as what takes time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
/// As many files are forced to disk one by one; for more, their whole file system is, which is dearer if others have
/// written much on it.
const FEW: usize = 2;
const TEMPORARY: &str = ".tmp";

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
        fs::create_dir_all(folder).map_err(unusable)?;
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
        // Opened first: it is from here on that the file system keeps its errors for us.
        let folder = File::open(&self.folder);
        let mut drafts = Vec::with_capacity(letters.len());
        for (place, letter) in letters.into_iter().enumerate() {
            // The same mail may be there twice; each needs a draft of its own.
            let temporary = self
                .folder
                .join(format!(".{}.{}.{place}{TEMPORARY}", letter.name, self.run));
            match write(&temporary, &letter.bytes) {
                Ok(file) => drafts.push(Draft {
                    file,
                    temporary,
                    letter,
                }),
                Err(error) => give_up(&temporary, letter.answer, error),
            }
        }
        let forced = folder.and_then(|folder| force(&folder, &drafts).map(|()| folder));
        let mut named = Vec::with_capacity(drafts.len());
        for Draft { temporary, letter, .. } in drafts {
            let renamed = match &forced {
                Ok(_) => fs::rename(&temporary, self.folder.join(&letter.name)),
                Err(error) => Err(same(error)),
            };
            match renamed {
                Ok(()) => named.push(letter.answer),
                Err(error) => give_up(&temporary, letter.answer, error),
            }
        }
        // A rename is on disk when its folder is.
        let forced = forced.and_then(|folder| folder.sync_all());
        for waiting in named {
            answer(waiting, forced.as_ref().map_err(same).copied());
        }
    }
}

/// A letter that is written down and not yet named.
struct Draft {
    file: File,
    temporary: PathBuf,
    letter: Letter,
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

fn write(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Forces what is written to disk: one file after the other, or, if there are more than a few, everything on their file
/// system at once (Linux since 5.8 tells of every write that failed since `folder` was opened; syncfs(2)).
fn force(folder: &File, drafts: &[Draft]) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    if drafts.len() > FEW {
        return rustix::fs::syncfs(folder).map_err(io::Error::from);
    }
    let _ = folder;
    drafts.iter().try_for_each(|draft| draft.file.sync_all())
}

/// Tells that a letter is not written. Best effort with its draft: the next start removes what is left.
fn give_up(temporary: &Path, waiting: oneshot::Sender<io::Result<()>>, error: io::Error) {
    let _ = fs::remove_file(temporary);
    answer(waiting, Err(error));
}

fn same(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
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
