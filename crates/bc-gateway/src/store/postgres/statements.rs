//! Every statement of transfers and coins on PostgreSQL, in one place. Lists come as arrays. `bc_gateway.commands` is this
//! service's own table of commands: a done command is a confirmed transfer; a failed one, which only an operator can make of
//! a signed one, is none.

/// Locks users until the transaction ends, in the order of the list: whatever is looked up by a later statement sees what the
/// holder before has committed.
pub(super) const LOCK_USERS: &str =
    "SELECT count(pg_advisory_xact_lock($1, place)::text) FROM unnest($2::int[]) AS place";

pub(super) const ADDRESS: &str = "SELECT address FROM bc_gateway.addresses WHERE chain = $1 AND user_id = $2";

pub(super) const NEXT_NONCE: &str = "SELECT next_nonce FROM bc_gateway.nonces WHERE address = $1";

/// From the greatest nonce down, so it looks at what is under way and one more.
pub(super) const CONFIRMED_NONCE: &str = "SELECT nonce + 1 FROM bc_gateway.transfers AS transfer
     WHERE from_user = $1 AND (SELECT state FROM bc_gateway.commands AS command
         WHERE command.order_id = transfer.order_id AND command.step = transfer.step) = 'done'
     ORDER BY nonce DESC LIMIT 1";

pub(super) const WAS_RESERVED: &str =
    "SELECT EXISTS (SELECT 1 FROM bc_gateway.reservations WHERE order_id = $1 AND step = $2)";

pub(super) const TRANSFER: &str = "SELECT order_id, step, from_user, to_user, asset, amount, nonce, hash
     FROM bc_gateway.transfers WHERE order_id = $1 AND step = $2";

/// Of each kind no more than a page is kept while they are looked through, by the indexes of what is open and what is dead.
pub(super) const UNFINISHED: &str = "SELECT * FROM (
         (SELECT number, order_id, step, content, state, tries, last_reason, answer_missing_since, created_at
          FROM bc_gateway.commands WHERE state = 'open' AND number > $1 ORDER BY number LIMIT $2)
         UNION ALL
         (SELECT number, order_id, step, content, state, tries, last_reason, answer_missing_since, created_at
          FROM bc_gateway.commands WHERE state = 'dead' AND number > $1 ORDER BY number LIMIT $2)) AS step
     ORDER BY number LIMIT $2";

/// What a decision about the coins of one address needs, its user being locked: which of these commands are open under these
/// claims, which are locked first; the next nonce of the address; the addresses of users; which coins are in line to be
/// looked at; of the hot wallet, what is signed with these nonces or greater ones; of a customer, the coins that nothing has
/// a claim on, and what is reserved for these commands. Whatever ends while their locks are waited for is seen as not ended,
/// which never makes more of the coins than there is.
pub(super) const LOOK_UP: &str = "WITH claim AS MATERIALIZED (
         SELECT order_id, step FROM bc_gateway.commands AS command
         JOIN unnest($1::bigint[], $2::text[], $3::bigint[]) AS claimed (order_id, step, held) USING (order_id, step)
         WHERE state = 'open' AND epoch = held ORDER BY order_id, step FOR UPDATE OF command)
     SELECT 'claim' AS found, order_id AS number, step AS name, 0::numeric AS units, '' AS asset FROM claim
     UNION ALL
     SELECT 'nonce', next_nonce, '', 0, '' FROM bc_gateway.nonces WHERE address = $4
     UNION ALL
     SELECT 'address', user_id, address, 0, '' FROM bc_gateway.addresses WHERE chain = $5 AND user_id = ANY ($6::bigint[])
     UNION ALL
     SELECT 'marked', user_id, '', 0, asset FROM bc_gateway.coins WHERE marked AND user_id = ANY ($6::bigint[])
     UNION ALL
     SELECT 'signed', 0, '', (SELECT coalesce(sum(amount), 0) FROM bc_gateway.transfers AS transfer
         WHERE from_user = $7 AND transfer.nonce >= answer.nonce AND transfer.asset = answer.asset), asset
     FROM unnest($8::text[], $9::bigint[]) AS answer (asset, nonce)
     UNION ALL
     SELECT 'free', 0, '', coins
         + (SELECT coalesce(sum(change), 0)
            FROM bc_gateway.uncounted AS uncounted JOIN bc_gateway.commands USING (order_id, step)
            WHERE user_id = $7 AND uncounted.asset = counted.asset
            AND (state = 'done' OR state <> 'failed' AND change < 0))
         - (SELECT coalesce(sum(amount), 0) FROM bc_gateway.sweeps AS sweep
            WHERE user_id = $7 AND state = 'signed' AND sweep.asset = counted.asset)
         - (SELECT coalesce(sum(amount), 0)
            FROM bc_gateway.reservations AS reservation JOIN bc_gateway.commands USING (order_id, step)
            WHERE from_user = $7 AND NOT released AND reservation.asset = counted.asset AND state IN ('open', 'dead')),
         asset
     FROM bc_gateway.coins AS counted WHERE user_id = $7
     UNION ALL
     SELECT 'own', order_id, step, amount, asset
     FROM bc_gateway.reservations JOIN unnest($1::bigint[], $2::text[]) AS claimed (order_id, step) USING (order_id, step)
     WHERE NOT released";

pub(super) const INSERT_NONCE: &str = "INSERT INTO bc_gateway.nonces (address, next_nonce) VALUES ($1, $2)";

pub(super) const MOVE_NONCE: &str =
    "UPDATE bc_gateway.nonces SET next_nonce = $2 WHERE address = $1 AND next_nonce = $3";

pub(super) const INSERT_ADDRESSES: &str = "INSERT INTO bc_gateway.addresses (chain, user_id, address, created_at)
     SELECT $1, user_id, address, $4 FROM unnest($2::bigint[], $3::text[]) AS new (user_id, address)";

pub(super) const INSERT_TRANSFERS: &str = "INSERT INTO bc_gateway.transfers
     (order_id, step, from_user, to_user, asset, amount, nonce, hash, signed_at)
     SELECT order_id, step, $8, to_user, asset, amount, nonce, hash, $9
     FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::numeric[], $6::bigint[], $7::text[])
     AS new (order_id, step, to_user, asset, amount, nonce, hash)";

pub(super) const INSERT_UNCOUNTED: &str = "INSERT INTO bc_gateway.uncounted (user_id, order_id, step, asset, change)
     SELECT user_id, order_id, step, asset, change
     FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::numeric[])
     AS new (user_id, order_id, step, asset, change)";

/// The coins are signed away: the transfer is their claim from now on.
pub(super) const RELEASE: &str = "UPDATE bc_gateway.reservations AS reservation SET released = true
     FROM unnest($1::bigint[], $2::text[]) AS signed (order_id, step)
     WHERE NOT released AND reservation.order_id = signed.order_id AND reservation.step = signed.step";

/// Puts addresses in the line of those to be looked at.
pub(super) const MARK: &str = "INSERT INTO bc_gateway.coins (user_id, asset, checked_at)
     SELECT user_id, asset, $3 FROM unnest($1::bigint[], $2::text[]) AS new (user_id, asset)
     ON CONFLICT (user_id, asset) DO UPDATE SET marked = true";

pub(super) const RESERVE: &str = "INSERT INTO bc_gateway.reservations
     (order_id, step, from_user, asset, amount, reserved_at) VALUES ($1, $2, $3, $4, $5, $6)";

/// There is a row: it says that the coins are there.
pub(super) const COUNT_RESERVATION: &str =
    "UPDATE bc_gateway.coins SET reservations = reservations + 1 WHERE user_id = $1 AND asset = $2";

/// The addresses that waited longest, less those of users that somebody has locked; the others are locked.
pub(super) const LINE: &str = "WITH line AS MATERIALIZED (
         SELECT user_id, asset FROM bc_gateway.coins WHERE marked ORDER BY checked_at LIMIT $1)
     SELECT user_id, asset FROM line WHERE pg_try_advisory_xact_lock($2, (user_id % 2147483647)::int)";

/// Takes in what ended since the last count, at most so many transfers of each user, and releases what ended without a
/// transfer.
pub(super) const TAKE_IN: &str = "WITH ended AS MATERIALIZED (
         SELECT one.user_id, order_id, step, asset, change, state FROM unnest($1::bigint[]) AS one (user_id), LATERAL (
             SELECT order_id, step, asset, change, state
             FROM bc_gateway.uncounted AS uncounted JOIN bc_gateway.commands USING (order_id, step)
             WHERE uncounted.user_id = one.user_id AND state IN ('done', 'failed') LIMIT $2) AS of_one),
     gone AS (
         DELETE FROM bc_gateway.uncounted AS uncounted USING ended WHERE uncounted.user_id = ended.user_id
         AND uncounted.order_id = ended.order_id AND uncounted.step = ended.step),
     released AS (
         UPDATE bc_gateway.reservations AS reservation SET released = true FROM bc_gateway.commands AS command
         WHERE NOT released AND from_user = ANY ($1::bigint[]) AND command.order_id = reservation.order_id
         AND command.step = reservation.step AND command.state IN ('done', 'failed'))
     INSERT INTO bc_gateway.coins AS counted (user_id, asset, coins, checked_at)
     SELECT user_id, asset, sum(change), $3 FROM ended WHERE state = 'done' GROUP BY user_id, asset
     ON CONFLICT (user_id, asset) DO UPDATE SET coins = counted.coins + excluded.coins";

/// Whether nothing of a user's address is under way, reserved, or waits to be counted.
macro_rules! settled {
    ($user:literal) => {
        concat!(
            "(NOT EXISTS (SELECT 1 FROM bc_gateway.uncounted WHERE user_id = ",
            $user,
            ") AND NOT EXISTS (SELECT 1 FROM bc_gateway.reservations WHERE NOT released AND from_user = ",
            $user,
            ") AND NOT EXISTS (SELECT 1 FROM bc_gateway.sweeps WHERE state = 'signed' AND user_id = ",
            $user,
            "))"
        )
    };
}

/// The counts, which go to the end of the line. What is empty and quiet leaves it, until its next transfer.
pub(super) const COUNT: &str = concat!(
    "UPDATE bc_gateway.coins AS counted SET checked_at = $3, marked = NOT (settled AND coins = 0)
     FROM (SELECT user_id, asset, ",
    settled!("line.user_id"),
    " AS settled FROM unnest($1::bigint[], $2::text[]) AS line (user_id, asset)) AS seen
     WHERE counted.user_id = seen.user_id AND counted.asset = seen.asset
     RETURNING counted.user_id, counted.asset, coins, reservations, settled"
);

/// What a sweep was decided on, as it is now; no row where nothing was ever counted.
pub(super) const SEEN: &str = concat!(
    "SELECT ",
    settled!("$1"),
    ", coins, reservations, (SELECT next_nonce FROM bc_gateway.nonces WHERE address = $3),
     (SELECT address FROM bc_gateway.addresses WHERE chain = $4 AND user_id = $1)
     FROM bc_gateway.coins WHERE user_id = $1 AND asset = $2"
);

pub(super) const INSERT_SWEEP: &str = "INSERT INTO bc_gateway.sweeps
     (user_id, asset, amount, nonce, hash, bytes, state, next_attempt_at, created_at)
     VALUES ($1, $2, $3, $4, $5, $6, 'signed', $7, $7) RETURNING id";

pub(super) const OPEN_SWEEPS: &str =
    "SELECT id, user_id, asset, amount, nonce, hash, bytes, tries FROM bc_gateway.sweeps
     WHERE state = 'signed' AND next_attempt_at <= $1 ORDER BY next_attempt_at LIMIT $2";

pub(super) const POSTPONE_SWEEP: &str = "UPDATE bc_gateway.sweeps SET next_attempt_at = $2, tries = tries + 1
     WHERE id = $1 AND state = 'signed' RETURNING id";

pub(super) const SWEPT_USER: &str = "SELECT user_id FROM bc_gateway.sweeps WHERE id = $1";

pub(super) const FINISH_SWEEP: &str = "WITH swept AS (
         UPDATE bc_gateway.sweeps SET state = 'confirmed', confirmed_at = $2 WHERE id = $1 AND state = 'signed'
         RETURNING user_id, asset, amount)
     UPDATE bc_gateway.coins AS counted SET coins = coins - swept.amount
     FROM swept WHERE counted.user_id = swept.user_id AND counted.asset = swept.asset";

/// Rows that stay as they are are not locked: those who are at work on them would be waited for.
pub(super) const BRING_SWEEPS_FORWARD: &str = "WITH late AS MATERIALIZED (
         SELECT id FROM bc_gateway.sweeps WHERE state = 'signed' AND next_attempt_at > $1 ORDER BY id LIMIT $2 FOR UPDATE),
     brought AS (
         UPDATE bc_gateway.sweeps AS sweep SET next_attempt_at = $1 FROM late WHERE sweep.id = late.id RETURNING 1)
     SELECT count(*) FROM brought";

pub(super) const LATE_USERS: &str = "SELECT DISTINCT user_id FROM bc_gateway.coins
     WHERE marked AND checked_at > $1 ORDER BY user_id LIMIT $2";

pub(super) const BRING_USERS_FORWARD: &str = "UPDATE bc_gateway.coins SET checked_at = $2
     WHERE user_id = ANY ($1::bigint[]) AND marked AND checked_at > $2 RETURNING user_id";
