//! Callers who wait for the writer are served together.
//!
//! A job of its own costs each caller a savepoint, statements looked up anew, and a thread woken. Where many ask for the
//! same kind of work, one by one, what has come together by the time the writer takes the job is done as one batch.
//!
//! What it keeps true: whoever asked is answered after the commit that holds their work; nobody waits for company; a
//! batch that fails harms nobody but costs each a try of their own.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::{Database, Tx};
use crate::StoreError;

/// The most callers that wait at one desk.
const MAX_LINE: usize = 8_192;

/// Does the work of a batch inside a transaction: an answer for each item, in their order. It may see an item again when
/// the batch was rolled back.
type Work<I, O> = dyn Fn(&mut Tx<'_>, &[Arc<I>]) -> rusqlite::Result<Vec<O>> + Send + Sync;

/// A desk for one kind of work. Clones share it.
pub struct Desk<I, O>(Arc<Inner<I, O>>);

struct Inner<I, O> {
    database: Database,
    work: Box<Work<I, O>>,
    /// Those who wait; at most [`MAX_LINE`].
    line: Mutex<Vec<Waiting<I, O>>>,
}

struct Waiting<I, O> {
    item: Arc<I>,
    answer: oneshot::Sender<O>,
}

impl<I, O> Clone for Desk<I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I: Send + Sync + 'static, O: Send + 'static> Desk<I, O> {
    /// A desk at which `work` is done on `database`.
    #[must_use]
    pub fn new(
        database: Database,
        work: impl Fn(&mut Tx<'_>, &[Arc<I>]) -> rusqlite::Result<Vec<O>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Inner {
            database,
            work: Box::new(work),
            line: Mutex::default(),
        }))
    }

    /// Does the work on `item`, together with whatever else waits, and answers when it is on disk.
    ///
    /// When this future is dropped the work may be done all the same.
    ///
    /// # Errors
    /// As [`Writer::run`](super::Writer::run).
    pub async fn bring(&self, item: I) -> Result<O, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let item = Arc::new(item);
        let waiting = Waiting {
            item: Arc::clone(&item),
            answer,
        };
        let writer = self.0.database.writer();
        if let Some(turn) = self.stand_in_line(waiting)? {
            // Whoever is about to come may come along: with others ready to run, they run first.
            tokio::task::yield_now().await;
            // Whatever comes of it, everybody hears of it below: by an answer, or by its absence.
            let _ = writer.run(move |tx| turn.serve(tx)).await;
        }
        if let Ok(outcome) = outcome.await {
            return Ok(outcome);
        }
        let desk = self.clone();
        writer
            .run(move |tx| {
                (desk.0.work)(tx, &[item])?
                    .pop()
                    .ok_or(rusqlite::Error::QueryReturnedNoRows)
            })
            .await
    }

    /// Whoever is the first in line takes the turn for all that follow until it is served.
    fn stand_in_line(&self, waiting: Waiting<I, O>) -> Result<Option<Turn<I, O>>, StoreError> {
        let mut line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.len() >= MAX_LINE {
            return Err(StoreError::Overloaded);
        }
        line.push(waiting);
        Ok((line.len() == 1).then(|| Turn(Some(Arc::clone(&self.0)))))
    }
}

/// The duty to serve whoever waits. Dropped unserved, it sends them away.
struct Turn<I, O>(Option<Arc<Inner<I, O>>>);

impl<I: Send + Sync + 'static, O: Send + 'static> Turn<I, O> {
    fn serve(mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()> {
        // From here on, whoever comes takes the next turn, and this one sends nobody away any more.
        let desk = self.0.take().expect("a turn is served once");
        let (items, answers): (Vec<_>, Vec<_>) = desk
            .leave()
            .into_iter()
            // Whoever gave up waiting has not been served, and asks again or does without.
            .filter(|waiting| !waiting.answer.is_closed())
            .map(|waiting| (waiting.item, waiting.answer))
            .unzip();
        if items.is_empty() {
            return Ok(());
        }
        let outcomes = (desk.work)(tx, &items)?;
        tx.after_commit(move || {
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                // Nobody listens any more when the caller gave up waiting; it is done all the same.
                let _ = answer.send(outcome);
            }
        });
        Ok(())
    }
}

impl<I, O> Inner<I, O> {
    fn leave(&self) -> Vec<Waiting<I, O>> {
        std::mem::take(&mut *self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<I, O> Drop for Turn<I, O> {
    fn drop(&mut self) {
        if let Some(desk) = &self.0 {
            drop(desk.leave());
        }
    }
}
