//! Reading beside the writer: WAL lets readers see the last commit while the next one is being written.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::writer::Forced;
use crate::StoreError;

/// How long a caller waits for an idle connection before it is told that the store is overloaded.
const MAX_WAIT_FOR_A_READER: Duration = Duration::from_secs(1);

/// A bounded set of read-only connections; clones share it.
#[derive(Clone)]
pub struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
    forced: Forced,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>, forced: Forced) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self {
            idle: Arc::new(Mutex::new(connections)),
            permits,
            forced,
        }
    }

    /// Runs `query` on one consistent snapshot of the last commit, and answers when that is on disk. It should be short:
    /// the write-ahead log is kept for as long as its oldest reader.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when no connection became idle for a second; [`StoreError::Unavailable`] when the
    /// query fails.
    pub async fn run<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let permit = self.permit().await?;
        let idle = Arc::clone(&self.idle);
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            on_a_snapshot(&idle, query)
        });
        let answer = answer
            .await
            .map_err(|error| StoreError::Unavailable(format!("a query died: {error}")))?
            .map_err(failed)?;
        self.forced.catch_up().await?;
        Ok(answer)
    }

    /// As [`Readers::run`], but right here instead of on another thread: for a look-up of one or two rows by their keys,
    /// which takes less time than another thread takes to wake up.
    ///
    /// # Errors
    /// As [`Readers::run`].
    pub async fn look_up<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let answer = {
            let _permit = self.permit().await?;
            on_a_snapshot(&self.idle, query).map_err(failed)?
        };
        self.forced.catch_up().await?;
        Ok(answer)
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        timeout(MAX_WAIT_FOR_A_READER, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| StoreError::Overloaded)?
            .map_err(|_| StoreError::Unavailable("the database is closed".to_owned()))
    }
}

/// Whoever calls holds a permit.
fn on_a_snapshot<T>(
    idle: &Mutex<Vec<Connection>>,
    query: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let connection = idle
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .pop()
        .expect("as many permits as connections");
    let lent = Lent {
        connection: Some(connection),
        home: idle,
    };
    let connection = lent.connection.as_ref().expect("lent until dropped");
    connection.prepare_cached("BEGIN")?.execute(())?;
    query(connection)
}

fn failed(error: rusqlite::Error) -> StoreError {
    tracing::error!(%error, "a query failed");
    StoreError::from(error)
}

/// Ends the snapshot and brings the connection home, even when the query fails or panics.
struct Lent<'a> {
    connection: Option<Connection>,
    home: &'a Mutex<Vec<Connection>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        let ended = connection
            .prepare_cached("ROLLBACK")
            .and_then(|mut end| end.execute(()));
        if let (Err(error), false) = (ended, connection.is_autocommit()) {
            tracing::error!(%error, "a snapshot could not be ended");
        }
        self.home
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
    }
}
