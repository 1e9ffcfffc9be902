//! A notification goes to its receiver.
//!
//! What is sent was stored when it was accepted, so the intent is there before the effect. Dying after the mail left
//! and before that is recorded means that it is sent again, as the same mail. Nothing is begun that the lease may cut
//! off: that would be such a death without need.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::messages::{FailureCode, StepResult};
use contracts::metrics::Stopwatch;
use contracts::time::later;
use contracts::{Clock, Entropy};
use storage::commands::{Claimed, Settlement};
use transport::command_worker::CommandHandler;

use crate::domain::delivery::{MailAnswer, Next, Patience, Tally, decide};
use crate::domain::letter::{BadRow, Letter, Mail, Progress};
use crate::metrics::Metrics;
use crate::ports::Mailer;

/// Delivers notifications.
pub(crate) struct Deliver {
    pub(crate) mailer: Arc<dyn Mailer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) message_host: String,
    pub(crate) patience: Patience,
    pub(crate) send_timeout: Duration,
    pub(crate) metrics: Arc<Metrics>,
}

impl Deliver {
    fn mail(&self, claimed: &Claimed) -> Result<(Mail, Progress), BadRow> {
        let letter = Letter::from_content(&claimed.content)?;
        let progress = Progress::from_json(&claimed.progress)?;
        let mail = Mail::new(claimed.key.order_id, &letter, progress, &self.message_host);
        Ok((mail, progress))
    }

    async fn send(&self, mail: &Mail) -> MailAnswer {
        let asked = Stopwatch::start();
        let answer = tokio::time::timeout(self.send_timeout, self.mailer.send(mail)).await;
        let answer = answer.unwrap_or_else(|_| MailAnswer::Unconfirmed {
            reason: format!(
                "the mail system did not answer within {} ms",
                self.send_timeout.as_millis()
            ),
        });
        self.metrics.took.record_time(asked.elapsed());
        self.metrics.tried(&answer);
        answer
    }

    /// Leaves a command that waited too long for this claim to the next one. No try was made, so none is counted.
    fn hand_back(&self, claimed: &Claimed) -> Option<Settlement> {
        let now = self.clock.now();
        (later(now, self.send_timeout) > claimed.lease_until).then(|| Settlement::Postponed {
            until: now,
            reason: "too little of its lease was left to send it".to_owned(),
            answer_missing: false,
            progress: None,
        })
    }
}

#[async_trait]
impl CommandHandler for Deliver {
    async fn handle(&self, claimed: Claimed) -> Settlement {
        let (mail, progress) = match self.mail(&claimed) {
            Ok(read) => read,
            Err(error) => {
                tracing::error!(order_id = %claimed.key.order_id, %error, "a notification cannot be read");
                return Settlement::Dead {
                    error: error.to_string(),
                };
            }
        };
        if let Some(handed_back) = self.hand_back(&claimed) {
            return handed_back;
        }
        let answer = self.send(&mail).await;
        match decide(answer, progress.tally, self.patience) {
            Next::Delivered => Settlement::Finished {
                result: StepResult::Notified,
                progress: None,
            },
            Next::Again { pause, reason, tally } => {
                tracing::warn!(order_id = %mail.order_id, reason, "a notification is tried again later");
                Settlement::Postponed {
                    until: later(self.clock.now(), self.entropy.jitter(pause)),
                    reason,
                    answer_missing: false,
                    progress: Some(Progress { tally, ..progress }.to_json()),
                }
            }
            Next::Undeliverable { detail } => {
                self.metrics.undeliverable.one();
                // Nobody waits for the result, so the store keeps a letter of it, for an operator to send again; the log is
                // where they hear of it first, and `cambist audit` counts it.
                tracing::error!(order_id = %mail.order_id, detail, "a notification cannot be delivered");
                Settlement::Finished {
                    result: StepResult::Failure {
                        code: FailureCode::Undeliverable,
                        detail,
                    },
                    // Whoever wants it sent again wants it tried as patiently as at first.
                    progress: Some(
                        Progress {
                            tally: Tally::default(),
                            ..progress
                        }
                        .to_json(),
                    ),
                }
            }
        }
    }
}
