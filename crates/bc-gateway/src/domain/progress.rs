//! How far a command is, as it is stored, and what the chain's answers mean for it.
//!
//! What it keeps true: the commit of the signed bytes is the point of no return. Before it a command can be refused or
//! cancelled; after it the same bytes are sent until the chain has them for good, and nothing else. That a customer is to pay
//! is written down before the ledger is asked: from then on nothing is given up without the payment's being given back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::transfer::SignedTransfer;

/// What a chain knows about a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FindAnswer {
    /// It is in a block.
    Confirmed {
        /// How many blocks deep, its own included: at least 1. Few can still vanish in a reorganisation.
        confirmations: u32,
    },
    /// The chain has it, and it waits: for an earlier nonce, for coins, for a block.
    Pending,
    /// The chain does not have it: it never arrived, or a reorganisation lost it.
    NotFound,
    /// No usable answer.
    Unknown {
        /// Why, for people.
        reason: String,
    },
}

/// A command's own record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Progress {
    /// Nothing is signed, nothing is paid: it may still be refused or cancelled.
    Unsigned,
    /// Nothing is signed. The payer's coins are reserved, and the ledger was asked to take the payment, or is about to be.
    #[serde(alias = "booking")]
    Paying,
    /// It is given up. It ends as refused when the payment is given back, or can never be made.
    Undoing {
        /// Why it is given up.
        reason: String,
        /// What was signed for it, if anything was: bytes that an operator has established to be void.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signed: Option<SignedTransfer>,
    },
    /// These bytes and no others are sent.
    Signed(SignedTransfer),
    /// An operator has established that these bytes are confirmed. The evidence is with the command's acts.
    Confirmed(SignedTransfer),
    /// An operator has established that these bytes are not confirmed and never will be: their nonce is another
    /// transfer's. Nobody had paid for them.
    Void(SignedTransfer),
}

/// How far a command is, without what its record carries; see [`Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of `Progress`")]
pub enum Phase {
    Unsigned,
    Paying,
    Undoing,
    Signed,
    Confirmed,
    Void,
}

impl Progress {
    /// How far it is.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Unsigned => Phase::Unsigned,
            Self::Paying => Phase::Paying,
            Self::Undoing { .. } => Phase::Undoing,
            Self::Signed(_) => Phase::Signed,
            Self::Confirmed(_) => Phase::Confirmed,
            Self::Void(_) => Phase::Void,
        }
    }

    /// As stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are always JSON")
    }

    /// What is signed, if anything is.
    #[must_use]
    pub const fn signed(&self) -> Option<&SignedTransfer> {
        match self {
            Self::Unsigned | Self::Paying => None,
            Self::Undoing { signed, .. } => signed.as_ref(),
            Self::Signed(transfer) | Self::Confirmed(transfer) | Self::Void(transfer) => Some(transfer),
        }
    }

    /// The inverse of [`Progress::to_json`].
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// Whether a command with this record can no longer be cancelled: it is signed, or may be paid. What cannot be read
/// counts as signed.
#[must_use]
pub fn beyond_recall(progress: &str) -> bool {
    match Progress::from_json(progress) {
        Ok(Progress::Unsigned) => false,
        Ok(
            Progress::Paying
            | Progress::Undoing { .. }
            | Progress::Signed(_)
            | Progress::Confirmed(_)
            | Progress::Void(_),
        )
        | Err(_) => true,
    }
}

/// What to do about a signed transfer, by what the chain knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextMove {
    /// Nothing more: it is there for good.
    Rest,
    /// Ask again later.
    Wait {
        /// Why, for people.
        reason: String,
    },
    /// Send the same bytes (again).
    Broadcast,
}

/// The decision; `required` is how many confirmations count as "for good".
#[must_use]
pub fn next_move(answer: FindAnswer, required: u32) -> NextMove {
    match answer {
        FindAnswer::Confirmed { confirmations } if confirmations >= required => NextMove::Rest,
        FindAnswer::Confirmed { confirmations } => NextMove::Wait {
            reason: format!("{confirmations} of {required} confirmations"),
        },
        FindAnswer::Pending => NextMove::Wait {
            reason: "waiting for its block".to_owned(),
        },
        FindAnswer::Unknown { reason } => NextMove::Wait {
            reason: format!("the chain gave no answer: {reason}"),
        },
        FindAnswer::NotFound => NextMove::Broadcast,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_only_what_is_neither_paid_nor_signed_can_be_recalled() {
        let transfer = SignedTransfer {
            nonce: 7,
            hash: "ab".into(),
            bytes: vec![0, 255],
        };
        let signed = Progress::Signed(transfer.clone());
        let given_up = |signed| Progress::Undoing {
            reason: "refused".into(),
            signed,
        };
        let (given_up, void) = (given_up(None), given_up(Some(transfer)));
        for progress in [
            Progress::Unsigned,
            Progress::Paying,
            given_up.clone(),
            void,
            signed.clone(),
        ] {
            assert_eq!(Progress::from_json(&progress.to_json()).unwrap(), progress);
        }
        assert_eq!(given_up.to_json(), r#"{"phase":"undoing","reason":"refused"}"#);
        assert_eq!(
            signed.to_json(),
            r#"{"phase":"signed","nonce":7,"hash":"ab","bytes":"00ff"}"#
        );
        assert!(!beyond_recall(r#"{"phase":"unsigned"}"#));
        assert!(beyond_recall(r#"{"phase":"paying"}"#));
        // As an earlier program wrote it.
        assert_eq!(Progress::from_json(r#"{"phase":"booking"}"#).unwrap(), Progress::Paying);
        assert!(beyond_recall(&given_up.to_json()));
        assert!(beyond_recall(&signed.to_json()));
        assert!(beyond_recall("what is this"));
    }

    #[test]
    fn shallow_confirmations_are_waited_for() {
        let confirmed = |confirmations| next_move(FindAnswer::Confirmed { confirmations }, 2);
        assert!(matches!(confirmed(1), NextMove::Wait { .. }));
        assert_eq!(confirmed(2), NextMove::Rest);
        assert_eq!(next_move(FindAnswer::NotFound, 2), NextMove::Broadcast);
    }
}
