//! What an auditor reads of this service, whatever the database.

use contracts::messages::StepResult;
use contracts::{Amount, UserId};
use storage::commands::State;

use crate::domain::movement::Movement;

/// A withdrawal, or its way back, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithdrawalFact {
    /// What moves, for which step of which order.
    pub movement: Movement,
    /// Where the command stands.
    pub state: State,
    /// Its result, once it has one.
    pub result: Option<StepResult>,
    /// Whether it may have booked something: it is signed, or may be paid. Once signed it can fail only by an operator's
    /// word, when the chain shows that its nonce went to another transfer.
    pub begun: bool,
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
