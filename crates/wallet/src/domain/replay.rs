//! An order's log explains its state: whoever starts from nothing and advances entry by entry arrives where the row is.
//!
//! That is what the audit checks, and why every move is logged with the fact that caused it and not only with its
//! outcome.

use jiff::Timestamp;
use thiserror::Error;

use super::order::OrderState;
use super::saga::{Advance, DEFINITION, Event, Fact, Saga, Why, advance};

/// One entry of an order's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// 1, 2, 3 … within the order.
    pub seq: i64,
    /// When it was stored.
    pub at: Timestamp,
    /// The state before; none for the first entry.
    pub from: Option<OrderState>,
    /// The state after; the same as before where a refused release is tried again.
    pub to: OrderState,
    /// What happened.
    pub event: Event,
}

/// Why a log explains nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// There is no entry.
    #[error("the log is empty")]
    Empty,
    /// The first entry is not the acceptance.
    #[error("the log does not begin with the acceptance")]
    NoBeginning,
    /// Numbers are missing, double or out of order.
    #[error("entry {seq} stands where {expected} is due")]
    Gap {
        /// The number found.
        seq: i64,
        /// The number due.
        expected: i64,
    },
    /// An entry's event would not have moved the order.
    #[error("entry {seq} is no edge of the table: {why:?}")]
    NotAnEdge {
        /// The entry.
        seq: i64,
        /// What `advance` says.
        why: Why,
    },
    /// An entry names other states than the event leads from and to.
    #[error("entry {seq} leads to {actual}, not to {recorded}")]
    OtherState {
        /// The entry.
        seq: i64,
        /// The state that the log names.
        recorded: OrderState,
        /// The state that `advance` gives.
        actual: OrderState,
    },
}

/// The saga to which this log, in the order of `seq`, leads.
///
/// # Errors
/// [`ReplayError`] names the first entry that does not follow from those before it.
pub fn replay(log: &[LogEntry]) -> Result<Saga, ReplayError> {
    let (first, rest) = log.split_first().ok_or(ReplayError::Empty)?;
    let Fact::Placed { definition, terms } = &first.event.fact else {
        return Err(ReplayError::NoBeginning);
    };
    if first.from.is_some() || first.to != OrderState::Created {
        return Err(ReplayError::NoBeginning);
    }
    expect_seq(first, 1)?;
    if *definition != DEFINITION {
        let why = Why::UnknownDefinition;
        return Err(ReplayError::NotAnEdge { seq: first.seq, why });
    }
    let mut saga = Saga::new(*terms);
    for (entry, expected) in rest.iter().zip(2..) {
        expect_seq(entry, expected)?;
        let seq = entry.seq;
        let moved = match advance(&saga, &entry.event) {
            Advance::Moved(moved) => moved,
            Advance::Ignored { why } => return Err(ReplayError::NotAnEdge { seq, why }),
        };
        let other = [
            (entry.from.unwrap_or(entry.to), saga.state),
            (entry.to, moved.saga.state),
        ]
        .into_iter()
        .find(|(recorded, actual)| recorded != actual);
        if let Some((recorded, actual)) = other {
            return Err(ReplayError::OtherState { seq, recorded, actual });
        }
        saga = moved.saga;
    }
    Ok(saga)
}

fn expect_seq(entry: &LogEntry, expected: i64) -> Result<(), ReplayError> {
    let seq = entry.seq;
    if seq == expected {
        Ok(())
    } else {
        Err(ReplayError::Gap { seq, expected })
    }
}
