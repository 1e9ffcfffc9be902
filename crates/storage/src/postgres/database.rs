//! A service's way to the server: a pool of connections under its role, transactions that are tried again where that can
//! help, and waits that end.

use std::sync::Arc;
use std::time::Duration;

use contracts::random::backoff;
use contracts::{Entropy, ServiceName};
use deadpool_postgres::{Object, PoolError, TimeoutType};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::connect::{ConnectError, Role, Way};
use super::{Tx, TxError};
use crate::StoreError;

/// How often a transaction is tried, and the first pause between two tries, which doubles: those who were in each other's
/// way shall not meet again.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// How a service reaches the server, and how long anything may take.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How long a start waits for a server that is not there yet.
    pub patience: Duration,
    /// The most connections.
    pub connections: usize,
    /// How long a caller waits for one before it is told that the store is overloaded.
    pub wait: Duration,
    /// How long it may take to connect.
    pub connect: Duration,
    /// How long the server works on a statement, waiting for locks included.
    pub statement: Duration,
    /// How long we wait for an answer: longer than the server needs to give up by itself.
    pub answer: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(10),
            connections: 8,
            wait: Duration::from_secs(1),
            connect: Duration::from_secs(5),
            statement: Duration::from_secs(10),
            answer: Duration::from_secs(15),
        }
    }
}

/// A service's database. Clones share it.
#[derive(Clone)]
pub struct Database {
    service: ServiceName,
    way: Way,
    options: Options,
    entropy: Arc<dyn Entropy>,
}

impl Database {
    /// Makes sure that the server at `url` is there and has a role for `service`. Waits for a server that is not there yet,
    /// for as long as the options say; what will not get better fails at once.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        url: &str,
        service: ServiceName,
        options: Options,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, ConnectError> {
        let way = Way::open(url, Role::Service(service), &options, entropy.as_ref()).await?;
        Ok(Self {
            service,
            way,
            options,
            entropy,
        })
    }

    /// Whose it is.
    #[must_use]
    pub const fn service(&self) -> ServiceName {
        self.service
    }

    /// How its connections stand.
    #[must_use]
    pub fn connections(&self) -> Connections {
        let status = self.way.status();
        Connections {
            open: status.size,
            idle: status.available,
            waited_for: status.waiting,
        }
    }

    /// The tries of one transaction; [`in_transaction!`](crate::in_transaction) goes through them.
    #[must_use]
    pub const fn tries(&self) -> Tries<'_> {
        Tries {
            database: self,
            tried: 0,
        }
    }

    /// A transaction that only reads, and sees one moment in all that it reads.
    ///
    /// # Errors
    /// When there is no connection to be had.
    pub async fn snapshot(&self) -> Result<Tx, StoreError> {
        Ok(Tx::snapshot(self.connection().await?, self.options.answer))
    }

    /// A snapshot for whoever reads whole tables. Its statements must be its own: a connection keeps their plans.
    ///
    /// # Errors
    /// When there is no connection to be had.
    pub async fn overview(&self) -> Result<Tx, StoreError> {
        Ok(Tx::overview(self.connection().await?, self.options.answer))
    }

    /// Reads by one statement.
    ///
    /// # Errors
    /// What the database says.
    pub async fn query(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        crate::in_transaction!(self, tx => tx.query(sql, params))
    }

    async fn connection(&self) -> Result<Object, StoreError> {
        self.way.get().await.map_err(|error| match error {
            PoolError::Timeout(TimeoutType::Wait) => StoreError::Overloaded,
            PoolError::Timeout(_)
            | PoolError::Backend(_)
            | PoolError::Closed
            | PoolError::NoRuntimeSpecified
            | PoolError::PostCreateHook(_) => StoreError::Unavailable(self.way.unreachable(&error).to_string()),
        })
    }
}

/// How the connections of a service stand, for whoever watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// How many there are.
    pub open: usize,
    /// How many of these nobody uses.
    pub idle: usize,
    /// How many callers wait for one.
    pub waited_for: usize,
}

/// The tries of one transaction.
pub struct Tries<'a> {
    database: &'a Database,
    tried: u32,
}

impl Tries<'_> {
    /// Begins the next try.
    ///
    /// # Errors
    /// When there is no connection to be had.
    pub async fn begin(&mut self) -> Result<Tx, StoreError> {
        let Database { options, .. } = self.database;
        Ok(Tx::new(self.database.connection().await?, options.answer))
    }

    /// Ends a try: commits what was done, or takes it back. What to answer, or `None`: once more.
    pub async fn end<T>(&mut self, tx: Tx, done: Result<T, TxError>) -> Option<Result<T, StoreError>> {
        let failed = match done {
            Ok(value) => match tx.commit().await {
                Ok(()) => return Some(Ok(value)),
                Err(error) => error,
            },
            Err(error) => {
                tx.roll_back().await;
                error
            }
        };
        self.tried += 1;
        if !failed.may_pass() || self.tried >= TRIES {
            return Some(Err(failed.into()));
        }
        tracing::debug!(error = %failed, tried = self.tried, "a transaction is tried again");
        let pause = backoff(PAUSE, self.tried - 1, LONGEST_PAUSE);
        // sleep: nothing tells when those who are in the way have gone
        tokio::time::sleep(self.database.entropy.jitter(pause)).await;
        None
    }
}

/// Does `$work`, a future, in a transaction of `$database` that it knows as `$tx`, and commits. Where somebody else was in
/// the way, or the connection broke before the commit, `$work` is made and done again, a few times: it must own nothing
/// that it uses up.
///
/// Answers with `Result<_, StoreError>`. After [`StoreError::Unknown`](crate::StoreError::Unknown) all may be done; after
/// any other error nothing is.
///
/// A macro, because a closure that borrows what it works on and the transaction too cannot be told to be `Send`.
#[macro_export]
macro_rules! in_transaction {
    ($database:expr, $tx:ident => $work:expr) => {{
        let mut tries = $database.tries();
        loop {
            let mut $tx = match tries.begin().await {
                Ok(begun) => begun,
                Err(error) => break Err(error),
            };
            let done = $work.await.map_err($crate::postgres::TxError::from);
            if let Some(answer) = tries.end($tx, done).await {
                break answer;
            }
        }
    }};
}
