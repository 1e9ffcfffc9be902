//! What an auditor reads of this service, whatever the database.

use contracts::clients::WithdrawCommand;
use contracts::messages::StepResult;
use contracts::{Amount, UserId};
use storage::commands::{CommandKey, State};

use crate::domain::movement::Movement;
use crate::domain::progress::{Phase, Progress};

/// A step on the chain, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawalFact {
    /// Which step of which order.
    pub key: CommandKey,
    /// What is stored of it; where that cannot be read, what is wrong with it.
    pub withdrawal: Result<Withdrawal, String>,
}

/// A withdrawal, or its way back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// What moves, as it was begun.
    pub movement: Movement,
    /// Where the command stands.
    pub state: State,
    /// Its result, once it has one.
    pub result: Option<StepResult>,
    /// How far it is. Once signed it can fail only by an operator's word, when the chain shows that its nonce went to
    /// another transfer.
    pub phase: Phase,
}

impl Withdrawal {
    /// Whether it may have booked something: it is signed, or may be paid.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.phase != Phase::Unsigned
    }
}

/// A command as it lies in the table, and whether coins were ever reserved for it.
pub(crate) struct Stored<'a> {
    pub(crate) state: &'a str,
    pub(crate) result: Option<&'a str>,
    pub(crate) progress: &'a str,
    pub(crate) content: &'a str,
    pub(crate) reserved: bool,
}

impl Stored<'_> {
    /// What it says. Whoever cannot read one command is to go on with the others.
    pub(crate) fn read(&self) -> Result<Withdrawal, String> {
        let wrong = |what: &'static str| move |error: serde_json::Error| format!("its {what}: {error}");
        let command: WithdrawCommand = serde_json::from_str(self.content).map_err(wrong("command"))?;
        let phase = Progress::from_json(self.progress).map_err(wrong("record"))?.phase();
        let result = self.result.map(serde_json::from_str).transpose();
        Ok(Withdrawal {
            movement: Movement::of(&command).as_begun(phase, self.reserved),
            state: State::from_name(self.state).ok_or_else(|| format!("its state: `{}`", self.state))?,
            result: result.map_err(wrong("result"))?,
            phase,
        })
    }
}

/// What this service expects at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedCoins {
    /// Whose address.
    pub user_id: UserId,
    /// Confirmed in, less confirmed out. Of the hot wallet, what its first coins changed by: usually negative.
    pub coins: Amount,
    /// Signed, not known to be confirmed, on the way here.
    pub arriving: Amount,
    /// Signed, not known to be confirmed, on the way from here.
    pub leaving: Amount,
}
