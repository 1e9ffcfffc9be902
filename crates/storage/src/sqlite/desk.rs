//! Callers who wait for the writer are served together.
//!
//! A job of its own costs each caller a savepoint, statements looked up anew, and a thread woken. Where many ask for the
//! same kind of work, one by one, what has come together by the time the writer takes the job is done as one batch.
//!
//! What it keeps true: whoever asked is answered after the commit that holds their work, and when that is on disk, unless
//! they said that they need not know so much; nobody waits for company; a batch that fails harms nobody but costs each a
//! try of their own.

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

/// What an answer waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    Written,
    OnDisk,
}

struct Waiting<I, O> {
    item: Arc<I>,
    patience: Patience,
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
        self.stand_there(item, Patience::OnDisk).await
    }

    /// As [`bring`](Desk::bring), but answers as soon as the work is written, ahead of the disk: for whoever lets the answer
    /// lead to further transactions of the same database, and to nothing else before one of them is on disk (ADR 011).
    ///
    /// # Errors
    /// As [`bring`](Desk::bring).
    pub async fn bring_ahead(&self, item: I) -> Result<O, StoreError> {
        self.stand_there(item, Patience::Written).await
    }

    async fn stand_there(&self, item: I, patience: Patience) -> Result<O, StoreError> {
        let (answer, mut outcome) = oneshot::channel();
        let item = Arc::new(item);
        let waiting = Waiting {
            item: Arc::clone(&item),
            patience,
            answer,
        };
        let writer = self.0.database.writer();
        let told = match self.stand_in_line(waiting)? {
            Some(turn) => {
                // Whoever is about to come may come along: with others ready to run, they run first.
                tokio::task::yield_now().await;
                tokio::select! {
                    biased;
                    told = &mut outcome => told,
                    // Whatever comes of it, everybody hears of it: by an answer, or by its absence.
                    _ = writer.run(move |tx| turn.serve(tx)) => outcome.await,
                }
            }
            None => outcome.await,
        };
        if let Ok(outcome) = told {
            return Ok(outcome);
        }
        let desk = self.clone();
        let alone = writer
            .run(move |tx| {
                (desk.0.work)(tx, &[item])?
                    .pop()
                    .ok_or(rusqlite::Error::QueryReturnedNoRows)
            })
            .await;
        // After a disk that failed this does nothing; but the batch may have been written, and be found by the next process.
        alone.map_err(|error| {
            let surely_not = !matches!(error, StoreError::Unknown(_));
            if surely_not && self.0.database.has_failed() {
                StoreError::Unknown(error.to_string())
            } else {
                error
            }
        })
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
        let mut served = desk.leave();
        // Whoever gave up waiting has not been served, and asks again or does without.
        served.retain(|waiting| !waiting.answer.is_closed());
        let items: Vec<_> = served.iter().map(|waiting| Arc::clone(&waiting.item)).collect();
        if items.is_empty() {
            return Ok(());
        }
        let outcomes = (desk.work)(tx, &items)?;
        let answers = served.into_iter().zip(outcomes);
        let (ahead, patient): (Vec<_>, Vec<_>) = answers.partition(|(w, _)| w.patience == Patience::Written);
        if !ahead.is_empty() {
            tx.once_written(move || answer(ahead));
        }
        if !patient.is_empty() {
            tx.after_commit(move || answer(patient));
        }
        Ok(())
    }
}

fn answer<I, O>(served: Vec<(Waiting<I, O>, O)>) {
    for (Waiting { item, answer, .. }, outcome) in served {
        // Before the answer: what the item keeps taken is free again when its caller goes on.
        drop(item);
        // Nobody listens any more when the caller gave up waiting; it is done all the same.
        let _ = answer.send(outcome);
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
