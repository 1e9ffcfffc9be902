//! Postings that wait for the writer are booked together.
//!
//! Most postings come one by one, from workers that each carry out one command, and all of them touch the hot wallet's
//! accounts. So what has come together by the time the writer takes the job is decided and written as one batch: the
//! accounts are loaded and stored once for all. What it keeps true: whoever asked is answered after the commit that holds
//! their postings, as if they had been booked alone; a batch that fails harms nobody but costs each a try of their own.

use std::sync::{Arc, Mutex, PoisonError};

use contracts::ledger::{Posting, PostingOutcome};
use jiff::Timestamp;
use storage::StoreError;
use storage::sqlite::{Database, Tx};
use tokio::sync::oneshot;

use super::book::book;

/// The line of those who wait. Its length is bounded by the callers' own bounds: each waits for its answer.
#[derive(Clone, Default)]
pub(super) struct Desk(Arc<Mutex<Vec<Waiting>>>);

struct Waiting {
    now: Timestamp,
    postings: Arc<Vec<Posting>>,
    answer: oneshot::Sender<Vec<PostingOutcome>>,
}

impl Desk {
    /// Books `postings`, together with others'.
    pub(super) async fn post(
        &self,
        database: &Database,
        now: Timestamp,
        postings: Vec<Posting>,
    ) -> Result<Vec<PostingOutcome>, StoreError> {
        let (answer, outcomes) = oneshot::channel();
        let postings = Arc::new(postings);
        let waiting = Waiting {
            now,
            postings: Arc::clone(&postings),
            answer,
        };
        if let Some(turn) = self.stand_in_line(waiting) {
            // Whatever comes of it, everybody hears of it below: by an answer, or by its absence.
            let _ = database.writer().run(move |tx| turn.serve(tx)).await;
        }
        match outcomes.await {
            Ok(outcomes) => Ok(outcomes),
            Err(_) => database.writer().run(move |tx| book(tx, now, postings.iter())).await,
        }
    }

    /// Whoever is the first in line takes the turn for all that follow until it is served.
    fn stand_in_line(&self, waiting: Waiting) -> Option<Turn> {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        line.push(waiting);
        (line.len() == 1).then(|| Turn(self.clone()))
    }

    fn leave(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The duty to serve whoever waits. Dropped unserved, it sends them away.
struct Turn(Desk);

impl Turn {
    fn serve(mut self, tx: &mut Tx<'_>) -> rusqlite::Result<()> {
        // From here on, whoever comes takes the next turn: this one no longer sends anybody away.
        let line = std::mem::take(&mut self.0).leave();
        let now = line.iter().map(|waiting| waiting.now).max().unwrap_or(Timestamp::MIN);
        let postings = line.iter().flat_map(|waiting| waiting.postings.iter());
        let mut outcomes = book(tx, now, postings)?.into_iter();
        let answers: Vec<_> = line
            .into_iter()
            .map(|waiting| {
                let own = outcomes.by_ref().take(waiting.postings.len());
                (waiting.answer, own.collect::<Vec<_>>())
            })
            .collect();
        tx.after_commit(move || {
            for (answer, outcomes) in answers {
                // Nobody listens any more when the caller gave up waiting; it is booked all the same.
                let _ = answer.send(outcomes);
            }
        });
        Ok(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        drop(self.0.leave());
    }
}
