//! Reading beside the writer: WAL lets readers see the last commit while the next one is being written.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use crate::StoreError;

/// A bounded set of read-only connections; clones share it.
#[derive(Clone)]
pub struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(connections: Vec<Connection>) -> Self {
        let permits = Arc::new(Semaphore::new(connections.len()));
        Self {
            idle: Arc::new(Mutex::new(connections)),
            permits,
        }
    }

    /// Runs `query` on one consistent snapshot of the last commit.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the query fails.
    pub async fn run<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let closed = || StoreError::Unavailable("the database is closed".to_owned());
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let idle = Arc::clone(&self.idle);
        let answer = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let connection = idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop()
                .expect("as many permits as connections");
            let lent = Lent {
                connection: Some(connection),
                home: &idle,
            };
            let connection = lent.connection.as_ref().expect("lent until dropped");
            let snapshot = connection.unchecked_transaction()?;
            let answer = query(&snapshot)?;
            snapshot.finish()?;
            Ok(answer)
        });
        answer
            .await
            .map_err(|error| StoreError::Unavailable(format!("a query died: {error}")))?
            .map_err(|error: rusqlite::Error| {
                tracing::error!(%error, "a query failed");
                StoreError::from(error)
            })
    }
}

/// Brings a connection home even when the query panics.
struct Lent<'a> {
    connection: Option<Connection>,
    home: &'a Mutex<Vec<Connection>>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.home
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}
