//! Keeps the write-ahead log short.
//!
//! The log is copied back into the database from time to time, and begins anew when all of it is copied and no
//! reader needs it. SQLite by itself would copy inside a commit, before its answers, and readers that are never all
//! idle would let the log grow for ever (SQLite documentation, "Write-Ahead Logging", section 6). So most of it is copied
//! beside the writer ([`copier`]), which copies no more than what it has written meanwhile, between two groups, so that
//! the log can begin anew. Past a length it waits for the readers of the day; new ones get by without the log.

mod copier;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use self::copier::{Copier, Progress};
use crate::sqlite::database::BUSY_TIMEOUT;

/// When the log is copied, and when it is waited for.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// How many pages of 4 KiB are copied at a time. 10,000 instead of SQLite's 1,000 gave 46 % more orders a second.
    copy_at: i32,
    /// How many pages the writer copies itself at most. If more were written during a copy, another one follows.
    rest: i32,
    /// How many pages the log may have before everything waits for it to begin anew.
    wait_at: i32,
    /// How long readers are waited for at most. Nobody can write meanwhile.
    wait: Duration,
}

const LIMITS: Limits = Limits {
    copy_at: 10_000,
    rest: 1_000,
    wait_at: 40_000,
    wait: Duration::from_millis(200),
};

/// What a copy has come to.
#[derive(Debug, Clone, Copy)]
struct Copied {
    /// Up to which page of the log.
    pages: i32,
    /// Whether that was all of it, and nobody was in the way.
    all: bool,
}

/// The log of the connection that writes.
pub(super) struct Log {
    pages: Arc<AtomicI32>,
    copier: Copier,
    limits: Limits,
    next_at: i32,
}

impl Log {
    /// Watches how long the log gets that `connection` writes. SQLite does not copy it by itself any more, `beside` does,
    /// another connection to the same database.
    pub(super) fn watch(connection: &mut Connection, beside: Connection) -> io::Result<Self> {
        Self::watch_within(connection, beside, LIMITS)
    }

    fn watch_within(connection: &mut Connection, beside: Connection, limits: Limits) -> io::Result<Self> {
        let pages = Arc::new(AtomicI32::new(0));
        let seen = Arc::clone(&pages);
        connection
            .wal_hook(Some(move |_: &mut _, pages| {
                seen.store(pages, Ordering::Relaxed);
                Ok(())
            }))
            .map_err(io::Error::other)?;
        Ok(Self {
            pages,
            copier: Copier::start(beside)?,
            limits,
            next_at: limits.copy_at,
        })
    }

    /// Copies the log if it is long. To be called between transactions.
    ///
    /// # Errors
    /// When SQLite or the disk failed at it: then nobody knows what of the copy is on disk.
    pub(super) fn keep_short(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let pages = self.pages.load(Ordering::Relaxed);
        self.copy(connection, pages)
            .inspect_err(|error| tracing::error!(%error, pages, "the write-ahead log could not be copied"))
    }

    fn copy(&mut self, connection: &Connection, pages: i32) -> rusqlite::Result<()> {
        match self.copier.progress()? {
            Progress::UnderWay => return Ok(()),
            Progress::Done(copied) if pages >= self.limits.copy_at => {
                // What was written meanwhile; a reader in the way would keep all of it there.
                let rest = pages.saturating_sub(copied.pages);
                if copied.all && rest > self.limits.rest && pages < self.limits.wait_at {
                    return self.copier.begin();
                }
                // Not again at the next commit if it does not succeed now: a copy costs two fsyncs.
                self.next_at = pages.saturating_add(self.limits.copy_at);
                if pages >= self.limits.wait_at {
                    return self.wait_for_readers(connection);
                }
                return copy_what_is_free(connection).map(drop);
            }
            Progress::Done(_) | Progress::Idle => {}
        }
        if pages < self.limits.copy_at {
            // It began anew.
            self.next_at = self.limits.copy_at;
        }
        if pages < self.next_at {
            return Ok(());
        }
        self.copier.begin()
    }

    fn wait_for_readers(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.busy_timeout(self.limits.wait)?;
        let copied = checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)");
        connection.busy_timeout(BUSY_TIMEOUT)?;
        if !copied?.all {
            tracing::warn!("a reader keeps an old snapshot open; the write-ahead log grows until it ends");
        }
        Ok(())
    }
}

/// Copies what no reader is in the way of.
fn copy_what_is_free(connection: &Connection) -> rusqlite::Result<Copied> {
    checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")
}

fn checkpoint(connection: &Connection, sql: &str) -> rusqlite::Result<Copied> {
    connection.prepare_cached(sql)?.query_row((), |row| {
        let (busy, pages, copied): (bool, i32, i32) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Copied {
            pages: copied,
            all: !busy && pages == copied,
        })
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::{Arc, Barrier};

    use super::*;

    const SMALL: Limits = Limits {
        copy_at: 20,
        rest: 5,
        wait_at: 60,
        wait: Duration::from_secs(60),
    };

    fn a_database(path: &Path) -> (Connection, Log) {
        let mut connection = Connection::open(path).unwrap();
        let schema = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE t (content BLOB)";
        connection.execute_batch(schema).unwrap();
        let log = Log::watch_within(&mut connection, Connection::open(path).unwrap(), SMALL).unwrap();
        (connection, log)
    }

    /// Writes some ten pages; answers with the length of the log after that.
    fn write(connection: &Connection, log: &mut Log) -> i32 {
        let some = "INSERT INTO t VALUES (zeroblob(36000))";
        connection.execute(some, ()).unwrap();
        let pages = log.pages.load(Ordering::Relaxed);
        log.keep_short(connection).unwrap();
        while log.copier.is_busy() {
            std::thread::yield_now();
            log.keep_short(connection).unwrap();
        }
        pages
    }

    #[test]
    fn the_log_begins_anew_when_all_of_it_is_copied() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, mut log) = a_database(&folder.path().join("test.db"));
        let longest = (0..50).map(|_| write(&connection, &mut log)).max();
        assert!(longest.is_some_and(|pages| pages < 40), "{longest:?}");
    }

    #[test]
    fn readers_that_are_never_all_idle_do_not_make_the_log_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let (connection, mut log) = a_database(&path);
        let (begun, stop) = (Arc::new(Barrier::new(2)), Arc::new(AtomicI32::new(0)));
        let readers = [(); 2].map(|()| {
            let (path, begun, stop) = (path.clone(), Arc::clone(&begun), Arc::clone(&stop));
            std::thread::spawn(move || {
                let reader = Connection::open(path).unwrap();
                // Each ends its snapshot only when the other has begun a later one.
                for turn in 0.. {
                    if turn > 0 {
                        reader.execute_batch("COMMIT").unwrap();
                    }
                    reader.execute_batch("BEGIN; SELECT * FROM t LIMIT 1").unwrap();
                    if begun.wait().is_leader() && stop.load(Ordering::SeqCst) == 1 {
                        stop.store(2, Ordering::SeqCst);
                    }
                    begun.wait();
                    if stop.load(Ordering::SeqCst) == 2 {
                        return;
                    }
                }
            })
        });
        let longest = (0..100).map(|_| write(&connection, &mut log)).max();
        stop.store(1, Ordering::SeqCst);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        assert!(longest.is_some_and(|pages| pages < 100), "{longest:?}");
    }
}
