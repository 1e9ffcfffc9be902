//! What operators do to a command, inside a transaction: decided from how it stands, recorded with its effect.

use contracts::messages::Status;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{SqliteCommands, encode, to_record};
use crate::commands::wording::{end_of, letter_of, subject_of};
use crate::commands::{Amended, Amendment, CommandKey, Intervention, MAX_ACTS, Standing, State};
use crate::sqlite::Tx;
use crate::sqlite::columns::{from_micros, micros};

impl SqliteCommands {
    pub(super) fn stand(&self, connection: &Connection, key: CommandKey) -> rusqlite::Result<Option<Standing>> {
        let standing = connection
            .prepare_cached(&self.sql.standing)?
            .query_row(params![key.order_id.get(), key.step.as_str()], |row| {
                let missing: Option<i64> = row.get(6)?;
                Ok(Standing {
                    record: to_record(key, row)?,
                    tries: row.get(4)?,
                    last_reason: row.get(5)?,
                    answer_missing_since: missing.map(|since| from_micros(6, since)).transpose()?,
                    missing_reported: row.get(7)?,
                    next_attempt_at: from_micros(8, row.get(8)?)?,
                    acts: Vec::new(),
                })
            })
            .optional()?;
        let Some(standing) = standing else { return Ok(None) };
        let acts = self.acts.of(connection, &subject_of(key), MAX_ACTS)?;
        Ok(Some(Standing { acts, ..standing }))
    }

    pub(in crate::sqlite) fn intervene_in(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        intervention: Intervention,
    ) -> rusqlite::Result<Amended> {
        let Intervention {
            key,
            verb,
            once,
            instruction,
            decide,
        } = intervention;
        let Some(standing) = self.stand(tx, key)? else {
            return Ok(Amended::Unknown);
        };
        if let Some((name, content)) = &once
            && let Some(said) = self.acts.said(tx, name)?
        {
            if said != *content {
                return Ok(Amended::Contradicted);
            }
            self.nudge(tx, now, &standing)?;
            return Ok(Amended::Replayed);
        }
        let amended = match decide(&standing) {
            Amendment::Refuse { detail } => return Ok(Amended::Refused { detail }),
            Amendment::Nudge => {
                self.nudge(tx, now, &standing)?;
                Amended::Nudged
            }
            Amendment::Reopen { progress } => {
                self.reopen(tx, now, key, &progress)?;
                Amended::Reopened
            }
            Amendment::End { result, progress } => {
                tx.prepare_cached(&self.sql.end)?.execute(params![
                    key.order_id.get(),
                    key.step.as_str(),
                    end_of(&result).as_str(),
                    progress,
                    encode(&result)?,
                    micros(now)
                ])?;
                self.publish_result(tx, now, key, result)?;
                Amended::Ended
            }
        };
        if standing.record.state == State::Dead && matches!(amended, Amended::Reopened | Amended::Ended) {
            // Nobody needs to answer for this death any more.
            tx.prepare_cached(&self.sql.answer_letters)?
                .execute(params![letter_of(key), micros(now)])?;
        }
        let (name, content) = once.unzip();
        let act = (verb, subject_of(key));
        self.acts.record(
            tx,
            now,
            (act.0, &act.1),
            &instruction,
            content.as_deref(),
            name.as_deref(),
        )?;
        Ok(amended)
    }

    /// Due now, whoever has it: they are fenced off.
    fn reopen(&self, tx: &mut Tx<'_>, now: Timestamp, key: CommandKey, progress: &str) -> rusqlite::Result<()> {
        tx.prepare_cached(&self.sql.reopen)?.execute(params![
            key.order_id.get(),
            key.step.as_str(),
            progress,
            micros(now)
        ])?;
        self.publish(tx, now, self.queue, key, Status::Accepted, None)
    }

    /// What waits is due now; one that a worker has is left to it. What ended is told again.
    fn nudge(&self, tx: &mut Tx<'_>, now: Timestamp, standing: &Standing) -> rusqlite::Result<()> {
        let key = standing.record.key;
        match (standing.record.state, &standing.record.result) {
            (State::Open, _) => {
                tx.prepare_cached(&self.sql.hurry)?.execute(params![
                    key.order_id.get(),
                    key.step.as_str(),
                    micros(now)
                ])?;
                self.publish(tx, now, self.queue, key, Status::Accepted, None)
            }
            (State::Done | State::Failed, Some(result)) => self.publish_result(tx, now, key, result.clone()),
            (State::Dead, _) | (State::Done | State::Failed, None) => {
                self.publish_to_saga(tx, now, key, Status::Unresolved, None)
            }
        }
    }
}
