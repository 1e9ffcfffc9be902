//! How far a command is, as it is stored, and what the chain's answers mean for it.
//!
//! What it keeps true: the commit of the signed bytes is the point of no return. Before it a command can be refused or
//! cancelled; after it the same bytes are sent until the chain has them for good, and nothing else. What is booked before
//! it is signed is written down before it is booked: from then on a refusal undoes the booking first.

use serde::{Deserialize, Serialize};

use super::transfer::SignedTransfer;

/// What a chain knows about a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// Nothing is signed, nothing is booked: it may still be refused or cancelled.
    Unsigned,
    /// Nothing is signed, but the ledger was asked to book it, or is about to be.
    Booking,
    /// It was given up before it was signed. It ends as refused when its booking is undone, or can never be made.
    Undoing {
        /// Why it was given up.
        reason: String,
    },
    /// These bytes and no others are sent.
    Signed(SignedTransfer),
    /// An operator has established that these bytes are confirmed. The evidence is with the command's acts.
    Confirmed(SignedTransfer),
    /// An operator has established that these bytes are not confirmed and never will be: their nonce is another
    /// transfer's.
    Void(SignedTransfer),
}

impl Progress {
    /// As stored.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are always JSON")
    }

    /// The inverse of [`Progress::to_json`].
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// Whether a command with this record can no longer be cancelled: it is signed, or may be booked. What cannot be read
/// counts as signed.
#[must_use]
pub fn beyond_recall(progress: &str) -> bool {
    match Progress::from_json(progress) {
        Ok(Progress::Unsigned) => false,
        Ok(
            Progress::Booking
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
    fn a_record_comes_back_and_only_what_is_neither_booked_nor_signed_can_be_recalled() {
        let signed = Progress::Signed(SignedTransfer {
            nonce: 7,
            hash: "ab".into(),
            bytes: vec![0, 255],
        });
        let given_up = Progress::Undoing {
            reason: "refused".into(),
        };
        for progress in [Progress::Unsigned, Progress::Booking, given_up.clone(), signed.clone()] {
            assert_eq!(Progress::from_json(&progress.to_json()).unwrap(), progress);
        }
        assert_eq!(
            signed.to_json(),
            r#"{"phase":"signed","nonce":7,"hash":"ab","bytes":"00ff"}"#
        );
        assert!(!beyond_recall(r#"{"phase":"unsigned"}"#));
        assert!(beyond_recall(r#"{"phase":"booking"}"#));
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
