//! Callers who wait are served together: one by one, each would cost round trips and a commit of their own, and where all
//! need the same rows, two transactions of one process would only wait for each other's locks.
//!
//! What it keeps true: whoever asked is answered after the end of the transaction that holds their work, and hears how it
//! ended; nobody waits for company; whoever gives up waiting takes nothing away from the others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::{Database, Tx, TxError};
use crate::{StoreError, in_transaction};

/// The most callers that wait at one desk.
const MAX_LINE: usize = 8_192;
/// The most items that are worked on together: bounds the locks that a transaction takes. A caller who brings more is
/// served alone.
const TOGETHER: usize = 200;

/// One kind of work.
pub trait Work: Send + Sync + 'static {
    /// What a caller brings.
    type Call: Send + Sync + 'static;
    /// What a caller takes home.
    type Answer: Send + 'static;

    /// How many items a call is made of.
    fn items(call: &Self::Call) -> usize;

    /// Does the work of all calls inside a transaction: an answer for each, in their order. It sees the same calls again
    /// when the transaction is tried again. Where one call alone cannot be done, it must have left no trace.
    fn together(
        &self,
        tx: &mut Tx,
        calls: &[Arc<Self::Call>],
    ) -> impl Future<Output = Result<Vec<Result<Self::Answer, StoreError>>, TxError>> + Send;
}

/// Where one kind of work is brought. Clones share it.
pub struct Desk<W: Work>(Arc<Inner<W>>);

struct Inner<W: Work> {
    database: Database,
    work: W,
    line: Mutex<Line<W>>,
}

struct Line<W: Work> {
    /// At most [`MAX_LINE`].
    waiting: VecDeque<Waiting<W>>,
    /// Whether somebody serves them.
    served: bool,
}

struct Waiting<W: Work> {
    call: Arc<W::Call>,
    answer: oneshot::Sender<Result<W::Answer, StoreError>>,
}

impl<W: Work> Clone for Desk<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: Work> Desk<W> {
    /// A desk at which `work` is done on `database`.
    #[must_use]
    pub fn new(database: Database, work: W) -> Self {
        let line = Line {
            waiting: VecDeque::new(),
            served: false,
        };
        Self(Arc::new(Inner {
            database,
            work,
            line: Mutex::new(line),
        }))
    }

    /// Does the work on `call` together with whatever else waits. When this future is dropped it may be done all the same.
    ///
    /// # Errors
    /// What the work says of this call, or [`StoreError::Overloaded`] when too many wait; whatever befalls the transaction,
    /// [`StoreError::Unknown`] included, all hear who were in it.
    pub async fn bring(&self, call: W::Call) -> Result<W::Answer, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let call = Arc::new(call);
        if let Some(turn) = self.stand_in_line(Waiting { call, answer })? {
            tokio::spawn(turn.serve());
        }
        outcome.await.unwrap_or_else(|_| {
            let why = "whoever was at work has gone, and may have done it".to_owned();
            Err(StoreError::Unknown(why))
        })
    }

    fn stand_in_line(&self, waiting: Waiting<W>) -> Result<Option<Turn<W>>, StoreError> {
        let mut line = self.0.line.lock().unwrap_or_else(PoisonError::into_inner);
        if line.waiting.len() >= MAX_LINE {
            return Err(StoreError::Overloaded);
        }
        line.waiting.push_back(waiting);
        let first = !std::mem::replace(&mut line.served, true);
        Ok(first.then(|| Turn {
            desk: Arc::clone(&self.0),
            ended: false,
        }))
    }
}

/// The duty to serve until nobody waits. Dropped before, it sends away whoever does.
struct Turn<W: Work> {
    desk: Arc<Inner<W>>,
    ended: bool,
}

impl<W: Work> Turn<W> {
    async fn serve(mut self) {
        loop {
            let (calls, answers) = self.desk.next();
            if calls.is_empty() {
                self.ended = true;
                return;
            }
            let Inner { database, work, .. } = &*self.desk;
            let done: Result<_, StoreError> = in_transaction!(database, tx => work.together(&mut tx, &calls));
            // Before the answers: what a call keeps taken is free again when its caller goes on.
            drop(calls);
            // Nobody listens any more when a caller gave up waiting; it is done all the same.
            match done {
                Ok(outcomes) => {
                    for (answer, outcome) in answers.into_iter().zip(outcomes) {
                        let _ = answer.send(outcome);
                    }
                }
                Err(error) => {
                    for answer in answers {
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }
}

type Answers<W> = Vec<oneshot::Sender<Result<<W as Work>::Answer, StoreError>>>;

impl<W: Work> Inner<W> {
    /// Those who are served next: nobody, and then whoever comes takes the next turn.
    fn next(&self) -> (Vec<Arc<W::Call>>, Answers<W>) {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut calls, mut answers, mut items) = (Vec::new(), Vec::new(), 0);
        while let Some(waiting) = line.waiting.pop_front() {
            // Whoever gave up waiting has not been served, and asks again or does without.
            if waiting.answer.is_closed() {
                continue;
            }
            items += W::items(&waiting.call);
            if items > TOGETHER && !calls.is_empty() {
                line.waiting.push_front(waiting);
                break;
            }
            calls.push(waiting.call);
            answers.push(waiting.answer);
        }
        line.served = !calls.is_empty();
        (calls, answers)
    }
}

impl<W: Work> Drop for Turn<W> {
    fn drop(&mut self) {
        if self.ended {
            // Somebody else may have the next turn already.
            return;
        }
        let mut line = self.desk.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.served = false;
        line.waiting.clear();
    }
}
