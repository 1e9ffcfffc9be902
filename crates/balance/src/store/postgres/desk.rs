//! Callers who wait are served together. All bookings touch the hot wallet's accounts: two transactions of one process would
//! only wait for each other's locks, and one that books for everybody who waits locks, loads and stores those once.
//!
//! What it keeps true: whoever asked is answered after the end of the transaction that holds their work, and hears how it
//! ended; nobody waits for company; whoever gives up waiting takes nothing away from the others.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::ledger::{Posting, PostingOutcome};
use jiff::Timestamp;
use storage::postgres::{Database, Tx, TxError};
use storage::{StoreError, in_transaction};
use tokio::sync::oneshot;

use super::book::book;

/// The most callers that wait.
const MAX_LINE: usize = 8_192;
/// The most postings that are booked together: bounds the locks that a transaction takes. A caller who brings more is served
/// alone.
const TOGETHER: usize = 200;

/// Where postings are brought. Clones share it.
#[derive(Clone)]
pub(super) struct Desk(Arc<Inner>);

struct Inner {
    database: Database,
    line: Mutex<Line>,
}

#[derive(Default)]
struct Line {
    /// At most [`MAX_LINE`].
    waiting: VecDeque<Waiting>,
    /// Whether somebody serves them.
    served: bool,
}

struct Waiting {
    now: Timestamp,
    postings: Vec<Posting>,
    answer: oneshot::Sender<Result<Vec<PostingOutcome>, StoreError>>,
}

impl Desk {
    pub(super) fn new(database: Database) -> Self {
        Self(Arc::new(Inner {
            database,
            line: Mutex::default(),
        }))
    }

    /// Books postings together with whatever else waits. When this future is dropped they may be booked all the same.
    pub(super) async fn bring(
        &self,
        now: Timestamp,
        postings: Vec<Posting>,
    ) -> Result<Vec<PostingOutcome>, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let waiting = Waiting { now, postings, answer };
        if let Some(turn) = self.stand_in_line(waiting)? {
            tokio::spawn(turn.serve());
        }
        outcome.await.unwrap_or_else(|_| {
            let why = "whoever was booking has gone, and may have booked".to_owned();
            Err(StoreError::Unknown(why))
        })
    }

    fn stand_in_line(&self, waiting: Waiting) -> Result<Option<Turn>, StoreError> {
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
struct Turn {
    desk: Arc<Inner>,
    ended: bool,
}

impl Turn {
    async fn serve(mut self) {
        loop {
            let served = self.desk.next();
            if served.is_empty() {
                self.ended = true;
                return;
            }
            let done = in_transaction!(self.desk.database, tx => book_together(&mut tx, &served));
            match done {
                Ok(outcomes) => answer(served, outcomes.into_iter().map(Ok)),
                Err(error) => answer(served, std::iter::repeat(Err(error))),
            }
        }
    }
}

/// Nobody listens any more when a caller gave up waiting; it is done all the same.
fn answer(served: Vec<Waiting>, answers: impl Iterator<Item = Result<Vec<PostingOutcome>, StoreError>>) {
    for (waiting, answer) in served.into_iter().zip(answers) {
        let _ = waiting.answer.send(answer);
    }
}

/// Books what several callers want booked; the outcomes are parted again.
async fn book_together(tx: &mut Tx, served: &[Waiting]) -> Result<Vec<Vec<PostingOutcome>>, TxError> {
    let now = served.iter().map(|waiting| waiting.now).max().unwrap_or(Timestamp::MIN);
    let done = book(tx, now, served.iter().flat_map(|waiting| &waiting.postings), None).await?;
    let mut outcomes = done.outcomes.into_iter();
    let parted = served
        .iter()
        .map(|waiting| outcomes.by_ref().take(waiting.postings.len()).collect());
    Ok(parted.collect())
}

impl Inner {
    /// Those who are served next: nobody, and then whoever comes takes the next turn.
    fn next(&self) -> Vec<Waiting> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut next, mut postings) = (Vec::new(), 0);
        while let Some(waiting) = line.waiting.pop_front() {
            postings += waiting.postings.len();
            if postings > TOGETHER && !next.is_empty() {
                line.waiting.push_front(waiting);
                break;
            }
            // Whoever gave up waiting has not been served, and asks again or does without.
            if waiting.answer.is_closed() {
                postings -= waiting.postings.len();
            } else {
                next.push(waiting);
            }
        }
        line.served = !next.is_empty();
        next
    }
}

impl Drop for Turn {
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
