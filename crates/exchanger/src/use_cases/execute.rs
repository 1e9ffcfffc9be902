//! Carries a claimed command out: asks the venue what the domain says, books what it filled, and settles.
//!
//! What it keeps true, whenever this process dies:
//!
//! - before an order is sent, its name and expiry are on disk (by `accept`, or by a checkpoint under the claim);
//! - nothing is booked that is not stored under the claim, before it: no booking is ever on disk whose attempt's outcome is not
//!   (ADR 011), so an operator may rule on an attempt without one, and whoever had its outcome in hand is fenced off;
//! - between that and the settlement nothing is committed and nothing needs to be: who comes next books the same transfers
//!   under the same names without asking the venue, and the ledger answers a second booking as the first.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::clients::{Balance, ExchangeCommand};
use contracts::ledger::PostingOutcome;
use contracts::messages::StepResult;
use contracts::time::later;
use contracts::{Clock, Entropy};
use jiff::Timestamp;
use storage::StoreError;
use storage::commands::{Claimed, CommandStore, Fencing, Settlement};
use thiserror::Error;
use transport::command_worker::CommandHandler;

use super::ask::bounded;
use crate::domain::booking::book;
use crate::domain::decision::{Claim, Lesson, Plan, Question, Rules, learn, plan};
use crate::domain::progress::{Progress, step_of};
use crate::domain::totals::Violation;
use crate::metrics::Metrics;
use crate::ports::Venue;

/// The use case; the worker calls it with claimed commands.
pub struct Execute {
    /// Where intents are stored.
    pub store: Arc<dyn CommandStore>,
    /// Where orders go.
    pub venue: Arc<dyn Venue>,
    /// Where trades are booked.
    pub balance: Arc<dyn Balance>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Jitter.
    pub entropy: Arc<dyn Entropy>,
    /// The knobs of the decision.
    pub rules: Rules,
    /// How long an answer of the venue is waited for; then it is unknown.
    pub venue_timeout: Duration,
    /// Where its calls are counted.
    pub(crate) metrics: Arc<Metrics>,
}

/// Why a stored command cannot be worked on.
#[derive(Debug, Error)]
enum Unreadable {
    #[error("the stored command cannot be read: {0}")]
    Content(serde_json::Error),
    #[error("the stored record cannot be read: {0}")]
    Progress(serde_json::Error),
    #[error("the stored command or its record belongs to another order or step")]
    Stranger,
}

#[async_trait]
impl CommandHandler for Execute {
    async fn handle(&self, claimed: Claimed) -> Settlement {
        let key = claimed.key;
        let error = match read(&claimed) {
            Ok((command, progress)) => match self.carry_on(&claimed, &command, progress).await {
                Ok(settlement) => return settlement,
                Err(violation) => violation.to_string(),
            },
            Err(unreadable) => unreadable.to_string(),
        };
        tracing::error!(order = %key.order_id, step = %key.step, error, "a command cannot be carried on with; look at it");
        Settlement::Dead { error }
    }

    /// Its order was not sent, so the next claim may send it and need not prove first that it was not.
    fn hand_back(&self, claimed: &Claimed) -> Option<String> {
        let (_, progress) = read(claimed).ok()?;
        encode(&progress.handed_back(claimed.epoch)?)
    }
}

fn read(claimed: &Claimed) -> Result<(ExchangeCommand, Progress), Unreadable> {
    let command: ExchangeCommand = serde_json::from_str(&claimed.content).map_err(Unreadable::Content)?;
    let progress: Progress = serde_json::from_str(&claimed.progress).map_err(Unreadable::Progress)?;
    let (order_id, step) = (claimed.key.order_id, claimed.key.step);
    if command.order_id == order_id && step_of(&command) == step && progress.is_of(order_id, step) {
        Ok((command, progress))
    } else {
        Err(Unreadable::Stranger)
    }
}

impl Execute {
    /// Each round ends the work, or closes an attempt, or stores a later expiry; the lease bounds the latter.
    async fn carry_on(
        &self,
        claimed: &Claimed,
        command: &ExchangeCommand,
        mut progress: Progress,
    ) -> Result<Settlement, Violation> {
        let claim = Claim {
            epoch: claimed.epoch,
            lease_until: claimed.lease_until,
            tries: claimed.tries,
        };
        let mut learned = false;
        loop {
            let now = self.clock.now();
            let (question, answer) = match plan(command, &progress, claim, now, &self.rules)? {
                Plan::Store(intent) => {
                    if let Err(reason) = self.checkpoint(claimed, now, &intent).await {
                        return Ok(self.postponed(self.rules.pause(claim.tries), reason, None));
                    }
                    progress = intent;
                    continue;
                }
                Plan::Place(order) => {
                    let placed = self.venue.place(&order);
                    let answer = bounded(self.venue_timeout, placed, &self.metrics.place).await;
                    (Question::Placed, answer)
                }
                Plan::Find(id) => {
                    let found = self.venue.find(&id);
                    let answer = bounded(self.venue_timeout, found, &self.metrics.find).await;
                    (Question::Asked, answer)
                }
                Plan::Book => {
                    // Under every claim, the first too: the ledger knows no epochs, so a booking cannot be fenced off, and
                    // a worker may come to it so late that an operator has ruled on the attempt meanwhile.
                    if learned && let Err(reason) = self.record(claimed, now, &progress).await {
                        return Ok(self.postponed(self.rules.pause(claim.tries), reason, None));
                    }
                    return self.book(claim, command, &progress).await;
                }
                Plan::Fail { code, detail } => {
                    return Ok(Settlement::Finished {
                        result: StepResult::Failure { code, detail },
                        progress: encode(&progress),
                    });
                }
                Plan::Later(progress) => {
                    let order = command.order_id;
                    tracing::warn!(%order, "too little is left of the lease to send an order; is it longer than an order lives?");
                    let reason = "too little was left of the lease".to_owned();
                    return Ok(self.postponed(self.rules.first_pause, reason, Some(&progress)));
                }
            };
            match learn(command, progress, question, answer, claim.tries, &self.rules)? {
                Lesson::Closed(closed) => {
                    progress = closed;
                    learned = true;
                }
                Lesson::Paused {
                    progress,
                    pause,
                    reason,
                } => return Ok(self.postponed(pause, reason, Some(&progress))),
                Lesson::Missing {
                    pause,
                    proof_in,
                    reason,
                } => return Ok(self.missing(pause, proof_in, reason)),
            }
        }
    }

    /// No answer: asked again after the pause, or as soon as absence can be proved.
    fn missing(&self, pause: Duration, proof_in: Option<Duration>, reason: String) -> Settlement {
        let until = self.after(pause);
        let proof_at = proof_in.map(|wait| later(self.clock.now(), wait));
        Settlement::Postponed {
            until: proof_at.map_or(until, |proof_at| proof_at.min(until)),
            reason,
            answer_missing: true,
            progress: None,
        }
    }

    /// Books what was filled, which is recorded: the venue need not be asked again when the ledger does not take it
    /// at once.
    async fn book(
        &self,
        claim: Claim,
        command: &ExchangeCommand,
        progress: &Progress,
    ) -> Result<Settlement, Violation> {
        let booking = book(command, progress, self.venue.name())?;
        let order = command.order_id;
        let reason = match self.balance.post(vec![booking.posting]).await.as_deref() {
            Ok([PostingOutcome::Posted { .. }]) => {
                return Ok(Settlement::Finished {
                    result: booking.result,
                    progress: None,
                });
            }
            Ok([PostingOutcome::Refused { refusal }]) => {
                tracing::error!(%order, %refusal, "the ledger refuses a trade that the venue has executed");
                format!("the ledger refused the booking: {refusal}")
            }
            Ok(outcomes) => {
                tracing::error!(%order, outcomes = outcomes.len(), "the ledger answered for another number of postings");
                "the ledger's answer makes no sense".to_owned()
            }
            Err(error) => {
                tracing::warn!(%order, %error, "a trade could not be booked yet");
                error.to_string()
            }
        };
        Ok(self.postponed(self.rules.pause(claim.tries), reason, None))
    }

    /// Stores what the venue is about to be asked for, on disk.
    async fn checkpoint(&self, claimed: &Claimed, now: Timestamp, intent: &Progress) -> Result<(), String> {
        let json = encode(intent).ok_or("the record cannot be written")?;
        written(self.store.checkpoint(now, claimed.key, claimed.epoch, json).await)
    }

    /// Stores what the venue has said, before it is booked.
    async fn record(&self, claimed: &Claimed, now: Timestamp, learned: &Progress) -> Result<(), String> {
        let json = encode(learned).ok_or("the record cannot be written")?;
        written(self.store.checkpoint_ahead(now, claimed.key, claimed.epoch, json).await)
    }

    fn after(&self, pause: Duration) -> Timestamp {
        later(self.clock.now(), self.entropy.jitter(pause))
    }

    fn postponed(&self, pause: Duration, reason: String, progress: Option<&Progress>) -> Settlement {
        Settlement::Postponed {
            until: self.after(pause),
            reason,
            answer_missing: false,
            progress: progress.and_then(encode),
        }
    }
}

fn written(fencing: Result<Fencing, StoreError>) -> Result<(), String> {
    match fencing {
        Ok(Fencing::Written) => Ok(()),
        Ok(Fencing::Fenced) => Err("the command is in other hands".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The record as JSON. It holds nothing that JSON cannot; were it otherwise, the record on disk stays as it is, which is
/// always safe: the venue is asked again.
fn encode(progress: &Progress) -> Option<String> {
    serde_json::to_string(progress).ok()
}
