//! A transaction.
//!
//! It begins with its first statement, in the same round trip. Statements whose answer is needed are asked with
//! [`Tx::query`]; those that only write are kept with [`Tx::write`] and sent together when the work is done, with the
//! outbox rows, before the commit. What it keeps true: a commit is only sent when every statement has succeeded and
//! changed as many rows as it should; a connection with a transaction that is not known to have ended is never used again,
//! so that the server undoes it; nothing is handed on before the server has said that the commit is done.

use std::time::Duration;

use deadpool_postgres::Object;
use futures::future::{join, join_all, join3};
use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Statement};

use super::TxError;
use super::outbox::Envelope;

/// Something that a statement is given, kept until it is sent.
pub type Param = Box<dyn ToSql + Sync + Send>;

type Effect = Box<dyn FnOnce() + Send>;

/// Locks rows where it must, and sees in each statement what was committed before it.
const WRITING: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
/// Sees one moment.
const READING: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
/// Sees one moment, and reads whole tables from end to end.
const READING_ALL: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL enable_seqscan = on";
/// The most statements that travel together. More of them travel in turns.
const TOGETHER: usize = 16;

struct Write {
    sql: String,
    params: Vec<Param>,
    rows: Option<u64>,
}

/// A transaction that is under way.
pub struct Tx {
    /// There until the transaction has ended, or its connection is given up.
    connection: Option<Object>,
    begin: &'static str,
    begun: bool,
    /// A statement was sent, or was to be, and is not known to have succeeded. The server would answer a commit with
    /// success though it undoes all, and what follows a beginning that was never sent would not be undone.
    failed: bool,
    answer: Duration,
    writes: Vec<Write>,
    after_commit: Vec<Effect>,
    /// What it has to say to others, stored at its end.
    pub(super) outgoing: Vec<Envelope>,
}

impl Tx {
    pub(super) const fn new(connection: Object, answer: Duration) -> Self {
        Self {
            connection: Some(connection),
            begin: WRITING,
            begun: false,
            failed: false,
            answer,
            writes: Vec::new(),
            after_commit: Vec::new(),
            outgoing: Vec::new(),
        }
    }

    pub(super) const fn snapshot(connection: Object, answer: Duration) -> Self {
        let mut tx = Self::new(connection, answer);
        tx.begin = READING;
        tx
    }

    pub(super) const fn overview(connection: Object, answer: Duration) -> Self {
        let mut tx = Self::new(connection, answer);
        tx.begin = READING_ALL;
        tx
    }

    /// Asks, and waits for the rows. What [`Tx::write`] was told before is not seen.
    ///
    /// # Errors
    /// What the server or the connection says; nothing else may be done in this transaction then.
    pub async fn query(&mut self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, TxError> {
        let (begin, answer) = (self.begin()?, self.answer);
        let connection = self.connection()?;
        let work = async {
            let statement = connection.prepare_cached(sql).await?;
            // The requests leave in the order in which they are polled first.
            let (begun, rows) = join(execute(connection, begin), connection.query(&statement, params)).await;
            begun?;
            rows
        };
        let Ok(rows) = timeout(answer, work).await else {
            self.give_up();
            return Err(TxError::Silent(answer));
        };
        let rows = rows?;
        self.failed = false;
        Ok(rows)
    }

    /// Keeps a statement until the work is done. It must change `rows` rows, if that is said.
    pub fn write(&mut self, sql: impl Into<String>, params: Vec<Param>, rows: Option<u64>) {
        let sql = sql.into();
        self.writes.push(Write { sql, params, rows });
    }

    /// Registers what happens once the transaction is committed; nothing happens if it is not. It must not block.
    pub fn after_commit(&mut self, effect: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(effect));
    }

    /// Sends what was kept, and commits.
    ///
    /// # Errors
    /// What the server or the connection says. [`StoreError::Unknown`](crate::StoreError::Unknown) when the commit was sent
    /// and not answered.
    pub(super) async fn commit(mut self) -> Result<(), TxError> {
        self.flush().await?;
        self.sound()?;
        if self.begun {
            self.send_commit().await?;
            self.begun = false;
        }
        std::mem::take(&mut self.after_commit)
            .into_iter()
            .for_each(|effect| effect());
        Ok(())
    }

    async fn send_commit(&mut self) -> Result<(), TxError> {
        let answer = self.answer;
        let connection = self.connection()?;
        if connection.is_closed() {
            return Err(TxError::Lost);
        }
        match timeout(answer, connection.batch_execute("COMMIT")).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(TxError::from(error).at_commit()),
            Err(_) => Err(TxError::Silent(answer).at_commit()),
        }
    }

    /// Takes everything back; what only read has nothing to commit. A server that has gone silent is not asked again.
    pub async fn roll_back(mut self) {
        let answer = self.answer;
        if self.begun
            && let Ok(connection) = self.connection()
            && let Ok(Ok(())) = timeout(answer, connection.batch_execute("ROLLBACK")).await
        {
            self.begun = false;
        }
    }

    async fn flush(&mut self) -> Result<(), TxError> {
        let mut writes = std::mem::take(&mut self.writes);
        let envelopes = std::mem::take(&mut self.outgoing);
        if writes.is_empty() && envelopes.is_empty() {
            return Ok(());
        }
        while writes.len() > TOGETHER {
            let rest = writes.split_off(TOGETHER);
            self.send(std::mem::replace(&mut writes, rest), Vec::new()).await?;
        }
        self.send(writes, envelopes).await
    }

    /// Sends statements in one round trip, and looks at the answers of all.
    async fn send(&mut self, writes: Vec<Write>, envelopes: Vec<Envelope>) -> Result<(), TxError> {
        let (begin, answer) = (self.begin()?, self.answer);
        let connection = self.connection()?;
        let work = async {
            let mut prepared = Vec::with_capacity(writes.len());
            for write in &writes {
                prepared.push(connection.prepare_cached(&write.sql).await?);
            }
            let mut inserts = Vec::with_capacity(envelopes.len());
            for envelope in &envelopes {
                inserts.push(connection.prepare_cached(envelope.sql()).await?);
            }
            let writing = writes.iter().zip(&prepared);
            let writing = writing.map(|(write, statement)| changed(connection, statement, &write.params));
            let inserting = envelopes.iter().zip(&inserts);
            let inserting = inserting.map(|(envelope, statement)| envelope.insert(connection, statement));
            Ok::<_, TxError>(join3(execute(connection, begin), join_all(writing), join_all(inserting)).await)
        };
        let (begun, changes, inserted) = timeout(answer, work).await.map_err(|_| TxError::Silent(answer))??;
        begun?;
        for (write, changed) in writes.iter().zip(changes) {
            let changed = changed?;
            if write.rows.is_some_and(|rows| rows != changed) {
                let why = format!("a statement changed {changed} rows and not {:?}", write.rows);
                return Err(TxError::Value(why));
            }
        }
        for (envelope, rows) in envelopes.into_iter().zip(inserted) {
            let hand_over = envelope.hand_over(&rows?)?;
            self.after_commit(hand_over);
        }
        self.failed = false;
        Ok(())
    }

    /// What has to be said first, if this is the first statement. Until it has succeeded it counts as failed: whoever
    /// stops waiting for it does not know either.
    fn begin(&mut self) -> Result<Option<&'static str>, TxError> {
        self.sound()?;
        self.failed = true;
        let first = !self.begun;
        // From here on the connection is not used again unless the end is known.
        self.begun = true;
        Ok(first.then_some(self.begin))
    }

    /// Refuses to go on after a failure.
    fn sound(&self) -> Result<(), TxError> {
        if self.failed {
            return Err(TxError::Value("a statement of this transaction has failed".to_owned()));
        }
        Ok(())
    }

    /// Closes the connection; the server undoes what was not committed.
    fn give_up(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }

    fn connection(&self) -> Result<&Object, TxError> {
        self.connection
            .as_ref()
            .ok_or_else(|| TxError::Value("the transaction has ended".to_owned()))
    }
}

impl Drop for Tx {
    fn drop(&mut self) {
        if self.begun {
            self.give_up();
        }
    }
}

async fn execute(connection: &Object, sql: Option<&str>) -> Result<(), tokio_postgres::Error> {
    match sql {
        Some(sql) => connection.batch_execute(sql).await,
        None => Ok(()),
    }
}

async fn changed(connection: &Object, statement: &Statement, params: &[Param]) -> Result<u64, tokio_postgres::Error> {
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
    connection.execute(statement, &params).await
}
