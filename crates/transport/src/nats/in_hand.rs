//! An envelope in the hands of a listener, from its arrival to the word that the server gets about it.
//!
//! What it keeps true: an envelope is acknowledged only when each of its messages is done, or is stored elsewhere: as a dead
//! letter, or in an envelope of its own. While one of them is being worked on, the server hears so, and does not deliver it
//! to others.
//!
//! A message that is to come again while its neighbours are done is published anew and alone when its pause is over, and the
//! old envelope is acknowledged after that: so whoever is free gets it, and nobody gets the neighbours again. Where that
//! fails, or when all of them are to come again, the server delivers the whole envelope again, which receivers expect anyhow.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message as Arrived};
use async_trait::async_trait;
use contracts::messages::Queue;
use contracts::random::backoff;
use storage::outbox::Destination;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Shared;
use super::envelope::{self, Part};
use crate::queue::{Delivery, PublishError, Receipt};

/// The first pause before an envelope comes again of which nobody said when; doubled with each delivery.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The least by which the pauses of envelopes that come again differ.
const SPREAD: Duration = Duration::from_millis(50);
/// The most of an unreadable envelope that is kept.
const MAX_LETTER: usize = 256 * 1024;

/// What a listener said of a message.
enum Word {
    Done,
    Again(Duration),
}

/// What the server is told.
#[derive(Debug)]
enum Verdict {
    Done,
    Again(Duration),
    Poison,
}

struct NatsReceipt {
    place: usize,
    words: mpsc::Sender<(usize, Word)>,
}

#[async_trait]
impl Receipt for NatsReceipt {
    async fn done(self: Box<Self>) {
        // There is room for a word about each message.
        let _ = self.words.try_send((self.place, Word::Done));
    }

    async fn again(self: Box<Self>, after: Duration) {
        let _ = self.words.try_send((self.place, Word::Again(after)));
    }
}

/// Hands the messages of an envelope to a listener, waits for its words, and tells the server.
pub(super) struct InHand {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Queue,
}

impl InHand {
    /// Ends when the server has been told, or cannot be told: then it delivers the envelope again.
    pub(super) async fn carry(self, arrived: Arrived, listener: mpsc::Sender<Vec<Delivery>>) {
        let deliveries = arrived.info().map_or(1, |info| info.delivered).max(1);
        let verdict = self
            .while_the_server_knows(&arrived, self.settle(&arrived, deliveries, listener))
            .await;
        let told = match verdict {
            Verdict::Done => arrived.ack().await,
            Verdict::Again(pause) => arrived.ack_with(AckKind::Nak(Some(pause))).await,
            Verdict::Poison => arrived.ack_with(AckKind::Term).await,
        };
        if let Err(error) = told {
            tracing::debug!(queue = %self.queue, %error, "an envelope's end could not be told; it comes again");
        }
    }

    /// Tells the server that the envelope is being worked on for as long as `work` takes.
    async fn while_the_server_knows<T>(&self, arrived: &Arrived, work: impl Future<Output = T>) -> T {
        let every = self.shared.settings.times.ack_wait / 3;
        let mut progress = interval_at(Instant::now() + every, every);
        progress.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                biased;
                outcome = &mut work => return outcome,
                _ = progress.tick() => drop(arrived.ack_with(AckKind::Progress).await),
            }
        }
    }

    async fn settle(&self, arrived: &Arrived, deliveries: i64, listener: mpsc::Sender<Vec<Delivery>>) -> Verdict {
        let metrics = &self.shared.metrics;
        let unsaid = backoff(
            FIRST_PAUSE,
            u32::try_from(deliveries - 1).unwrap_or(u32::MAX),
            LONGEST_PAUSE,
        );
        let parts = match envelope::open(&arrived.payload) {
            Ok(parts) => parts,
            Err(error) => {
                let end = arrived.payload.len().min(MAX_LETTER);
                let payload = String::from_utf8_lossy(&arrived.payload[..end]).into_owned();
                return if self.bury(payload, error).await {
                    Verdict::Poison
                } else {
                    Verdict::Again(self.spread(unsaid))
                };
            }
        };
        let count = u64::try_from(parts.len()).unwrap_or(u64::MAX);
        metrics.taken.add(count);
        if deliveries > 1 {
            metrics.redelivered.add(count);
        }
        let verdict = self.hand_out(parts, unsaid, listener).await;
        metrics.settled.add(count);
        verdict
    }

    async fn hand_out(&self, parts: Vec<Part>, unsaid: Duration, listener: mpsc::Sender<Vec<Delivery>>) -> Verdict {
        let (words, mut said) = mpsc::channel(parts.len().max(1));
        let (mut texts, mut readable, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        for Part { text, message } in parts {
            match message {
                Ok(message) => {
                    let (place, words) = (texts.len(), words.clone());
                    readable.push(Delivery::receipted(message, Box::new(NatsReceipt { place, words })));
                    // What is left of these in the end comes again, after this pause.
                    texts.push(Some((text, unsaid)));
                }
                Err(error) => unreadable.push((text, error)),
            }
        }
        drop(words);
        if !readable.is_empty() {
            // Without a listener they come back at once, without a word.
            let _ = listener.send(readable).await;
        }
        // Who listens to a transport that closes hears so when all envelopes have arrived, not when all are settled.
        drop(listener);
        while let Some((place, word)) = said.recv().await {
            match (word, &mut texts[place]) {
                (Word::Done, text) => *text = None,
                (Word::Again(after), Some((_, pause))) => *pause = after,
                (Word::Again(_), None) => {}
            }
        }
        self.judge(texts, unreadable, unsaid).await
    }

    /// What becomes of an envelope of which these texts are left, each with its pause, and these cannot be read. They are
    /// buried last: as long as the whole may come again, each time would bury them once more.
    async fn judge(
        &self,
        texts: Vec<Option<(String, Duration)>>,
        unreadable: Vec<(String, String)>,
        unsaid: Duration,
    ) -> Verdict {
        let all = texts.len() + unreadable.len();
        let left: Vec<_> = texts.into_iter().flatten().collect();
        if let Err(again) = self.part(left, all).await {
            return again;
        }
        let mut unburied = Vec::new();
        for (text, error) in unreadable {
            if !self.bury(text.clone(), error).await {
                unburied.push((text, unsaid));
            }
        }
        self.part(unburied, all).await.err().unwrap_or(Verdict::Done)
    }

    /// Publishes what is left of an envelope of `all` messages as one of its own, after the longest of its pauses.
    ///
    /// # Errors
    /// That the whole is to come again.
    async fn part(&self, left: Vec<(String, Duration)>, all: usize) -> Result<(), Verdict> {
        let (left, pauses): (Vec<String>, Vec<Duration>) = left.into_iter().unzip();
        let Some(longest) = pauses.into_iter().max() else {
            return Ok(());
        };
        let again = Verdict::Again(self.spread(longest));
        if left.len() == all {
            return Err(again);
        }
        tokio::select! {
            () = self.shared.closing.cancelled() => return Err(again),
            // sleep: whoever asked for them again asked for this pause
            () = tokio::time::sleep(longest) => {}
        }
        let envelopes = envelope::pack_texts(left, &self.shared.envelope_bounds());
        let published = self.shared.publisher.publish(self.queue, envelopes).await;
        PublishError::unless_all(self.queue, published).map_err(|error| {
            tracing::debug!(%error, "the rest of an envelope could not be published; all of it comes again");
            again
        })
    }

    /// Whether the letter is stored.
    async fn bury(&self, payload: String, error: String) -> bool {
        tracing::error!(queue = %self.queue, error, "a message cannot be read; it becomes a dead letter");
        let (now, source) = (self.shared.clock.now(), Destination::Queue(self.queue));
        match self.shared.letters.bury(now, source, payload, error).await {
            Ok(()) => {
                self.shared.metrics.dead.one();
                true
            }
            Err(error) => {
                tracing::warn!(queue = %self.queue, %error, "a dead letter could not be stored; again later");
                false
            }
        }
    }

    /// At least `pause`, and up to a quarter more, so that those who failed together do not return together.
    fn spread(&self, pause: Duration) -> Duration {
        pause.saturating_add(self.shared.entropy.jitter((pause / 4).max(SPREAD)))
    }
}
