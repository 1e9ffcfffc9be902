//! Every statement of the ledger, in one place, so that their plans can be looked at together.

/// 1 row when the user has a wallet.
pub(super) const FIND_WALLET: &str = "SELECT 1 FROM balance_wallets WHERE user_id = ?1";

/// Opens a wallet that is not open.
pub(super) const INSERT_WALLET: &str =
    "INSERT INTO balance_wallets (user_id, opened_at) VALUES (?1, ?2) ON CONFLICT (user_id) DO NOTHING";

/// All accounts of an owner.
pub(super) const ACCOUNTS_OF: &str = "SELECT id, asset, balance, newest_entry FROM balance_accounts WHERE owner = ?1";

/// A new account.
pub(super) const INSERT_ACCOUNT: &str = "INSERT INTO balance_accounts (owner, asset, balance) VALUES (?1, ?2, ?3)";

/// An account's new balance, and the newest entry that touched it.
pub(super) const UPDATE_ACCOUNT: &str = "UPDATE balance_accounts SET balance = ?2, newest_entry = ?3 WHERE id = ?1";

/// The entry of a transfer's name. Usually there is none, and to find that out only the index is opened.
pub(super) const FIND_ENTRY: &str =
    "SELECT entry_id FROM balance_transfers WHERE origin_kind = ?1 AND origin_id = ?2 AND leg = ?3";

/// The content of an entry.
pub(super) const READ_ENTRY: &str = "SELECT d.owner, c.owner, d.asset, t.amount, t.reason, t.actor
     FROM balance_transfers t
     JOIN balance_accounts d ON d.id = t.debit_account
     JOIN balance_accounts c ON c.id = t.credit_account
     WHERE t.entry_id = ?1";

/// A new transfer.
pub(super) const INSERT_TRANSFER: &str = "INSERT INTO balance_transfers
     (origin_kind, origin_id, leg, debit_account, credit_account, amount, debit_balance_after, credit_balance_after,
      reason, actor, posted_at, debit_previous, credit_previous)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

/// A hold that was refused for good.
pub(super) const FIND_REFUSAL: &str = "SELECT debit, credit, asset, amount, reason, actor FROM balance_refusals
     WHERE origin_kind = ?1 AND origin_id = ?2 AND leg = ?3";

/// A newly refused hold.
pub(super) const INSERT_REFUSAL: &str = "INSERT INTO balance_refusals
     (origin_kind, origin_id, leg, debit, credit, asset, amount, reason, actor, refused_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

/// An entry as a line of either side's statement, and where those go on.
pub(super) const READ_LINE: &str =
    "SELECT t.entry_id, t.posted_at, t.origin_kind, t.origin_id, t.leg, t.reason, d.asset,
     t.amount, d.owner, t.debit_balance_after, t.debit_previous, c.owner, t.credit_balance_after, t.credit_previous
     FROM balance_transfers t
     JOIN balance_accounts d ON d.id = t.debit_account
     JOIN balance_accounts c ON c.id = t.credit_account
     WHERE t.entry_id = ?1";

/// The number the next adjustment gets. Rows are never deleted, so none is used twice.
pub(super) const NEXT_ADJUSTMENT: &str = "SELECT coalesce(max(id), 0) + 1 FROM balance_adjustments";

/// An adjustment by its request key.
pub(super) const FIND_ADJUSTMENT: &str = "SELECT id, fingerprint, wallet_after FROM balance_adjustments
     WHERE user_id = ?1 AND idempotency_key = ?2";

/// A booked adjustment.
pub(super) const INSERT_ADJUSTMENT: &str = "INSERT INTO balance_adjustments
     (id, user_id, idempotency_key, fingerprint, wallet_after, adjusted_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// The transfers of one kind of origin within a range of numbers, in the order of their names.
pub(super) const TRANSFERS_OF: &str = "SELECT t.origin_kind, t.origin_id, t.leg, d.owner, c.owner, d.asset, t.amount,
     t.reason, t.actor, t.entry_id, t.debit_balance_after, t.credit_balance_after, t.posted_at
     FROM balance_transfers t
     JOIN balance_accounts d ON d.id = t.debit_account
     JOIN balance_accounts c ON c.id = t.credit_account
     WHERE t.origin_kind = ?1 AND t.origin_id BETWEEN ?2 AND ?3 ORDER BY t.origin_id, t.leg";

#[cfg(test)]
mod tests {
    use super::*;

    /// A statement whose time grows with the books would be found here before a user finds it.
    #[test]
    fn no_statement_reads_a_whole_table() {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        for migration in crate::migrations().list() {
            connection.execute_batch(&migration.sql).unwrap();
        }
        let statements = [
            FIND_WALLET,
            INSERT_WALLET,
            ACCOUNTS_OF,
            INSERT_ACCOUNT,
            UPDATE_ACCOUNT,
            FIND_ENTRY,
            READ_ENTRY,
            INSERT_TRANSFER,
            FIND_REFUSAL,
            INSERT_REFUSAL,
            READ_LINE,
            FIND_ADJUSTMENT,
            INSERT_ADJUSTMENT,
            TRANSFERS_OF,
        ];
        for statement in statements {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
            // Whatever the parameters are, the plan is the same; NULL will do.
            let unbound = rusqlite::params_from_iter(vec![rusqlite::types::Null; plan.parameter_count()]);
            let steps = plan.query_map(unbound, |row| row.get::<_, String>(3)).unwrap();
            for step in steps.map(Result::unwrap) {
                assert!(
                    !step.contains("SCAN") && !step.contains("TEMP B-TREE"),
                    "{statement}\n{step}"
                );
            }
        }
    }
}
