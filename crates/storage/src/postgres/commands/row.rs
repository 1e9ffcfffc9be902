//! A command as it lies in the table, and what can become of it: pure. Rows are loaded and locked, changed here, and
//! written back by one statement.

use std::collections::BTreeMap;

use contracts::messages::StepResult;
use jiff::Timestamp;

use crate::commands::wording::end_of;
use crate::commands::{CommandKey, NewCommand, Record, Standing, State};
use crate::postgres::columns::{from_micros, text};
use crate::postgres::{Param, TxError};

/// A loaded command.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) key: CommandKey,
    pub(super) content: String,
    pub(super) progress: String,
    /// As stored; a newer program may know more states than this one.
    pub(super) state: String,
    pub(super) epoch: i64,
    pub(super) tries: i64,
    pub(super) next_attempt_at: i64,
    pub(super) answer_missing_since: Option<i64>,
    pub(super) missing_reported: bool,
    pub(super) last_reason: Option<String>,
    pub(super) result: Option<String>,
    /// The epoch as it was loaded, by which the write is fenced.
    held: i64,
    changed: bool,
}

/// Rows of one call, by name.
pub(super) type Rows = BTreeMap<CommandKey, Row>;

impl Row {
    /// Of a command that was asked for as `key`.
    pub(super) fn read(key: CommandKey, row: &tokio_postgres::Row) -> Result<Self, TxError> {
        let epoch = row.try_get(5)?;
        Ok(Self {
            key,
            content: row.try_get(2)?,
            progress: row.try_get(3)?,
            state: row.try_get(4)?,
            epoch,
            tries: row.try_get(6)?,
            next_attempt_at: row.try_get(7)?,
            answer_missing_since: row.try_get(8)?,
            missing_reported: row.try_get(9)?,
            last_reason: row.try_get(10)?,
            result: row.try_get(11)?,
            held: epoch,
            changed: false,
        })
    }

    /// Of a command that was stored in this transaction.
    pub(super) fn fresh(command: &NewCommand, epoch: i64, due: Timestamp) -> Self {
        let NewCommand { key, content, progress } = command.clone();
        Self {
            key,
            content,
            progress,
            state: State::Open.as_str().to_owned(),
            epoch,
            tries: 0,
            next_attempt_at: due.as_microsecond(),
            answer_missing_since: None,
            missing_reported: false,
            last_reason: None,
            result: None,
            held: epoch,
            changed: false,
        }
    }

    pub(super) fn is_open_under(&self, epoch: i64) -> bool {
        self.epoch == epoch && self.state() == Some(State::Open)
    }

    pub(super) fn state(&self) -> Option<State> {
        State::from_name(&self.state)
    }

    pub(super) fn record(&self) -> Result<Record, TxError> {
        let unknown = || TxError::Value(format!("`{}` is not the state of a command", self.state));
        Ok(Record {
            key: self.key,
            content: self.content.clone(),
            progress: self.progress.clone(),
            state: self.state().ok_or_else(unknown)?,
            result: self.result.as_deref().map(serde_json::from_str).transpose()?,
        })
    }

    /// All but the acts.
    pub(super) fn standing(&self) -> Result<Standing, TxError> {
        Ok(Standing {
            record: self.record()?,
            tries: u32::try_from(self.tries).unwrap_or(u32::MAX),
            last_reason: self.last_reason.clone(),
            answer_missing_since: self.answer_missing_since.map(from_micros).transpose()?,
            missing_reported: self.missing_reported,
            next_attempt_at: from_micros(self.next_attempt_at)?,
            acts: Vec::new(),
        })
    }

    pub(super) fn finish(&mut self, result: &StepResult, progress: Option<String>) -> Result<(), TxError> {
        self.changed = true;
        end_of(result).as_str().clone_into(&mut self.state);
        self.result = Some(serde_json::to_string(result)?);
        self.answer_missing_since = None;
        self.last_reason = None;
        self.progress_to(progress);
        Ok(())
    }

    pub(super) fn postpone(
        &mut self,
        now: Timestamp,
        until: Timestamp,
        reason: String,
        answer_missing: bool,
        progress: Option<String>,
    ) {
        self.changed = true;
        self.next_attempt_at = until.as_microsecond();
        self.last_reason = Some(text(reason));
        self.tries = self.tries.saturating_add(1);
        if answer_missing {
            self.answer_missing_since.get_or_insert(now.as_microsecond());
        } else {
            self.answer_missing_since = None;
            self.missing_reported = false;
        }
        self.progress_to(progress);
    }

    /// Whether the answer has been missing since `patience_began` or before, and nobody was told; now somebody will be.
    pub(super) fn report_missing(&mut self, patience_began: i64) -> bool {
        let overdue = self.answer_missing_since.is_some_and(|since| since <= patience_began);
        let news = overdue && !self.missing_reported;
        self.missing_reported |= overdue;
        news
    }

    pub(super) fn bury(&mut self, error: String) {
        self.changed = true;
        State::Dead.as_str().clone_into(&mut self.state);
        self.last_reason = Some(text(error));
    }

    /// Ends whatever claim there is.
    pub(super) fn fence(&mut self) {
        self.changed = true;
        self.epoch = self.epoch.saturating_add(1);
    }

    pub(super) fn reopen(&mut self, now: Timestamp, progress: String) {
        self.fence();
        State::Open.as_str().clone_into(&mut self.state);
        self.progress = progress;
        self.result = None;
        self.tries = 0;
        self.next_attempt_at = now.as_microsecond();
        self.answer_missing_since = None;
        self.missing_reported = false;
        self.last_reason = Some("an operator wants it tried again".to_owned());
    }

    /// Due now if it waits; without a reason somebody has it.
    pub(super) fn hurry(&mut self, now: Timestamp) {
        if self.state() == Some(State::Open) && self.last_reason.is_some() {
            self.changed = true;
            self.next_attempt_at = self.next_attempt_at.min(now.as_microsecond());
        }
    }

    fn progress_to(&mut self, progress: Option<String>) {
        if let Some(progress) = progress {
            self.progress = progress;
        }
    }
}

/// What the statement that writes rows is given, and how many it must change: those that have changed.
pub(super) fn to_write<'a>(rows: impl Iterator<Item = &'a Row>, now: Timestamp) -> Option<(Vec<Param>, u64)> {
    let rows: Vec<&Row> = rows.filter(|row| row.changed).collect();
    if rows.is_empty() {
        return None;
    }
    let count = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let numbers = |of: fn(&Row) -> i64| -> Param { Box::new(rows.iter().map(|row| of(row)).collect::<Vec<_>>()) };
    let texts =
        |of: fn(&Row) -> &str| -> Param { Box::new(rows.iter().map(|row| of(row).to_owned()).collect::<Vec<_>>()) };
    let perhaps = |of: fn(&Row) -> &Option<String>| -> Param {
        Box::new(rows.iter().map(|row| of(row).clone()).collect::<Vec<_>>())
    };
    let params = vec![
        numbers(|row| row.key.order_id.get()),
        texts(|row| row.key.step.as_str()),
        numbers(|row| row.held),
        texts(|row| &row.state),
        numbers(|row| row.epoch),
        texts(|row| &row.progress),
        numbers(|row| row.tries),
        numbers(|row| row.next_attempt_at),
        Box::new(rows.iter().map(|row| row.answer_missing_since).collect::<Vec<_>>()),
        Box::new(rows.iter().map(|row| row.missing_reported).collect::<Vec<_>>()),
        perhaps(|row| &row.last_reason),
        perhaps(|row| &row.result),
        Box::new(now.as_microsecond()),
    ];
    Some((params, count))
}
