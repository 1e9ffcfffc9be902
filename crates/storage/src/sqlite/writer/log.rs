//! Keeps the write-ahead log short.
//!
//! The log is copied back into the database from time to time, and begins anew when all of it is copied and no
//! reader needs it. SQLite by itself would copy inside a commit, before its answers, and readers that are never all
//! idle would let the log grow for ever (SQLite documentation, "Write-Ahead Logging", section 6). So most of it is copied
//! beside the writer ([`copier`]); between two groups the writer copies the little that it has written meanwhile, and forces
//! the database to disk, so that the log can begin anew. Past a length it waits, for the copy and for the readers of the
//! day; new ones get by without the log.
//!
//! What it keeps true: when a copy fails, nothing is stored or told any more. The system may take pages for clean that are
//! not on disk, and the next copy would let the log go that has them. A full disk is no such failure: the database grows
//! only here, and a copy that finds no room has got nowhere, and is tried again.

mod copier;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};
use tokio::time::Instant;

use self::copier::{Copier, Progress};
use super::disk::Forced;
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
    /// How often at most the log is copied to make room.
    room_every: Duration,
}

const LIMITS: Limits = Limits {
    copy_at: 10_000,
    rest: 1_000,
    wait_at: 40_000,
    wait: Duration::from_millis(200),
    room_every: Duration::from_secs(1),
};

/// What a copy has come to.
#[derive(Debug, Clone, Copy)]
struct Copied {
    /// Up to which page of the log.
    pages: i32,
    /// Whether that was all of it, and nobody was in the way.
    all: bool,
    /// Whether the disk had no room for it.
    full: bool,
}

/// The log of the connection that writes.
pub(super) struct Log {
    pages: Arc<AtomicI32>,
    copier: Copier,
    forced: Forced,
    limits: Limits,
    next_at: i32,
    /// Whether room is wanted, and when it was asked for last.
    room_wanted: bool,
    room_asked: Option<Instant>,
}

impl Log {
    /// Watches how long the log gets that `connection` writes. SQLite does not copy it by itself any more, `beside` does,
    /// another connection to the same database.
    pub(super) fn watch(connection: &mut Connection, beside: Connection, forced: Forced) -> io::Result<Self> {
        Self::watch_within(connection, beside, forced, LIMITS)
    }

    fn watch_within(
        connection: &mut Connection,
        beside: Connection,
        forced: Forced,
        limits: Limits,
    ) -> io::Result<Self> {
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
            copier: Copier::start(beside, forced.clone())?,
            forced,
            limits,
            next_at: limits.copy_at,
            room_wanted: false,
            room_asked: None,
        })
    }

    /// A group could not be stored, perhaps for lack of room: the log is copied next, however short it is. Then it begins
    /// anew, in the room that it has.
    pub(super) fn make_room(&mut self) {
        let just_now = self.room_asked.is_some_and(|at| at.elapsed() < self.limits.room_every);
        if !just_now {
            self.room_wanted = true;
            self.room_asked = Some(Instant::now());
        }
    }

    /// Copies the log if it is long. To be called between transactions.
    pub(super) fn keep_short(&mut self, connection: &Connection) {
        let pages = self.pages.load(Ordering::Relaxed);
        let progress = if pages < self.limits.wait_at {
            self.copier.progress()
        } else {
            self.copier.wait()
        };
        let done = match progress {
            Progress::UnderWay => return,
            Progress::Idle => None,
            Progress::Done(copied) => Some(copied).filter(|_| pages >= self.limits.copy_at),
        };
        if let Err(error) = self.copy(connection, pages, done) {
            tracing::error!(%error, pages, "the write-ahead log could not be copied; nothing is stored any more");
            self.forced.fail();
        }
    }

    fn copy(&mut self, connection: &Connection, pages: i32, done: Option<Copied>) -> rusqlite::Result<()> {
        let Some(copied) = done else {
            if pages < self.limits.copy_at {
                // It began anew.
                self.next_at = self.limits.copy_at;
            }
            if pages >= self.next_at || self.room_wanted {
                self.room_wanted = false;
                self.copier.begin();
            }
            return Ok(());
        };
        let rest = pages.saturating_sub(copied.pages);
        if pages < self.limits.wait_at && rest > self.limits.rest {
            if copied.all {
                self.copier.begin();
            } else {
                // A reader was in the way, and may be gone soon.
                self.next_at = pages.saturating_add(self.limits.rest);
            }
            return Ok(());
        }
        // Not again at the next commit if it does not succeed now: a copy costs two fsyncs.
        self.next_at = pages.saturating_add(self.limits.copy_at);
        if copied.full {
            // The writer would find no more room than the copier.
            return Ok(());
        }
        if pages >= self.limits.wait_at {
            self.wait_for_readers(connection)
        } else {
            checkpoint(connection, WHAT_IS_FREE).map(drop)
        }
    }

    fn wait_for_readers(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.busy_timeout(self.limits.wait)?;
        let copied = checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)");
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let copied = copied?;
        if !copied.all && !copied.full {
            tracing::warn!("a reader keeps an old snapshot open; the write-ahead log grows until it ends");
        }
        Ok(())
    }
}

/// Copies what no reader is in the way of.
const WHAT_IS_FREE: &str = "PRAGMA wal_checkpoint(PASSIVE)";

fn checkpoint(connection: &Connection, sql: &str) -> rusqlite::Result<Copied> {
    let copied = connection.prepare_cached(sql).and_then(|mut copy| {
        copy.query_row((), |row| {
            let (busy, pages, copied): (bool, i32, i32) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Copied {
                pages: copied,
                all: !busy && pages == copied,
                full: false,
            })
        })
    });
    let copied = unless_failed(copied)?;
    if copied.full {
        tracing::warn!("the disk is full: the write-ahead log cannot be copied, and grows until there is room");
    }
    Ok(copied)
}

/// A copy that finds no room counts for nothing: SQLite takes none of its pages for copied, and the next one begins where
/// this one did. What the disk did not keep when it was forced is another error, also where it had promised room before.
fn unless_failed(copied: rusqlite::Result<Copied>) -> rusqlite::Result<Copied> {
    match copied {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DiskFull) => Ok(Copied {
            pages: 0,
            all: false,
            full: true,
        }),
        copied => copied,
    }
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
        room_every: Duration::from_secs(60),
    };

    fn a_database(path: &Path) -> (Connection, Log) {
        a_database_within(path, SMALL)
    }

    fn a_database_within(path: &Path, limits: Limits) -> (Connection, Log) {
        let mut connection = Connection::open(path).unwrap();
        let schema = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; CREATE TABLE t (content BLOB)";
        connection.execute_batch(schema).unwrap();
        let beside = Connection::open(path).unwrap();
        let log = Log::watch_within(&mut connection, beside, Forced::new(), limits).unwrap();
        (connection, log)
    }

    /// Writes some ten pages; answers with the length of the log after that.
    fn write(connection: &Connection, log: &mut Log) -> i32 {
        let some = "INSERT INTO t VALUES (zeroblob(36000))";
        connection.execute(some, ()).unwrap();
        let pages = log.pages.load(Ordering::Relaxed);
        log.keep_short(connection);
        while log.copier.is_busy() {
            std::thread::yield_now();
            log.keep_short(connection);
        }
        assert!(!log.forced.has_failed());
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

    #[test]
    fn a_log_that_is_written_all_the_time_is_copied_beside_that_and_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, mut log) = a_database(&folder.path().join("test.db"));
        let mut longest = 0;
        for _ in 0..500 {
            connection
                .execute("INSERT INTO t VALUES (zeroblob(36000))", ())
                .unwrap();
            longest = longest.max(log.pages.load(Ordering::Relaxed));
            // Nobody waits for a copy that is under way, but where the log gets too long.
            log.keep_short(&connection);
        }
        assert!(!log.forced.has_failed() && longest < 100, "{longest}");
    }

    #[test]
    fn a_short_log_begins_anew_where_room_is_wanted_though_not_at_each_commit() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, mut log) = a_database_within(&folder.path().join("test.db"), LIMITS);
        log.limits.room_every = Duration::from_secs(3_600);
        let [_, before] = [(); 2].map(|()| write(&connection, &mut log));
        log.make_room();
        assert!(write(&connection, &mut log) > before);
        let anew = write(&connection, &mut log);
        assert!(anew < before, "{anew}");
        log.make_room();
        let [_, after] = [(); 2].map(|()| write(&connection, &mut log));
        assert!(after > anew, "it was copied just now");
    }

    #[test]
    fn a_copy_that_fails_is_a_disk_that_has_failed() {
        use rusqlite::hooks::{AuthContext, Authorization};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        let (connection, _) = a_database(&path);
        let mut beside = Connection::open(&path).unwrap();
        beside
            .authorizer(Some(|_: AuthContext<'_>| Authorization::Deny))
            .unwrap();
        let forced = Forced::new();
        let mut copier = Copier::start(beside, forced.clone()).unwrap();
        connection.execute("INSERT INTO t VALUES (1)", ()).unwrap();
        copier.begin();
        assert!(matches!(copier.wait(), Progress::Idle));
        assert!(forced.has_failed());
    }

    #[test]
    fn a_copy_that_finds_no_room_has_got_nowhere_and_no_other_failure_is_taken_for_that() {
        use rusqlite::ffi;
        let failed = |code| unless_failed(Err(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)));
        let nowhere = failed(ffi::SQLITE_FULL).unwrap();
        assert!(nowhere.full && !nowhere.all && nowhere.pages == 0);
        for code in [
            ffi::SQLITE_IOERR_FSYNC,
            ffi::SQLITE_IOERR_WRITE,
            ffi::SQLITE_IOERR_READ,
            ffi::SQLITE_CORRUPT,
        ] {
            assert!(failed(code).is_err(), "{code}");
        }
        assert!(unless_failed(Err(rusqlite::Error::QueryReturnedNoRows)).is_err());
    }

    #[test]
    fn whoever_copies_takes_a_full_disk_for_no_failure() {
        let folder = tempfile::tempdir().unwrap();
        let (connection, mut log) = a_database(&folder.path().join("test.db"));
        connection
            .query_row("PRAGMA max_page_count = 1", (), |_| Ok(()))
            .unwrap();
        // What SQLite says about it is the same, whatever asks for the room.
        let full = "INSERT INTO t VALUES (zeroblob(36000)) RETURNING 0, 0, 0";
        assert!(checkpoint(&connection, full).unwrap().full);

        // And it is not tried again at each commit: whether or not the log has become too long.
        for pages in [SMALL.copy_at, SMALL.wait_at - 1, SMALL.wait_at] {
            let nowhere = unless_failed(checkpoint(&connection, full));
            log.copy(&connection, pages, Some(nowhere.unwrap())).unwrap();
            assert!(log.next_at > pages, "{pages}");
        }
    }

    #[test]
    fn sqlite_lets_one_connection_copy_while_another_begins_the_log_anew() {
        // Before, such a copy could lose commits (SQLite before 3.51.3: the salts were not compared).
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    }
}
