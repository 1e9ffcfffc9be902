//! Every statement of the ledger on PostgreSQL, in one place. Lists come as arrays.

/// Opens a wallet that is not open: a row if it was not.
pub(super) const OPEN_WALLET: &str =
    "INSERT INTO balance.wallets (user_id, opened_at) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING user_id";

/// The accounts of a user's wallet: no row when there is no wallet, and at least one when there is. User 1 always has one.
pub(super) const WALLET: &str = "SELECT asset, balance
     FROM (SELECT user_id FROM balance.wallets WHERE user_id = $1 UNION SELECT $1 WHERE $1 = 1) AS wallet
     LEFT JOIN balance.accounts ON owner = $2";

/// The newest entries of an owner's accounts below one of them.
pub(super) const STATEMENT: &str = "WITH own AS MATERIALIZED (SELECT id, asset FROM balance.accounts WHERE owner = $1),
     line AS (
         SELECT entry.*, asset, -amount AS change, credit_account AS other, debit_balance_after AS balance_after
         FROM own, LATERAL (SELECT * FROM balance.transfers WHERE debit_account = own.id AND entry_id < $2
             ORDER BY debit_account, entry_id DESC LIMIT $3) AS entry
         UNION ALL
         SELECT entry.*, asset, amount, debit_account, credit_balance_after
         FROM own, LATERAL (SELECT * FROM balance.transfers WHERE credit_account = own.id AND entry_id < $2
             ORDER BY credit_account, entry_id DESC LIMIT $3) AS entry)
     SELECT entry_id, posted_at, origin_kind, origin_id, leg, reason, asset, change,
         (SELECT owner FROM balance.accounts WHERE id = other), balance_after
     FROM (SELECT * FROM line ORDER BY entry_id DESC LIMIT $3) AS line ORDER BY entry_id DESC";

/// Locks what is locked by a number and not by a row, until the transaction ends: what is to be done with it is looked up by
/// a later statement, which sees what the one before has committed.
pub(super) const LOCK_CORRECTIONS: &str = "SELECT pg_advisory_xact_lock($1, 0)::text";

/// Locks names of holds, then those of these accounts that exist, in the one order in which everybody does: the condition
/// that is the same for all rows is seen to before the first of them.
pub(super) const LOCK: &str = "SELECT place, id, balance
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS key (owner, asset, place)
     JOIN balance.accounts AS account USING (owner, asset)
     WHERE (SELECT count(pg_advisory_xact_lock($3, hold)::text) FROM unnest($4::int[]) AS hold) >= 0
     ORDER BY account.owner, account.asset FOR UPDATE OF account";

/// What is known of these names of transfers, and which of these users have a wallet.
pub(super) const LOOK_UP: &str = "SELECT 'booked' AS found, origin_kind, origin_id, leg, debit.owner, credit.owner,
         debit.asset, amount, reason, actor
     FROM unnest($1::text[], $2::bigint[], $3::smallint[]) AS name (origin_kind, origin_id, leg)
     JOIN balance.transfers USING (origin_kind, origin_id, leg)
     JOIN balance.accounts AS debit ON debit.id = debit_account
     JOIN balance.accounts AS credit ON credit.id = credit_account
     UNION ALL
     SELECT 'refused', origin_kind, origin_id, leg, debit, credit, asset, amount, reason, actor
     FROM unnest($1::text[], $2::bigint[], $3::smallint[]) AS name (origin_kind, origin_id, leg)
     JOIN balance.refusals USING (origin_kind, origin_id, leg)
     UNION ALL
     SELECT 'wallet', '', user_id, 0::smallint, '', '', '', 0, '', '' FROM balance.wallets WHERE user_id = ANY ($4::bigint[])";

/// New accounts, with their first balances.
pub(super) const OPEN_ACCOUNTS: &str = "INSERT INTO balance.accounts (owner, asset, balance)
     SELECT owner, asset, balance FROM unnest($1::text[], $2::text[], $3::numeric[]) AS new (owner, asset, balance)
     ORDER BY owner, asset RETURNING id, owner, asset";

/// New balances.
pub(super) const UPDATE_ACCOUNTS: &str = "UPDATE balance.accounts AS account SET balance = new.balance
     FROM unnest($1::bigint[], $2::numeric[]) AS new (id, balance) WHERE account.id = new.id";

/// New transfers, numbered in the order in which they are listed.
pub(super) const INSERT_TRANSFERS: &str = "INSERT INTO balance.transfers (origin_kind, origin_id, leg, debit_account,
         credit_account, amount, debit_balance_after, credit_balance_after, reason, actor, posted_at)
     SELECT kind, number, leg, debit, credit, amount, debit_after, credit_after, reason, actor, $11
     FROM unnest($1::text[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::numeric[], $7::numeric[],
         $8::numeric[], $9::text[], $10::text[]) WITH ORDINALITY
     AS new (kind, number, leg, debit, credit, amount, debit_after, credit_after, reason, actor, place)
     ORDER BY place";

/// Newly refused holds.
pub(super) const INSERT_REFUSALS: &str = "INSERT INTO balance.refusals (origin_kind, origin_id, leg, debit, credit, asset,
         amount, reason, actor, refused_at)
     SELECT kind, number, leg, debit, credit, asset, amount, reason, actor, $10
     FROM unnest($1::text[], $2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::text[], $7::numeric[], $8::text[],
         $9::text[]) AS new (kind, number, leg, debit, credit, asset, amount, reason, actor)
     ORDER BY kind, number, leg";

/// The number the next adjustment gets. Rows are never deleted, so none is used twice.
pub(super) const NEXT_ADJUSTMENT: &str = "SELECT coalesce(max(id), 0) + 1 FROM balance.adjustments";

/// An adjustment by its request key.
pub(super) const FIND_ADJUSTMENT: &str = "SELECT id, fingerprint, wallet_after FROM balance.adjustments
     WHERE user_id = $1 AND idempotency_key = $2";

/// A booked adjustment.
pub(super) const INSERT_ADJUSTMENT: &str = "INSERT INTO balance.adjustments
     (id, user_id, idempotency_key, fingerprint, wallet_after, adjusted_at) VALUES ($1, $2, $3, $4, $5, $6)";

/// The transfers of one kind of origin within a range of numbers, in the order of their names.
pub(super) const TRANSFERS_OF: &str =
    "SELECT entry_id, origin_kind, origin_id, leg, debit.owner, credit.owner, debit.asset,
         amount, reason, actor, debit_balance_after, credit_balance_after, posted_at
     FROM balance.transfers
     JOIN balance.accounts AS debit ON debit.id = debit_account
     JOIN balance.accounts AS credit ON credit.id = credit_account
     WHERE origin_kind = $1 AND origin_id BETWEEN $2 AND $3 ORDER BY origin_id, leg";

/// An owner's accounts.
pub(super) const BALANCES_OF: &str = "SELECT asset, balance FROM balance.accounts WHERE owner = $1 ORDER BY asset";
