//! Rows some of whose messages have met their fate.
//!
//! A row is written once all of its messages' fates are known. What is noted here is lost with the process, and then the
//! row's messages are delivered again. What it keeps true: a row that could not be written when all was known is delivered
//! again as a whole, so it never waits for a fate that nobody tells any more.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::outbox::{OutboxRow, Settlement};

/// The most messages of one row.
pub(super) const MAX_TOGETHER: usize = 1 << BITS;
/// How many bits of a message's number its place takes, and how many the count of the row's messages.
const BITS: u32 = 6;

/// The most rows whose messages' fates are remembered. Forgetting one costs a second delivery of what it held.
const MAX_OPEN: usize = 8_192;

/// A message of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MessageId {
    pub(super) row: i64,
    /// Less than `count`.
    pub(super) place: usize,
    /// At least 1, at most [`MAX_TOGETHER`].
    pub(super) count: usize,
}

impl MessageId {
    /// One number for all three: rows' numbers leave room for it until 2⁵¹ of them are written.
    pub(super) fn to_number(self) -> i64 {
        let low = (self.place << BITS) | (self.count - 1);
        (self.row << (2 * BITS)) | i64::try_from(low).expect("twelve bits")
    }

    pub(super) fn of_number(number: i64) -> Self {
        let bits = |shift: u32| {
            let bits = (number >> shift) & ((1 << BITS) - 1);
            usize::try_from(bits).expect("six bits")
        };
        Self {
            row: number >> (2 * BITS),
            place: bits(BITS),
            count: bits(0) + 1,
        }
    }
}

/// The fates that are known, by row and place.
#[derive(Default)]
pub(super) struct OpenRows(Mutex<BTreeMap<i64, Vec<Option<Settlement>>>>);

impl OpenRows {
    /// Notes the fates of messages, by their numbers; answers with the rows of which all are known now.
    pub(super) fn note(&self, settlements: Vec<(i64, Settlement)>) -> Vec<(i64, Vec<Settlement>)> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut touched = Vec::new();
        for (number, fate) in settlements {
            let MessageId { row, place, count } = MessageId::of_number(number);
            if rows.len() >= MAX_OPEN && !rows.contains_key(&row) {
                // The oldest: most likely left behind by a message that came twice, its row written long ago.
                rows.pop_first();
            }
            let fates = rows.entry(row).or_insert_with(|| vec![None; count]);
            if let Some(known) = fates.get_mut(place) {
                *known = Some(fate);
            }
            touched.push(row);
        }
        touched.sort_unstable();
        touched.dedup();
        let all = |row: i64| Some((row, rows.get(&row)?.iter().cloned().collect::<Option<Vec<_>>>()?));
        touched.into_iter().filter_map(all).collect()
    }

    /// Forgets rows that are written.
    pub(super) fn forget(&self, written: &[i64]) {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for row in written {
            rows.remove(row);
        }
    }

    /// Of the messages of rows that are in the table, those whose fate is not known; of a row that was to be written and is
    /// still there, all.
    pub(super) fn without_those_decided(&self, messages: impl Iterator<Item = OutboxRow>) -> Vec<OutboxRow> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let undecided = |message: &OutboxRow| {
            let MessageId { row, place, .. } = MessageId::of_number(message.id);
            let Some(fates) = rows.get(&row) else { return true };
            if fates.iter().all(Option::is_some) {
                rows.remove(&row);
                return true;
            }
            fates.get(place).is_none_or(Option::is_none)
        };
        messages.filter(undecided).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_a_row_a_place_and_a_count_and_no_two_are_the_same() {
        let mut seen = std::collections::BTreeSet::new();
        for row in [1, 2, 3, 1 << 40, (1 << 51) - 1] {
            for count in [1, 2, MAX_TOGETHER] {
                for place in 0..count {
                    let id = MessageId { row, place, count };
                    assert_eq!(MessageId::of_number(id.to_number()), id);
                    assert!(seen.insert(id.to_number()));
                }
            }
        }
    }
}
