//! What operators do to services: people, by name, each act with its reason.
//!
//! What it keeps true: an act and the record of it (who, when, why) are one transaction of the service that it changes;
//! an act that is repeated changes nothing more. No answer to an operator moves a saga: only results do.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clients::ClientError;
use crate::messages::{Step, StepResult};
use crate::{Amount, OrderId, Price};

/// The most characters of a reason, or of evidence.
pub const MAX_REASON: usize = 500;

/// Who wants something done, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Instruction {
    /// As in settings: `operator:ann`.
    pub operator: String,
    /// The reason, or the evidence: 1 to 500 characters.
    pub reason: String,
}

/// An act of an operator, as it is kept for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Act {
    /// When it was stored.
    pub time: Timestamp,
    /// Who: `operator:ann`.
    pub operator: String,
    /// What was done: `retry`, `resolve`, `freeze`, `unfreeze`, `replay`, `deposit`.
    pub verb: String,
    /// To what: `order:7:exchange`, `user:2`, `dead_letter:3`.
    pub subject: String,
    /// Why, or by which evidence.
    pub reason: String,
    /// What exactly was said, as JSON, where the verb and its subject leave that open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// A message or a command that nobody could make sense of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({"id": 1, "source": "queue:saga_steps", "payload": "{}", "error": "no order", "died_at":
    "2026-01-02T03:04:05Z"})))]
pub struct DeadLetter {
    /// Its number within its service.
    pub id: i64,
    /// Where it was going or came from: `queue:saga_steps`, `service:balance`, `command:7:exchange`.
    pub source: String,
    /// What it said.
    pub payload: String,
    /// What was wrong with it.
    pub error: String,
    /// When it died.
    pub died_at: Timestamp,
}

/// What became of the wish to try a dead letter again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Replay {
    /// It is on its way again. If it dies again, that is a new letter.
    Replayed {
        /// Whether an earlier wish had done it; nothing changed then.
        before: bool,
    },
    /// There is no such letter.
    Unknown,
    /// It cannot be put on its way again; nothing changed.
    Impossible {
        /// Why.
        detail: String,
    },
}

/// A service's dead letters.
#[async_trait]
pub trait DeadLetters: Send + Sync {
    /// At most `limit` letters that wait for a person, with an id above `after`, oldest first.
    async fn list(&self, after: Option<i64>, limit: usize) -> Result<Vec<DeadLetter>, ClientError>;

    /// Puts a letter on its way again, where it was going when it died. Idempotent by its id.
    async fn replay(&self, now: Timestamp, id: i64, instruction: Instruction) -> Result<Replay, ClientError>;
}

/// What an operator establishes about an order at the venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"order_id": 1, "attempt": "cambist-7f3a09c1-1-exchange-1", "verdict": {"outcome": "not_executed"},
    "instruction": {"operator": "operator:ann", "reason": "the venue says so"}})))]
pub struct VenueRuling {
    /// The order.
    pub order_id: OrderId,
    /// The attempt, by the name it has at the venue: `cambist-7f3a09c1-7-exchange-1`, or `cambist-7-exchange-1` of one that was
    /// accepted before installations had ids.
    pub attempt: String,
    /// What became of it.
    pub verdict: VenueVerdict,
    /// Who says so, and by which evidence.
    pub instruction: Instruction,
}

/// What became of an order at the venue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "outcome", deny_unknown_fields)]
pub enum VenueVerdict {
    /// The venue executed it, as far as these fills say; at least one.
    Executed {
        /// All fills of the attempt, within what was ordered.
        fills: Vec<ReportedFill>,
        /// The venue's own number of the order; at most 128 characters.
        venue_reference: String,
    },
    /// The venue never executed any of it, and never will.
    // Braces, because serde lets a variant without them have unknown fields.
    NotExecuted {},
}

/// A part of an order that was executed at one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportedFill {
    /// Crypto; greater than zero.
    pub quantity: Amount,
    /// Fiat per unit of crypto.
    pub price: Price,
    /// Fiat, at least zero.
    pub fee: Amount,
}

/// What an operator establishes about an order's withdrawal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"order_id": 1, "verdict": {"outcome": "never_confirms"},
    "instruction": {"operator": "operator:ann", "reason": "replaced by another"}})))]
pub struct ChainRuling {
    /// The order.
    pub order_id: OrderId,
    /// Which of its steps: [`Step::Withdraw`], which is meant where none is named, or [`Step::WithdrawBack`].
    #[serde(default = "withdraw")]
    pub step: Step,
    /// What became of its transfer.
    pub verdict: ChainVerdict,
    /// Who says so, and by which evidence.
    pub instruction: Instruction,
}

/// The step of a chain that is meant where none is named.
#[must_use]
pub const fn withdraw() -> Step {
    Step::Withdraw
}

/// What became of a transfer on the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "outcome", deny_unknown_fields)]
pub enum ChainVerdict {
    /// It is confirmed for good.
    Confirmed {
        /// The chain's hash of it: the one that was signed.
        transaction: String,
    },
    /// It is not confirmed and never will be.
    // Braces, because serde lets a variant without them have unknown fields.
    NeverConfirms {},
}

/// What became of a ruling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum RulingOutcome {
    /// Recorded. The step goes on from it, and its result arrives as a message.
    Recorded {
        /// Whether the same ruling was recorded before; its result is published again.
        replayed: bool,
    },
    /// It contradicts what is known; nothing changed.
    Contradicted {
        /// What is known.
        detail: String,
    },
    /// It makes no sense; nothing changed.
    Invalid {
        /// What is wrong with it.
        detail: String,
    },
    /// The service was never asked to do this step of this order.
    Unknown,
}

/// What became of the wish to try a step again at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retried {
    /// What waited is due now; what had ended says so again. Nothing else changed.
    Nudged,
    /// It was dead, or had failed in a way that may be tried again, and is open again.
    Reopened,
    /// The service was never asked to do this step of this order.
    Unknown,
}

/// A step as the service that does it has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// Which step.
    pub step: Step,
    /// `open`, `done`, `failed` or `dead`.
    pub state: String,
    /// What a ruling would be about: the order's name at the venue, or the transfer's hash once it is signed.
    pub attempt: Option<String>,
    /// How many times it was postponed.
    pub tries: u32,
    /// Why, the last time.
    pub last_reason: Option<String>,
    /// Since when an outside answer is missing, if one is.
    pub answer_missing_since: Option<Timestamp>,
    /// When it is worked on next, if it is open.
    pub next_attempt_at: Option<Timestamp>,
    /// What came of it, once it ended.
    pub result: Option<StepResult>,
    /// What operators did to it, oldest first.
    pub acts: Vec<Act>,
}
