//! The table of commands and every statement that touches it, made once for a service.

use contracts::ServiceName;
use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::commands::{CommandKey, Fencing};
use crate::sqlite::columns::micros;

/// The table of commands, as a migration of the service that owns it. `next_attempt_at` is when an open command is
/// due: the end of its lease while somebody works on it, the end of its pause when it is postponed.
///
/// How it is fast: a row is rewritten several times and is several hundred bytes long, which a WITHOUT ROWID table
/// makes half as dear again; and `CHECK (state IN (…))` would build a temporary tree at every write.
pub const COMMANDS_SCHEMA: &str = "
CREATE TABLE {service}_commands (
    order_id INTEGER NOT NULL,
    step TEXT NOT NULL,
    content TEXT NOT NULL,
    progress TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state = 'open' OR state = 'done' OR state = 'failed' OR state = 'dead'),
    epoch INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER NOT NULL,
    answer_missing_since INTEGER,
    missing_reported INTEGER NOT NULL DEFAULT 0,
    last_reason TEXT,
    result TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (order_id, step)
) STRICT;
CREATE INDEX {service}_commands_due ON {service}_commands (next_attempt_at) WHERE state = 'open';
";

/// Finds dead commands without reading all of them: a migration after [`COMMANDS_SCHEMA`].
pub const DEAD_COMMANDS_INDEX: &str = "
CREATE INDEX {service}_commands_dead ON {service}_commands (order_id) WHERE state = 'dead';
";

/// The statements, with the service's table in them.
pub(super) struct Statements {
    pub(super) insert: String,
    pub(super) load: String,
    pub(super) stored: String,
    pub(super) claimable: String,
    pub(super) due: String,
    pub(super) claim: String,
    pub(super) checkpoint: String,
    pub(super) finish: String,
    pub(super) postpone: String,
    pub(super) report_missing: String,
    pub(super) fence: String,
    pub(super) bury: String,
    pub(super) count: String,
    pub(super) bring_forward: String,
    pub(super) release: String,
    pub(super) standing: String,
    pub(super) reopen: String,
    pub(super) end: String,
    pub(super) hurry: String,
    pub(super) answer_letters: String,
}

impl Statements {
    #[expect(
        clippy::too_many_lines,
        reason = "a list of statements, with nothing to follow from one to the next"
    )]
    pub(super) fn new(service: ServiceName) -> Self {
        let table = format!("{service}_commands");
        Self {
            insert: format!(
                "INSERT INTO {table} (order_id, step, content, progress, state, epoch, next_attempt_at, result,
                 created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)
                 ON CONFLICT DO NOTHING"
            ),
            load: format!("SELECT content, progress, state, result FROM {table} WHERE order_id = ?1 AND step = ?2"),
            stored: format!(
                "SELECT content, state, result, missing_reported FROM {table} WHERE order_id = ?1 AND step = ?2"
            ),
            // An epoch of 0 was never claimed: its wake-up may come before it is due.
            claimable: format!(
                "SELECT rowid, order_id, step, content, progress, epoch, tries FROM {table}
                 WHERE order_id = ?1 AND step = ?2 AND state = 'open' AND (epoch = 0 OR next_attempt_at <= ?3)"
            ),
            due: format!(
                "SELECT rowid, order_id, step, content, progress, epoch, tries FROM {table}
                 WHERE state = 'open' AND next_attempt_at <= ?1 ORDER BY next_attempt_at LIMIT ?2"
            ),
            // Read first, then written, in one transaction: RETURNING would build a temporary tree for each row.
            // A reason stands for "postponed, and nobody has it".
            claim: format!(
                "UPDATE {table} SET epoch = ?2, next_attempt_at = ?3, updated_at = ?4, last_reason = NULL
                 WHERE rowid = ?1"
            ),
            // A new intent is only stored once the doubt about the one before has ended.
            checkpoint: format!(
                "UPDATE {table} SET progress = ?4, updated_at = ?5, answer_missing_since = NULL, missing_reported = 0
                 WHERE order_id = ?1 AND step = ?2 AND epoch = ?3 AND state = 'open'"
            ),
            finish: format!(
                "UPDATE {table} SET state = ?4, result = ?5, progress = coalesce(?6, progress), updated_at = ?7,
                 answer_missing_since = NULL, last_reason = NULL
                 WHERE order_id = ?1 AND step = ?2 AND epoch = ?3 AND state = 'open'"
            ),
            postpone: format!(
                "UPDATE {table} SET next_attempt_at = ?4, progress = coalesce(?5, progress), updated_at = ?6,
                 last_reason = ?7, tries = tries + 1,
                 answer_missing_since = CASE WHEN ?8 THEN coalesce(answer_missing_since, ?6) END,
                 missing_reported = CASE WHEN ?8 THEN missing_reported ELSE 0 END
                 WHERE order_id = ?1 AND step = ?2 AND epoch = ?3 AND state = 'open'"
            ),
            report_missing: format!(
                "UPDATE {table} SET missing_reported = 1
                 WHERE order_id = ?1 AND step = ?2 AND missing_reported = 0 AND answer_missing_since <= ?3"
            ),
            fence: format!("UPDATE {table} SET epoch = epoch + 1 WHERE order_id = ?1 AND step = ?2 RETURNING epoch"),
            bury: format!(
                "UPDATE {table} SET state = 'dead', last_reason = ?4, updated_at = ?5
                 WHERE order_id = ?1 AND step = ?2 AND epoch = ?3 AND state = 'open'
                 RETURNING content"
            ),
            count: format!("SELECT count(*) FROM {table} WHERE state = 'open'"),
            standing: format!(
                "SELECT content, progress, state, result, tries, last_reason, answer_missing_since, missing_reported,
                 next_attempt_at FROM {table} WHERE order_id = ?1 AND step = ?2"
            ),
            reopen: format!(
                "UPDATE {table} SET state = 'open', epoch = epoch + 1, progress = ?3, result = NULL, tries = 0,
                 next_attempt_at = ?4, updated_at = ?4, answer_missing_since = NULL, missing_reported = 0,
                 last_reason = 'an operator wants it tried again' WHERE order_id = ?1 AND step = ?2"
            ),
            end: format!(
                "UPDATE {table} SET state = ?3, epoch = epoch + 1, progress = ?4, result = ?5, updated_at = ?6,
                 answer_missing_since = NULL, last_reason = NULL WHERE order_id = ?1 AND step = ?2"
            ),
            hurry: format!(
                "UPDATE {table} SET next_attempt_at = min(next_attempt_at, ?3)
                 WHERE order_id = ?1 AND step = ?2 AND state = 'open' AND last_reason IS NOT NULL"
            ),
            answer_letters: format!(
                "UPDATE {service}_dead_letters SET replayed_at = ?2 WHERE replayed_at IS NULL AND source = ?1"
            ),
            // Without a reason somebody has it, or its wake-up is on its way.
            bring_forward: format!(
                "UPDATE {table} SET
                 next_attempt_at = min(next_attempt_at, CASE WHEN last_reason IS NULL THEN ?2 ELSE ?1 END),
                 answer_missing_since = min(answer_missing_since, ?1)
                 WHERE state = 'open' AND (next_attempt_at > ?1 OR answer_missing_since > ?1)"
            ),
            release: format!("UPDATE {table} SET next_attempt_at = ?1 WHERE state = 'open' AND next_attempt_at > ?1"),
        }
    }

    /// Stores the progress of a command under its claim.
    pub(super) fn store_progress(
        &self,
        tx: &Connection,
        now: Timestamp,
        key: CommandKey,
        epoch: i64,
        progress: &str,
    ) -> rusqlite::Result<Fencing> {
        let written = tx.prepare_cached(&self.checkpoint)?.execute(params![
            key.order_id.get(),
            key.step.as_str(),
            epoch,
            progress,
            micros(now)
        ])?;
        Ok(if written == 1 {
            Fencing::Written
        } else {
            Fencing::Fenced
        })
    }
}
