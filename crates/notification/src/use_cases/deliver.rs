//! A notification goes to its receiver.
//!
//! What is sent was stored when it was accepted, so the intent is there before the effect. Dying after the mail left
//! and before that is recorded means that it is sent again, as the same mail.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::messages::{FailureCode, StepResult};
use contracts::metrics::Stopwatch;
use contracts::time::later;
use contracts::{Clock, Entropy};
use storage::commands::{Claimed, Settlement};
use transport::command_worker::CommandHandler;

use crate::domain::delivery::{MailAnswer, Next, Patience, decide};
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
    fn mail(&self, claimed: &Claimed) -> Result<Mail, BadRow> {
        let letter = Letter::from_content(&claimed.content)?;
        let progress = Progress::from_json(&claimed.progress)?;
        Ok(Mail::new(claimed.key.order_id, &letter, progress, &self.message_host))
    }

    async fn send(&self, mail: &Mail) -> MailAnswer {
        let asked = Stopwatch::start();
        let answer = tokio::time::timeout(self.send_timeout, self.mailer.send(mail)).await;
        let answer = answer.unwrap_or_else(|_| MailAnswer::TryLater {
            reason: format!(
                "the mail system did not answer within {} ms",
                self.send_timeout.as_millis()
            ),
        });
        self.metrics.took.record_time(asked.elapsed());
        self.metrics.tried(&answer);
        answer
    }
}

#[async_trait]
impl CommandHandler for Deliver {
    async fn handle(&self, claimed: Claimed) -> Settlement {
        let mail = match self.mail(&claimed) {
            Ok(mail) => mail,
            Err(error) => {
                tracing::error!(order_id = %claimed.key.order_id, %error, "a notification cannot be read");
                return Settlement::Dead {
                    error: error.to_string(),
                };
            }
        };
        let answer = self.send(&mail).await;
        match decide(answer, claimed.tries, self.patience) {
            Next::Delivered => Settlement::Finished {
                result: StepResult::Notified,
                progress: None,
            },
            Next::Again { pause, reason } => {
                tracing::warn!(order_id = %mail.order_id, reason, "a notification is tried again later");
                Settlement::Postponed {
                    until: later(self.clock.now(), self.entropy.jitter(pause)),
                    reason,
                    answer_missing: false,
                    progress: None,
                }
            }
            Next::Undeliverable { detail } => {
                self.metrics.undeliverable.one();
                // Nobody waits for the result, so the log is where an operator hears of it.
                tracing::error!(order_id = %mail.order_id, detail, "a notification cannot be delivered");
                Settlement::Finished {
                    result: StepResult::Failure {
                        code: FailureCode::Undeliverable,
                        detail,
                    },
                    progress: None,
                }
            }
        }
    }
}
