//! Failures of which nobody is told: the commands of a service whose results go nowhere.

use contracts::messages::StepResult;
use jiff::Timestamp;

use super::SqliteCommands;
use crate::commands::CommandKey;
use crate::commands::wording::letter_of;
use crate::sqlite::Tx;

impl SqliteCommands {
    /// A failure that nobody is told of leaves a letter: no saga answers for it, so an operator has to.
    pub(super) fn bury_unheard(
        &self,
        tx: &Tx<'_>,
        now: Timestamp,
        key: CommandKey,
        result: &StepResult,
    ) -> rusqlite::Result<()> {
        let StepResult::Failure { code, detail } = result else {
            return Ok(());
        };
        match self.load(tx, key)? {
            Some(record) if self.tells_nobody() => {
                let error = format!("{code}: {detail}");
                self.outbox.bury(tx, now, &letter_of(key), &record.content, &error)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether the results of these commands go nowhere.
    pub(in crate::sqlite) fn tells_nobody(&self) -> bool {
        self.results.is_none()
    }
}
