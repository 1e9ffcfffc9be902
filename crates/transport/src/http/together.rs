//! Questions that come one by one, asked together: for a port whose verbs take one thing each, at a peer whose routes take
//! arrays.
//!
//! A request of its own costs both sides more than most answers do. So whatever waits when a request begins travels in it.
//! Nobody waits for company: as long as fewer than [`LANES`] requests are under way, the next one begins at once.
//!
//! What it keeps true:
//!
//! - **Unknown is not failed.** Whatever goes wrong on the way is answered `unknown`, and nothing else is but what the peer
//!   itself has said of that very item.
//! - Who stops waiting while they stand in line have not asked. What has left the line is sent, and sent again where it may
//!   be, whoever still waits, and may have its effect.
//! - A late answer holds up what travels with it and nothing else: after [`PATIENCE`] its request no longer counts as one of
//!   the lanes.

use std::collections::VecDeque;
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use contracts::clients::MAX_COMMANDS;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::batch;
use super::peer::Peer;
use super::retry::Repeat;

/// Requests under way at once, besides those that are late. Few, so that much travels together when there is much.
const LANES: usize = 4;

/// How long a request keeps its lane.
const PATIENCE: Duration = Duration::from_millis(20);

/// The most that waits to be sent.
const MAX_LINE: usize = 8_192;

/// One kind of question to one peer, whose `path` takes an array of at most [`MAX_COMMANDS`] and answers with an array in
/// their order. Clones share the line.
pub struct Together<I, O>(Arc<Parts<I, O>>);

struct Parts<I, O> {
    peer: Peer,
    path: &'static str,
    repeat: Repeat,
    unknown: fn(String) -> O,
    line: Mutex<Line<I, O>>,
}

struct Line<I, O> {
    waiting: VecDeque<Waiting<I, O>>,
    /// The lanes that are in use: at most [`LANES`].
    lanes: usize,
}

struct Waiting<I, O> {
    item: I,
    answer: oneshot::Sender<O>,
}

impl<I, O> Clone for Together<I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I, O> fmt::Debug for Together<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {:?}", self.0.path, self.0.peer)
    }
}

impl<I, O> Together<I, O>
where
    I: Serialize + Send + Sync + 'static,
    O: DeserializeOwned + Send + 'static,
{
    /// Questions for `path`. A request may be sent again as `repeat` says; where there is no usable answer in the end,
    /// `unknown` makes one of the reason.
    #[must_use]
    pub fn new(peer: Peer, path: &'static str, repeat: Repeat, unknown: fn(String) -> O) -> Self {
        Self(Arc::new(Parts {
            peer,
            path,
            repeat,
            unknown,
            line: Mutex::new(Line {
                waiting: VecDeque::new(),
                lanes: 0,
            }),
        }))
    }

    /// What the peer answers, or `unknown`. Comes back within the bounds of a call to the peer and the short time in the line.
    ///
    /// Whoever stops waiting has not asked, if it still stood in line; otherwise it may have its effect.
    pub async fn ask(&self, item: I) -> O {
        let (sender, answer) = oneshot::channel();
        if !self.0.stand_in_line(Waiting { item, answer: sender }) {
            return (self.0.unknown)(format!("too much waits to be sent to {:?} already", self.0.peer));
        }
        let answer = answer.await;
        answer.unwrap_or_else(|_| (self.0.unknown)("nobody is left to wait for the answer".to_owned()))
    }
}

impl<I, O> Parts<I, O>
where
    I: Serialize + Send + Sync + 'static,
    O: DeserializeOwned + Send + 'static,
{
    /// Whether there was room.
    fn stand_in_line(self: &Arc<Self>, waiting: Waiting<I, O>) -> bool {
        let mut line = self.line();
        if line.waiting.len() >= MAX_LINE {
            return false;
        }
        line.waiting.push_back(waiting);
        if line.lanes < LANES {
            line.lanes += 1;
            tokio::spawn(Arc::clone(self).carry());
        }
        true
    }

    /// In a lane: one request after the other, until nobody waits.
    async fn carry(self: Arc<Self>) {
        let mut lane = Lane {
            parts: &self,
            held: true,
        };
        loop {
            // Whoever is about to ask as well gets their turn first.
            tokio::task::yield_now().await;
            let Some(batch) = lane.next() else { return };
            let mut sending = pin!(self.send(batch));
            if timeout(PATIENCE, &mut sending).await.is_err() {
                lane.pass_on();
                return sending.await;
            }
        }
    }

    async fn send(&self, batch: Vec<Waiting<I, O>>) {
        let (items, askers): (Vec<I>, Vec<oneshot::Sender<O>>) =
            batch.into_iter().map(|Waiting { item, answer }| (item, answer)).unzip();
        let refuse = |detail| (self.unknown)(format!("{:?} cannot make sense of it: {detail}", self.peer));
        let caused_by = |_: &I| None;
        let sending = batch::send_until(
            &self.peer,
            self.path,
            &items,
            MAX_COMMANDS,
            self.repeat,
            refuse,
            caused_by,
        );
        let (answers, error) = sending.await;
        let reason = error.map_or_else(|| "nothing was said of it".to_owned(), |error| error.to_string());
        // What was heard before something went wrong was heard.
        let rest = std::iter::repeat_with(|| (self.unknown)(reason.clone()));
        for (asker, answer) in askers.into_iter().zip(answers.into_iter().chain(rest)) {
            // Who stopped waiting will ask again.
            let _ = asker.send(answer);
        }
    }
}

impl<I, O> Parts<I, O> {
    fn line(&self) -> MutexGuard<'_, Line<I, O>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to send. It is given back under the lock under which the line was seen to be empty, so that nobody comes to stand
/// in line in between and finds all lanes in use.
struct Lane<'a, I, O> {
    parts: &'a Arc<Parts<I, O>>,
    held: bool,
}

impl<I, O> Lane<'_, I, O>
where
    I: Serialize + Send + Sync + 'static,
    O: DeserializeOwned + Send + 'static,
{
    /// Those who go next; without any, the lane is given back.
    fn next(&mut self) -> Option<Vec<Waiting<I, O>>> {
        let mut line = self.parts.line();
        let mut batch = Vec::new();
        while batch.len() < MAX_COMMANDS
            && let Some(waiting) = line.waiting.pop_front()
        {
            if !waiting.answer.is_closed() {
                batch.push(waiting);
            }
        }
        if batch.is_empty() {
            line.lanes -= 1;
            self.held = false;
            return None;
        }
        Some(batch)
    }

    /// Leaves the lane to whoever waits.
    fn pass_on(&mut self) {
        let mut line = self.parts.line();
        if line.waiting.is_empty() {
            line.lanes -= 1;
        } else {
            tokio::spawn(Arc::clone(self.parts).carry());
        }
        self.held = false;
    }
}

impl<I, O> Drop for Lane<'_, I, O> {
    /// Only a panic, or the end of the runtime, leaves it held.
    fn drop(&mut self) {
        if self.held {
            self.parts.line().lanes -= 1;
        }
    }
}
