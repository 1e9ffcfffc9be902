//! Opening the file: settings, the lock that keeps a second process out, the writer and the readers.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OpenFlags};
use thiserror::Error;

use super::{Readers, Writer};

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// A power cut. The only choice for the books.
    PowerCut,
    /// The end of the process, however sudden. Enough for the simulators, whose real counterparts keep their own
    /// books elsewhere, and for tests of logic.
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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::PowerCut,
            queue: 8_192,
            readers: 4,
        }
    }
}

/// Why the database could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it.
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
    /// SQLite refused.
    #[error("{path} cannot be opened as a database: {error}")]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
}

/// An open database. Clones share it; the file is released when the last one and all writers and readers go.
#[derive(Clone)]
pub struct Database {
    writer: Writer,
    readers: Readers,
    _lock: Arc<File>,
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
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|error| OpenError::File {
            path: folder.to_owned(),
            error,
        })?;
        let lock = lock(path)?;
        let sqlite = |error| OpenError::Sqlite {
            path: path.to_owned(),
            error,
        };
        let mut connection = connect(path, options.durability).map_err(sqlite)?;
        prepare(&mut connection)?;
        let readers = (0..options.readers.max(1))
            .map(|_| reader(path))
            .collect::<rusqlite::Result<Vec<_>>>()
            .map_err(sqlite)?;
        let (writer, _thread) = Writer::start(connection, options.queue.max(1)).map_err(|error| OpenError::File {
            path: path.to_owned(),
            error,
        })?;
        Ok(Self {
            writer,
            readers: Readers::new(readers),
            _lock: Arc::new(lock),
        })
    }

    /// The way to write.
    #[must_use]
    pub const fn writer(&self) -> &Writer {
        &self.writer
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
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA cache_size = -16384;")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let path = path.with_extension("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| OpenError::File {
            path: path.clone(),
            error,
        })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path }),
        Err(TryLockError::Error(error)) => Err(OpenError::File { path, error }),
    }
}

fn connect(path: &Path, durability: Durability) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    let synchronous = match durability {
        // NORMAL in WAL mode loses commits at a power cut (SQLite documentation, "Write-Ahead Logging", section 2.2).
        Durability::PowerCut => "FULL",
        Durability::ProcessCrash => "NORMAL",
    };
    connection.execute_batch(&format!(
        "PRAGMA busy_timeout = 5000;
         PRAGMA journal_mode = WAL;
         PRAGMA synchronous = {synchronous};
         PRAGMA foreign_keys = ON;
         PRAGMA wal_autocheckpoint = 10000;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA cache_size = -65536;
         PRAGMA temp_store = MEMORY;"
    ))?;
    connection.set_prepared_statement_cache_capacity(256);
    Ok(connection)
}
