//! The command store: the common machine of the services that do something outside.
//!
//! A command is accepted once by (order id, step), claimed by a worker under a lease and an epoch, moved forward
//! by attempts whose intent is stored before their effect, and finished with a result that goes to the sagas from
//! the same transaction. What it keeps true:
//!
//! - one row per (order id, step), with one content, for good; a finished or entombed row never changes its end;
//! - a worker whose lease ran out changes nothing: every write names the epoch under which it was claimed;
//! - a finished command that is accepted again publishes its result again, an unfinished one is queued again.

pub(crate) mod wording;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use contracts::OrderId;
use contracts::messages::{FailureCode, Step, StepResult};
use contracts::operators::{Act, Instruction, Retried, RulingOutcome, StepView};
use jiff::Timestamp;

use crate::StoreError;

/// A command's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandKey {
    /// The order.
    pub order_id: OrderId,
    /// The step.
    pub step: Step,
}

/// A command that is handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCommand {
    /// Its name.
    pub key: CommandKey,
    /// What is asked, as canonical JSON; compared byte by byte when the command comes again.
    pub content: String,
    /// The service's own record of its attempts, as JSON; the first attempt's intent is in it already.
    pub progress: String,
}

/// What became of a command that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acceptance {
    /// Stored. With a grant, it is claimed for the caller, who must hand it to a worker of this process; without,
    /// a wake-up is on its way to the service's queue.
    New(Option<Claimed>),
    /// It was there with the same content. Its result is published again, or it is queued again; what the saga was
    /// told of a missing answer, it is told again.
    Known,
    /// It was there with other content. Nothing changed.
    Conflict,
}

/// A command under a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// Its name.
    pub key: CommandKey,
    /// What is asked, as stored.
    pub content: String,
    /// The service's own record, as stored.
    pub progress: String,
    /// The claim's number; every write under this claim names it.
    pub epoch: i64,
    /// How many times it was postponed before this claim.
    pub tries: u32,
    /// When the lease ends; nothing may be begun outside after that.
    pub lease_until: Timestamp,
}

/// What a worker is at: its commands, each with the epoch of the claim under which it works.
pub type Held = HashMap<CommandKey, i64>;

/// What a worker did with a claimed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settlement {
    /// It came to its end; the result goes to the sagas.
    Finished {
        /// What came of it: a failure, or anything else for done.
        result: StepResult,
        /// The service's own record, if it changed.
        progress: Option<String>,
    },
    /// Not yet; again at this time.
    Postponed {
        /// When.
        until: Timestamp,
        /// Why, for people.
        reason: String,
        /// Whether an outside party's answer is missing. When that has lasted for `stuck_after`, the saga hears
        /// of it, once.
        answer_missing: bool,
        /// The service's own record, if it changed.
        progress: Option<String>,
    },
    /// It can never be worked on (its stored form makes no sense). The row stays, dead, with a dead letter, and the
    /// saga hears that it is unresolved: an operator has to look at it.
    Dead {
        /// Why.
        error: String,
    },
}

/// Whether a write under a claim counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fencing {
    /// It did.
    Written,
    /// Another claim came later, or the command is finished: nothing was written.
    Fenced,
}

/// What became of the wish to cancel a command before it takes effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entombment {
    /// It will never run: a late copy answers the stored failure. Also when it had been entombed before.
    Entombed,
    /// It is beyond recall or finished; nothing changed.
    TooLate(Box<Record>),
}

/// Where a command stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Not at its end.
    Open,
    /// Ended with an effect.
    Done,
    /// Ended without effect.
    Failed,
    /// Cannot be worked on; an operator is asked.
    Dead,
}

impl State {
    /// The stored name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }

    /// The state with this stored name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Open, Self::Done, Self::Failed, Self::Dead]
            .into_iter()
            .find(|state| state.as_str() == name)
    }
}

/// A command as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its name.
    pub key: CommandKey,
    /// What is asked.
    pub content: String,
    /// The service's own record.
    pub progress: String,
    /// Where it stands.
    pub state: State,
    /// Its result, once it has one.
    pub result: Option<StepResult>,
}

/// A command with all that a person may want to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The command.
    pub record: Record,
    /// How many times it was postponed.
    pub tries: u32,
    /// Why it was postponed last; none while a worker has it.
    pub last_reason: Option<String>,
    /// Since when an outside answer is missing.
    pub answer_missing_since: Option<Timestamp>,
    /// Whether the sagas were told that an outside answer is missing.
    pub missing_reported: bool,
    /// When it is due.
    pub next_attempt_at: Timestamp,
    /// What operators did to it, oldest first; at most [`MAX_ACTS`].
    pub acts: Vec<Act>,
}

impl Standing {
    /// What other services are told of it; `attempt` is what a ruling would be about.
    #[must_use]
    pub fn into_view(self, attempt: Option<String>) -> StepView {
        let open = self.record.state == State::Open;
        StepView {
            step: self.record.key.step,
            state: self.record.state.as_str().to_owned(),
            attempt,
            tries: self.tries,
            last_reason: self.last_reason,
            answer_missing_since: self.answer_missing_since,
            next_attempt_at: open.then_some(self.next_attempt_at),
            result: self.record.result,
            acts: self.acts,
        }
    }

    /// Whether its outcome is a person's to establish: it is dead, or the sagas were told that an outside answer is
    /// missing. Before that, the answer may be on its way.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        match self.record.state {
            State::Open => self.missing_reported,
            State::Dead => true,
            State::Done | State::Failed => false,
        }
    }
}

impl Amended {
    /// What a caller hears of a retry. A retry is never refused.
    #[must_use]
    pub fn into_retried(&self) -> Retried {
        match self {
            Self::Reopened => Retried::Reopened,
            Self::Ended | Self::Nudged | Self::Replayed | Self::Contradicted | Self::Refused { .. } => Retried::Nudged,
            Self::Unknown => Retried::Unknown,
        }
    }

    /// What a caller hears of a ruling.
    #[must_use]
    pub fn into_ruling_outcome(self) -> RulingOutcome {
        match self {
            Self::Reopened | Self::Ended | Self::Nudged => RulingOutcome::Recorded { replayed: false },
            Self::Replayed => RulingOutcome::Recorded { replayed: true },
            Self::Contradicted => RulingOutcome::Contradicted {
                detail: "another outcome was recorded for this attempt; it stands".to_owned(),
            },
            Self::Refused { detail } => RulingOutcome::Contradicted { detail },
            Self::Unknown => RulingOutcome::Unknown,
        }
    }
}

/// The most acts of operators that are read with a command.
pub const MAX_ACTS: usize = 100;

/// What an operator wants done to a command.
pub struct Intervention {
    /// Which command.
    pub key: CommandKey,
    /// The verb: `retry`, `resolve`.
    pub verb: &'static str,
    /// What exactly is said, as canonical JSON. For one that must not be said twice: its name and its content. The same
    /// content under the same name is answered as before, other content is a contradiction.
    pub once: Option<(String, String)>,
    /// Who wants it, and why.
    pub instruction: Instruction,
    /// What is to be done, by how the command stands. Pure; runs inside the transaction.
    pub decide: Box<dyn FnOnce(&Standing) -> Amendment + Send>,
}

/// What is to be done to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amendment {
    /// It is open, again or still, with this record, and due now. Whoever holds a claim on it is fenced off.
    Reopen {
        /// The service's own record.
        progress: String,
    },
    /// It ends with this result, which goes to the sagas. Whoever holds a claim on it is fenced off.
    End {
        /// What came of it.
        result: StepResult,
        /// The service's own record.
        progress: String,
    },
    /// If it waits it is due now; if it ended its result is published again.
    Nudge,
    /// Nothing.
    Refuse {
        /// Why not.
        detail: String,
    },
}

/// What became of an intervention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Amended {
    /// It is recorded with its effect.
    Reopened,
    /// The same, where the command was ended.
    Ended,
    /// The same, where nothing but its time changed.
    Nudged,
    /// It was recorded before; what it led to is told again.
    Replayed,
    /// Something else was recorded under its name. Nothing changed.
    Contradicted,
    /// It was refused. Nothing changed.
    Refused {
        /// Why.
        detail: String,
    },
    /// There is no such command.
    Unknown,
}

/// Tells from a command's stored progress whether it can no longer be cancelled.
pub type BeyondRecall = fn(&str) -> bool;

/// How long things take, and when the sagas hear of an outside silence.
#[derive(Debug, Clone, Copy)]
pub struct CommandTimes {
    /// How long a claim holds.
    pub lease: Duration,
    /// How long an accepted command is left to its wake-up before the sweep takes it.
    pub hand_over: Duration,
    /// How long an outside answer may be missing before the saga hears of it.
    pub stuck_after: Duration,
}

/// A service's commands. Batch-first: one call is one transaction, `outcomes[i]` answers item `i`.
#[async_trait]
pub trait CommandStore: Send + Sync {
    /// Stores commands that are new. With `grant` they are claimed for a worker of this process at once (epoch 1)
    /// and no wake-up is queued: the caller hands them over, and if it dies first, the lease runs out.
    /// Idempotent by key and content. At most [`contracts::clients::MAX_COMMANDS`].
    async fn accept(
        &self,
        now: Timestamp,
        commands: Vec<NewCommand>,
        grant: bool,
    ) -> Result<Vec<Acceptance>, StoreError>;

    /// Claims those of `keys` that are open and not leased or postponed; the others are left out. Left out too are those
    /// whose latest claim is in `held`: by a clock that was set forward, a lease is over before its time.
    async fn claim_beside(&self, now: Timestamp, keys: Vec<CommandKey>, held: Held)
    -> Result<Vec<Claimed>, StoreError>;

    /// Claims at most `limit` open commands that are due: never woken, postponed until now, or left behind by a
    /// worker whose lease ran out. Those due longest come first. Those whose latest claim is in `held` are left out.
    async fn claim_due_beside(&self, now: Timestamp, limit: usize, held: Held) -> Result<Vec<Claimed>, StoreError>;

    /// [`CommandStore::claim_beside`] for whoever is at nothing.
    async fn claim(&self, now: Timestamp, keys: Vec<CommandKey>) -> Result<Vec<Claimed>, StoreError> {
        self.claim_beside(now, keys, Held::new()).await
    }

    /// [`CommandStore::claim_due_beside`] for whoever is at nothing.
    async fn claim_due(&self, now: Timestamp, limit: usize) -> Result<Vec<Claimed>, StoreError> {
        self.claim_due_beside(now, limit, Held::new()).await
    }

    /// How long a claim holds.
    fn lease(&self) -> Duration;

    /// Stores `progress` under a claim: the intent of what is done next.
    async fn checkpoint(
        &self,
        now: Timestamp,
        key: CommandKey,
        epoch: i64,
        progress: String,
    ) -> Result<Fencing, StoreError>;

    /// As [`checkpoint`](CommandStore::checkpoint), before a step that stays in this process and its database: MAY answer
    /// before it is on disk, if nothing can be on disk that was written after the answer, and the progress not (ADR 011).
    async fn checkpoint_ahead(
        &self,
        now: Timestamp,
        key: CommandKey,
        epoch: i64,
        progress: String,
    ) -> Result<Fencing, StoreError> {
        self.checkpoint(now, key, epoch, progress).await
    }

    /// Records what workers did, each under its claim. MAY answer before it is on disk, as
    /// [`checkpoint_ahead`](CommandStore::checkpoint_ahead) may.
    async fn settle(
        &self,
        now: Timestamp,
        settlements: Vec<(CommandKey, i64, Settlement)>,
    ) -> Result<Vec<Fencing>, StoreError>;

    /// Makes sure that `command` never runs, where it is absent or open and its progress is not yet `beyond_recall`.
    /// It ends as failed with `code`, which goes to the sagas; a claim that somebody holds on it is fenced off.
    async fn entomb(
        &self,
        now: Timestamp,
        command: NewCommand,
        code: FailureCode,
        beyond_recall: BeyondRecall,
    ) -> Result<Entombment, StoreError>;

    /// One command, or `None`.
    async fn record(&self, key: CommandKey) -> Result<Option<Record>, StoreError>;

    /// Does what an operator wants to a command, and records it, in one transaction.
    async fn intervene(&self, now: Timestamp, intervention: Intervention) -> Result<Amended, StoreError>;

    /// How one command stands, or `None`.
    async fn standing(&self, key: CommandKey) -> Result<Option<Standing>, StoreError>;

    /// How many commands are open.
    async fn open_count(&self) -> Result<u64, StoreError>;

    /// Makes what is postponed due at `now` at the latest, ends no lease later than one that begins now, and lets no
    /// silence have begun after `now`: for a clock that was set back, by which all of that would last as much longer.
    /// Returns how many open commands changed. Nobody who is at work is disturbed, and twice is as good as once.
    async fn bring_forward(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// Makes every open command due now. Only for a process that knows that no other worker is alive (one process,
    /// holding the lock on its data): after a crash nothing waits for a dead worker's lease. Where several processes may
    /// share the database nobody can know that, and a lease that ended early would let two act outside at once: such a store
    /// changes nothing here, and answers 0.
    async fn release_leases(&self, now: Timestamp) -> Result<u64, StoreError>;
}
