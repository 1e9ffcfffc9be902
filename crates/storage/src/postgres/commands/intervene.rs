//! What operators do to a command, inside a transaction: decided from how it stands, recorded with its effect.

use contracts::messages::Status;
use contracts::operators::Instruction;
use jiff::Timestamp;

use super::PostgresCommands;
use super::row::Row;
use crate::StoreError;
use crate::commands::wording::{letter_of, subject_of};
use crate::commands::{Amended, Amendment, CommandKey, Intervention, MAX_ACTS, Standing, State};
use crate::postgres::{Tx, TxError};

type Decide = Box<dyn FnOnce(&Standing) -> Amendment + Send>;

/// An intervention through all tries of its transaction. It can decide once; what it decided holds for as long as the
/// command stands as it stood.
pub(in crate::postgres) struct Asked {
    key: CommandKey,
    verb: &'static str,
    once: Option<(String, String)>,
    instruction: Instruction,
    decide: Option<Decide>,
    decided: Option<(Standing, Amendment)>,
}

impl From<Intervention> for Asked {
    fn from(intervention: Intervention) -> Self {
        let Intervention {
            key,
            verb,
            once,
            instruction,
            decide,
        } = intervention;
        Self {
            key,
            verb,
            once,
            instruction,
            decide: Some(decide),
            decided: None,
        }
    }
}

impl Asked {
    fn decision(&mut self, standing: &Standing) -> Result<Amendment, StoreError> {
        if let Some(decide) = self.decide.take() {
            self.decided = Some((standing.clone(), decide(standing)));
        }
        match &self.decided {
            Some((before, amendment)) if before == standing => Ok(amendment.clone()),
            Some(_) | None => {
                let changed = "the first try failed, and the command has changed since; ask again";
                Err(StoreError::Unavailable(changed.to_owned()))
            }
        }
    }
}

impl PostgresCommands {
    pub(super) async fn stand(&self, tx: &mut Tx, key: CommandKey) -> Result<Option<Standing>, TxError> {
        match self.load_one(tx, &self.sql.read, key).await? {
            Some(row) => self.standing_of(tx, &row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn standing_of(&self, tx: &mut Tx, row: &Row) -> Result<Standing, TxError> {
        let acts = self.acts.of(tx, &subject_of(row.key), MAX_ACTS).await?;
        Ok(Standing {
            acts,
            ..row.standing()?
        })
    }

    pub(in crate::postgres) async fn intervene_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        asked: &mut Asked,
    ) -> Result<Amended, TxError> {
        let key = asked.key;
        let Some(mut row) = self.load_one(tx, &self.sql.lock, key).await? else {
            return Ok(Amended::Unknown);
        };
        let standing = self.standing_of(tx, &row).await?;
        let said = match &asked.once {
            Some((name, content)) => self.acts.said(tx, name).await?.map(|said| said == *content),
            None => None,
        };
        match said {
            Some(true) => {
                self.nudge(tx, now, &mut row, &standing)?;
                self.store(tx, now, std::iter::once(&row));
                return Ok(Amended::Replayed);
            }
            Some(false) => return Ok(Amended::Contradicted),
            None => {}
        }
        let amended = match asked.decision(&standing)? {
            Amendment::Refuse { detail } => return Ok(Amended::Refused { detail }),
            Amendment::Nudge => {
                self.nudge(tx, now, &mut row, &standing)?;
                Amended::Nudged
            }
            Amendment::Reopen { progress } => {
                row.reopen(now, progress);
                self.publish(tx, now, self.queue, key, Status::Accepted, None)?;
                Amended::Reopened
            }
            Amendment::End { result, progress } => {
                row.fence();
                row.finish(&result, Some(progress))?;
                self.publish_result(tx, now, key, result)?;
                Amended::Ended
            }
        };
        self.store(tx, now, std::iter::once(&row));
        if standing.record.state == State::Dead && matches!(amended, Amended::Reopened | Amended::Ended) {
            // Nobody needs to answer for this death any more.
            let answered = self.sql.answer_letters.as_str();
            tx.write(
                answered,
                vec![Box::new(letter_of(key)), Box::new(now.as_microsecond())],
                None,
            );
        }
        let (name, content) = asked.once.clone().unzip();
        self.acts.record(
            tx,
            now,
            (asked.verb, subject_of(key)),
            &asked.instruction,
            content,
            name,
        );
        Ok(amended)
    }

    /// What waits is due now; one that a worker has is left to it. What ended is told again.
    fn nudge(&self, tx: &mut Tx, now: Timestamp, row: &mut Row, standing: &Standing) -> Result<(), TxError> {
        match (standing.record.state, &standing.record.result) {
            (State::Open, _) => {
                row.hurry(now);
                self.publish(tx, now, self.queue, row.key, Status::Accepted, None)
            }
            (State::Done | State::Failed, Some(result)) => self.publish_result(tx, now, row.key, result.clone()),
            (State::Dead, _) | (State::Done | State::Failed, None) => {
                self.publish_to_saga(tx, now, row.key, Status::Unresolved, None)
            }
        }
    }
}
