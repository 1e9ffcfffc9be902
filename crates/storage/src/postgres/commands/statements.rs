//! The table of commands and every statement that touches it, made once for a service.

use contracts::ServiceName;

/// The table of commands, as a migration of the service that owns it. `next_attempt_at` is when an open command is due: the
/// end of its lease while somebody works on it, the end of its pause when it is postponed.
pub const COMMANDS_SCHEMA: &str = "
CREATE TABLE {service}.commands (
    order_id bigint NOT NULL,
    step text NOT NULL,
    content text NOT NULL,
    progress text NOT NULL,
    state text NOT NULL CHECK (state IN ('open', 'done', 'failed', 'dead')),
    epoch bigint NOT NULL,
    tries bigint NOT NULL DEFAULT 0,
    next_attempt_at bigint NOT NULL,
    answer_missing_since bigint,
    missing_reported boolean NOT NULL DEFAULT false,
    last_reason text,
    result text,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL,
    PRIMARY KEY (order_id, step)
);
CREATE INDEX commands_due ON {service}.commands (next_attempt_at) WHERE state = 'open';
CREATE INDEX commands_dead ON {service}.commands (order_id) WHERE state = 'dead';
";

/// The statements, with the service's table in them. Keys come as two arrays, order ids and steps, and rows are locked in
/// the order of both.
pub(super) struct Statements {
    pub(super) insert: String,
    pub(super) read: String,
    pub(super) lock: String,
    pub(super) write: String,
    pub(super) claim: String,
    pub(super) claim_due: String,
    pub(super) checkpoint: String,
    pub(super) checkpoint_locked: String,
    pub(super) count: String,
    pub(super) bring_forward: String,
    pub(super) answer_letters: String,
}

impl Statements {
    #[expect(
        clippy::too_many_lines,
        reason = "a list of statements, with nothing to follow from one to the next"
    )]
    pub(super) fn new(service: ServiceName) -> Self {
        let table = format!("{service}.commands");
        let read = format!(
            "SELECT order_id, step, content, progress, state, epoch, tries, next_attempt_at, answer_missing_since,
             missing_reported, last_reason, result
             FROM {table} AS command JOIN unnest($1::bigint[], $2::text[]) AS key (order_id, step) USING (order_id, step)
             ORDER BY order_id, step"
        );
        let lock = format!("{read} FOR UPDATE OF command");
        let not_held = "(order_id, step, epoch) NOT IN (SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[]))";
        // Of rows that are looked for by their keys. An equality would let the index of what is due do as well: while that is
        // small the two cost the same, and the plan stays when it has grown.
        let open = "state LIKE 'open'";
        // A reason stands for "postponed, and nobody has it".
        let claim = format!(
            "UPDATE {table} AS command
             SET epoch = epoch + 1, next_attempt_at = $4, updated_at = $5, last_reason = NULL
             FROM free WHERE command.order_id = free.order_id AND command.step = free.step
             RETURNING command.order_id, command.step, content, progress, epoch, tries, free.due_at"
        );
        Self {
            insert: format!(
                "INSERT INTO {table} (order_id, step, content, progress, state, epoch, next_attempt_at, created_at,
                 updated_at)
                 SELECT order_id, step, content, progress, 'open', $5, $6, $7, $7
                 FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[])
                 AS command (order_id, step, content, progress)
                 ORDER BY order_id, step ON CONFLICT DO NOTHING RETURNING order_id, step"
            ),
            // Fenced, though the rows are locked: what nobody else may do, the statement does not do either.
            write: format!(
                "UPDATE {table} AS command SET state = new.state, epoch = new.epoch, progress = new.progress,
                 tries = new.tries, next_attempt_at = new.next_attempt_at,
                 answer_missing_since = new.answer_missing_since, missing_reported = new.missing_reported,
                 last_reason = new.last_reason, result = new.result, updated_at = $13
                 FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[],
                 $7::bigint[], $8::bigint[], $9::bigint[], $10::boolean[], $11::text[], $12::text[])
                 AS new (order_id, step, held, state, epoch, progress, tries, next_attempt_at, answer_missing_since,
                 missing_reported, last_reason, result)
                 WHERE command.order_id = new.order_id AND command.step = new.step AND command.epoch = new.held"
            ),
            // An epoch of 0 was never claimed: its wake-up may come before it is due.
            claim: format!(
                "WITH free AS MATERIALIZED (
                     SELECT order_id, step, next_attempt_at AS due_at FROM {table} AS command
                     JOIN unnest($6::bigint[], $7::text[]) AS key (order_id, step) USING (order_id, step)
                     WHERE {open} AND (epoch = 0 OR next_attempt_at <= $5) AND {not_held}
                     ORDER BY order_id, step FOR UPDATE OF command)
                 {claim}"
            ),
            claim_due: format!(
                "WITH free AS MATERIALIZED (
                     SELECT order_id, step, next_attempt_at AS due_at FROM {table}
                     WHERE state = 'open' AND next_attempt_at <= $5 AND {not_held}
                     ORDER BY next_attempt_at LIMIT $6 FOR UPDATE SKIP LOCKED)
                 {claim}"
            ),
            // A new intent is only stored once the doubt about the one before has ended.
            checkpoint: format!(
                "UPDATE {table} SET progress = $4, updated_at = $5, answer_missing_since = NULL, missing_reported = false
                 WHERE order_id = $1 AND step = $2 AND epoch = $3 AND {open} RETURNING order_id"
            ),
            checkpoint_locked: format!(
                "UPDATE {table} AS command
                 SET progress = new.progress, updated_at = $5, answer_missing_since = NULL, missing_reported = false
                 FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[])
                 AS new (order_id, step, epoch, progress)
                 WHERE command.order_id = new.order_id AND command.step = new.step AND command.epoch = new.epoch
                 AND command.{open}"
            ),
            count: format!("SELECT count(*) FROM {table} WHERE state = 'open'"),
            // Without a reason somebody has it, or its wake-up is on its way. Rows that stay as they are are not locked:
            // those who are at work on them would be waited for.
            bring_forward: format!(
                "WITH late AS MATERIALIZED (
                     SELECT order_id, step FROM {table}
                     WHERE state = 'open' AND (answer_missing_since > $1::bigint
                     OR next_attempt_at > CASE WHEN last_reason IS NULL THEN $2::bigint ELSE $1::bigint END)
                     ORDER BY order_id, step LIMIT $3 FOR UPDATE),
                 brought AS (
                     UPDATE {table} AS command SET
                     next_attempt_at = least(next_attempt_at, CASE WHEN last_reason IS NULL THEN $2 ELSE $1 END),
                     answer_missing_since = CASE WHEN answer_missing_since > $1 THEN $1 ELSE answer_missing_since END
                     FROM late WHERE command.order_id = late.order_id AND command.step = late.step RETURNING 1)
                 SELECT count(*) FROM brought"
            ),
            answer_letters: format!(
                "UPDATE {service}.dead_letters SET replayed_at = $2 WHERE replayed_at IS NULL AND source = $1"
            ),
            read,
            lock,
        }
    }
}
