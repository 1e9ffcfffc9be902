//! Opening the file: settings, the lock that keeps a second process out, the writer and the readers.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

use super::writer::{COMPANY, Force};
use super::{Readers, Writer};
use crate::StoreError;

/// How long SQLite waits for another program that has the file locked.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a process waits for its predecessor to finish and let go, and how often it looks.
const MAX_WAIT_FOR_LOCK: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The mode of the files: whoever else has an account on this machine reads no keys, no hashes and no balances.
const OURS_ONLY: u32 = 0o600;
/// More than all services together have, so that none is prepared twice.
const STATEMENTS: usize = 512;

/// What the connection keeps in memory that copies the log: it reads no page of the database.
const CACHE_BESIDE_KIB: u32 = 64;

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut. The only choice for the books.
    PowerCut,
    /// The end of the process, however sudden. For tests of logic.
    ProcessCrash,
}

/// How to open a database.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// What a commit survives.
    pub durability: Durability,
    /// How many jobs may wait for the writer.
    pub queue: usize,
    /// How many reads may run at once.
    pub readers: usize,
    /// How much of the file the writer keeps in memory, in KiB; each reader keeps an eighth of that. This, and not the
    /// load or the file's size, bounds the memory that a database takes.
    pub cache_kib: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::PowerCut,
            queue: 8_192,
            readers: 4,
            // Not more: where a B-tree's pages were put in order, SQLite goes through all that it keeps at the next commit,
            // which took three per cent of the processor's time with four times as many.
            cache_kib: 16 * 1_024,
        }
    }
}

/// Why the database could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it, and does not let go within two seconds.
    #[error("{path} is in use by another cambist process; stop that one first, or set another CAMBIST_DATABASE_URL")]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// The folder or the lock file cannot be used.
    #[error("{path} cannot be used: {error}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The folder cannot hold a write-ahead log, as on most network file systems.
    #[error("{path} lies on a file system without shared memory, which the database needs; put it on a local disk")]
    NoLog {
        /// The database.
        path: PathBuf,
    },
    /// SQLite refused.
    #[error("{path} cannot be opened as a database: {error}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
}

/// An open database. Clones share it. When the last one and all writers go, what is queued is finished, and then
/// the file is released.
#[derive(Clone)]
pub struct Database {
    writer: Writer,
    readers: Readers,
    path: Arc<Path>,
}

impl Database {
    /// Opens `path`, creating it and its folder where absent, and keeps other processes out until it is dropped.
    ///
    /// `prepare` runs on the connection before anything else does: migrations, or the check that none is missing.
    ///
    /// # Errors
    /// [`OpenError`], or what `prepare` returns.
    pub fn open<E: From<OpenError>>(
        path: &Path,
        options: Options,
        prepare: impl FnOnce(&mut Connection) -> Result<(), E>,
    ) -> Result<Self, E> {
        Self::open_forced_by(path, options, None, prepare)
    }

    /// As [`open`](Database::open), but commits are on disk when `to_disk` says so, which is called after each group of them
    /// and must force the write-ahead log, whatever [`Options::durability`] says: for another kind of disk, or for one that
    /// takes its time, by which a service's tests show what waits for it (ADR 011).
    ///
    /// # Errors
    /// As [`open`](Database::open).
    pub fn open_on<E: From<OpenError>>(
        path: &Path,
        options: Options,
        to_disk: impl Fn() -> std::io::Result<()> + Send + 'static,
        prepare: impl FnOnce(&mut Connection) -> Result<(), E>,
    ) -> Result<Self, E> {
        Self::open_forced_by(path, options, Some(Box::new(to_disk)), prepare)
    }

    fn open_forced_by<E: From<OpenError>>(
        path: &Path,
        options: Options,
        to_disk: Option<Force>,
        prepare: impl FnOnce(&mut Connection) -> Result<(), E>,
    ) -> Result<Self, E> {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        create(folder).map_err(|error| OpenError::File {
            path: folder.to_owned(),
            error,
        })?;
        let lock = Arc::new(lock(path)?);
        let sqlite = |error| OpenError::Sqlite {
            path: path.to_owned(),
            error,
        };
        create_private(path)
            .and_then(|()| rewrite_log(path))
            .map_err(|error| OpenError::File {
                path: path.to_owned(),
                error,
            })?;
        let mut connection = connect(path, options.cache_kib).map_err(sqlite)?;
        let mode: String = connection
            .query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))
            .map_err(sqlite)?;
        if mode != "wal" {
            return Err(OpenError::NoLog { path: path.to_owned() }.into());
        }
        prepare(&mut connection)?;
        // Not before: a migration sorts whole tables, which do not all fit into memory.
        connection.pragma_update(None, "temp_store", "MEMORY").map_err(sqlite)?;
        let beside = connect(path, CACHE_BESIDE_KIB).map_err(sqlite)?;
        let readers = (0..options.readers.max(1))
            .map(|_| read_only(path, options.cache_kib / 8))
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(sqlite)?;
        let writer = log_of(path).and_then(|log| {
            let to_disk = to_disk.unwrap_or_else(|| match options.durability {
                Durability::PowerCut => Box::new(move || log.sync_data()),
                Durability::ProcessCrash => Box::new(|| Ok(())),
            });
            Writer::start(connection, beside, options.queue.max(1), to_disk, COMPANY, lock)
        });
        let writer = writer.map_err(|error| OpenError::File {
            path: path.to_owned(),
            error,
        })?;
        Ok(Self {
            readers: Readers::new(readers, writer.forced().clone()),
            writer,
            path: path.into(),
        })
    }

    /// A database of parts that a test has in its hands.
    #[cfg(test)]
    pub(super) fn of(writer: Writer, readers: Readers, path: &Path) -> Self {
        Self {
            writer,
            readers,
            path: path.into(),
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The way to write.
    #[must_use]
    pub const fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Waits until the disk fails to keep what was written. From then on nothing is stored or told; a process should end,
    /// so that the next one opens the file anew.
    pub async fn failure(&self) -> StoreError {
        self.writer.forced().failure().await
    }

    /// Whether the disk has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.writer.forced().has_failed()
    }

    /// The way to read.
    #[must_use]
    pub const fn readers(&self) -> &Readers {
        &self.readers
    }
}

/// A connection that only reads `path`, for tools that look at a database beside a running process.
///
/// # Errors
/// When there is no such database.
pub fn reader(path: &Path) -> rusqlite::Result<Connection> {
    read_only(path, Options::default().cache_kib / 4)
}

fn read_only(path: &Path, cache_kib: u32) -> rusqlite::Result<Connection> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.execute_batch(&format!("PRAGMA cache_size = -{cache_kib};"))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Creates `folder`, closed to other users, and makes sure that a power cut does not take it away again with everything
/// in it.
fn create(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    for parent in folder.canonicalize()?.ancestors().skip(1) {
        // Folders further up, which existed, may be closed to us.
        if File::open(parent).and_then(|parent| parent.sync_all()).is_err() {
            break;
        }
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let path = path.with_extension("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(OURS_ONLY)
        .open(&path)
        .map_err(|error| OpenError::File {
            path: path.clone(),
            error,
        })?;
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if waited < MAX_WAIT_FOR_LOCK => {
                // sleep: a file lock can be waited for, but not with an end
                std::thread::sleep(LOOK_EVERY);
                waited += LOOK_EVERY;
            }
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(OpenError::File { path, error }),
        }
    }
}

/// Makes the database's file, if there is none, before SQLite does: signing keys and password hashes lie in it, and SQLite
/// gives its log the mode that it finds here.
fn create_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(OURS_ONLY)
        .open(path)
        .map(drop)
}

/// Writes a log that an earlier process left over itself, and forces it to disk. A process that was killed may have left
/// commits that were written and not forced; one whose disk failed, pages that can be read, are not on disk, and that no
/// further force would write. Whatever is read from here on is acted upon. To be called under the lock, before SQLite reads
/// it; other programs may be reading, and see the same bytes.
fn rewrite_log(database: &Path) -> std::io::Result<()> {
    let log = match OpenOptions::new().read(true).write(true).open(log_path(database)) {
        Ok(log) => log,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut block = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let read = log.read_at(&mut block, at)?;
        if read == 0 {
            break;
        }
        log.write_all_at(&block[..read], at)?;
        at = at.saturating_add(u64::try_from(read).map_err(std::io::Error::other)?);
    }
    log.sync_all()
}

fn log_path(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// The write-ahead log, to be forced to disk by the writer. SQLite makes it when the database is opened, and keeps it for
/// as long as a connection is open.
fn log_of(path: &Path) -> std::io::Result<File> {
    let log = OpenOptions::new().read(true).write(true).open(log_path(path))?;
    // What migrations wrote into it.
    log.sync_data()?;
    // Its name is on disk when its folder is.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    Ok(log)
}

fn connect(path: &Path, cache_kib: u32) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // NORMAL: a commit does not force the log to disk, the writer does (`writer/disk.rs`); whatever is copied back from the
    // log is forced before and after (SQLite documentation, "PRAGMA synchronous"). macOS has to be told twice.
    connection
        .execute_batch("PRAGMA synchronous = NORMAL; PRAGMA fullfsync = ON; PRAGMA checkpoint_fullfsync = ON;")?;
    connection.execute_batch(
        "PRAGMA foreign_keys = ON;
         PRAGMA journal_size_limit = 67108864;",
    )?;
    connection.execute_batch(&format!("PRAGMA cache_size = -{cache_kib};"))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}
