//! The audit's reads, in a transaction that is handed in: so that an auditor checks the ledger and every other service's rows
//! on one and the same snapshot.
//!
//! What cannot be in sound books is looked for by statements over all rows. What is sound stays at the server, so memory here
//! does not depend on the number of transfers.

mod lists;

use contracts::ledger::Leg;
use contracts::{Amount, Asset};
use storage::postgres::{Tx, TxError};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

pub use self::lists::{balances_of, funding, transfers_of_adjustments, transfers_of_deposits, transfers_of_orders};
use super::rows::{bad, to_asset, to_origin};
use crate::domain::{AssetTotals, BooksReport, MAX_VIOLATIONS, Violation};

/// Sums are texts: 128 bits may not hold them.
const TOTALS: &str = "SELECT asset, count(*),
     coalesce(sum(balance) FILTER (WHERE owner LIKE 'user:%'), 0)::text,
     coalesce(sum(balance) FILTER (WHERE owner = 'hot_wallet'), 0)::text,
     coalesce(sum(balance) FILTER (WHERE owner <> 'hot_wallet' AND owner NOT LIKE 'user:%'), 0)::text,
     sum(balance) <> 0
     FROM balance.accounts GROUP BY asset ORDER BY asset";

const TRANSFERS: &str = "SELECT count(*) FROM balance.transfers";

const SENSELESS_ACCOUNTS: &str = "SELECT id FROM balance.accounts
     WHERE owner = 'user:1' OR NOT asset = ANY ($2) OR owner !~ '^(user:[1-9][0-9]{0,18}|hot_wallet|external:bank|external:chain|venue:[a-z0-9_-]{1,32}|treasury|fees|rounding)$'
     ORDER BY id";

/// What makes it impossible that a transfer was booked: the place in [`FLAWS`] of the first thing.
const FLAWED_TRANSFERS: &str = "SELECT entry_id, flaw FROM (SELECT entry_id, CASE
         WHEN (origin_kind IN ('order', 'deposit', 'adjustment') AND origin_id > 0
             OR origin_kind = 'funding' AND origin_id = 0) IS NOT TRUE THEN 0
         WHEN NOT leg = ANY ($2) THEN 1
         WHEN amount <= 0 THEN 2
         WHEN debit_account = credit_account THEN 3
         WHEN debit.id IS NULL OR credit.id IS NULL THEN 4
         WHEN debit.asset <> credit.asset THEN 5 END AS flaw
     FROM balance.transfers
     LEFT JOIN balance.accounts AS debit ON debit.id = debit_account
     LEFT JOIN balance.accounts AS credit ON credit.id = credit_account) AS transfer
     WHERE flaw IS NOT NULL ORDER BY entry_id";

const FLAWS: [&str; 6] = [
    "what it belongs to is nothing",
    "its leg is none",
    "its amount is not greater than zero",
    "debit and credit are one account",
    "one of its accounts is not there",
    "debit and credit are of different assets",
];

/// Follows every account from zero, transfer by transfer: the first transfer that breaks its chain, the first after which it
/// was below zero though it must not be, and what all of them add up to where that is not what is stored.
const WRONG_ACCOUNTS: &str = "WITH line AS (
         SELECT debit_account AS account, entry_id, -amount AS change, debit_balance_after AS after FROM balance.transfers
         UNION ALL
         SELECT credit_account, entry_id, amount, credit_balance_after FROM balance.transfers),
     step AS (
         SELECT account, entry_id, change, after, sum(change) OVER (PARTITION BY account ORDER BY entry_id) AS running
         FROM line),
     followed AS (
         SELECT account, sum(change) AS booked, min(entry_id) FILTER (WHERE running <> after) AS broken,
             min(entry_id) FILTER (WHERE running < 0 OR after < 0) AS deficit
         FROM step GROUP BY account)
     SELECT owner || ' ' || asset, broken, CASE WHEN owner = 'hot_wallet' OR owner LIKE 'user:%' THEN deficit END,
         balance <> coalesce(booked, 0), balance::text, coalesce(booked, 0)::text
     FROM balance.accounts LEFT JOIN followed ON account = id
     WHERE broken IS NOT NULL OR balance <> coalesce(booked, 0)
         OR deficit IS NOT NULL AND (owner = 'hot_wallet' OR owner LIKE 'user:%')
     ORDER BY id";

const USERS_WITHOUT_WALLET: &str = "SELECT id FROM balance.accounts
     WHERE owner LIKE 'user:%' AND NOT EXISTS (SELECT 1 FROM balance.wallets WHERE owner = 'user:' || user_id) ORDER BY id";

const REFUSED_AND_BOOKED: &str = "SELECT origin_kind, origin_id FROM balance.refusals
     JOIN balance.transfers USING (origin_kind, origin_id, leg) ORDER BY origin_kind, origin_id";

const EMPTY_ADJUSTMENTS: &str = "SELECT id FROM balance.adjustments
     WHERE NOT EXISTS (SELECT 1 FROM balance.transfers WHERE origin_kind = 'adjustment' AND origin_id = id) ORDER BY id";

const STRAY_ADJUSTMENTS: &str = "SELECT entry_id FROM balance.transfers WHERE origin_kind = 'adjustment'
     AND NOT EXISTS (SELECT 1 FROM balance.adjustments WHERE id = origin_id) ORDER BY entry_id";

/// Checks the whole books on the snapshot that `tx` has: every balance is the sum of its transfers, transfer by transfer, from
/// zero on; the balances of every asset add up to zero; nobody who must stay solvent was ever below zero; refused holds are
/// not booked.
///
/// A few statements, each of which takes time that grows with the books: whoever hands in `tx` has to give them that time.
///
/// # Errors
/// What the database says. Books that are wrong are no error but violations.
pub async fn check_books(tx: &mut Tx) -> Result<BooksReport, TxError> {
    let mut report = BooksReport::default();
    let codes: Vec<&str> = Asset::KNOWN.iter().map(|asset| asset.code()).collect();
    let senseless = |row: &Row| {
        let (id, detail) = (row.try_get(0)?, "its owner or its asset is none");
        Ok(Violation::Account { id, detail })
    };
    look(tx, SENSELESS_ACCOUNTS, Some(&codes), &mut report, senseless).await?;
    totals(tx, &mut report).await?;
    let legs: Vec<i16> = Leg::ALL.iter().map(|leg| i16::from(leg.number())).collect();
    let flawed = |row: &Row| {
        let flaw = usize::try_from(row.try_get::<_, i32>(1)?).unwrap_or(usize::MAX);
        let detail = FLAWS.get(flaw).ok_or_else(|| bad("a flaw that is none"))?;
        let entry_id = row.try_get(0)?;
        Ok(Violation::Transfer { entry_id, detail })
    };
    look(tx, FLAWED_TRANSFERS, Some(&legs), &mut report, flawed).await?;
    accounts(tx, &mut report).await?;
    neighbours(tx, &mut report).await?;
    Ok(report)
}

/// Counts everything, and adds up the balances of every asset.
async fn totals(tx: &mut Tx, report: &mut BooksReport) -> Result<(), TxError> {
    let counted = tx.query(TRANSFERS, &[]).await?;
    let counted = counted.first().ok_or_else(|| bad("nothing was counted"))?;
    report.transfers = counted.try_get::<_, i64>(0)?.unsigned_abs();
    for row in tx.query(TOTALS, &[]).await? {
        report.accounts += row.try_get::<_, i64>(1)?.unsigned_abs();
        let Ok(asset) = to_asset(row.try_get(0)?) else {
            // Found among the accounts.
            continue;
        };
        let amount = |column| Ok::<_, TxError>(units(&row, column)?.map(|units| Amount::new(units, asset)));
        report.totals.push(AssetTotals {
            asset,
            customers: amount(2)?,
            hot_wallet: amount(3)?,
            system: amount(4)?,
        });
        if row.try_get(5)? {
            report.add(Violation::Conservation { asset });
        }
    }
    report.totals.sort_unstable_by_key(|totals| totals.asset);
    Ok(())
}

/// A sum, if 128 bits hold it.
fn units(row: &Row, column: usize) -> Result<Option<i128>, TxError> {
    Ok(row.try_get::<_, &str>(column)?.parse().ok())
}

async fn accounts(tx: &mut Tx, report: &mut BooksReport) -> Result<(), TxError> {
    let sql = bounded(WRONG_ACCOUNTS);
    let rows = tx.query(&sql, &[&bound()]).await?;
    for row in &rows {
        let account: String = row.try_get(0)?;
        if let Some(entry_id) = row.try_get(1)? {
            let account = account.clone();
            report.add(Violation::Chain { entry_id, account });
        }
        if let Some(entry_id) = row.try_get(2)? {
            let account = account.clone();
            report.add(Violation::Insolvent { entry_id, account });
        }
        if row.try_get(3)? {
            report.add(Violation::Balance {
                account,
                stored: units(row, 4)?.ok_or_else(|| bad("a balance beyond 128 bits"))?,
                booked: units(row, 5)?,
            });
        }
    }
    count_rest(&rows, report)
}

/// What lies beside the transfers and must agree with them.
async fn neighbours(tx: &mut Tx, report: &mut BooksReport) -> Result<(), TxError> {
    let no_wallet = |row: &Row| {
        let (id, detail) = (row.try_get(0)?, "its user has no wallet");
        Ok(Violation::Account { id, detail })
    };
    look(tx, USERS_WITHOUT_WALLET, None, report, no_wallet).await?;
    let refused = |row: &Row| {
        let origin = to_origin(row.try_get(0)?, row.try_get(1)?)?;
        Ok(Violation::RefusedHoldBooked { origin })
    };
    look(tx, REFUSED_AND_BOOKED, None, report, refused).await?;
    let empty = |row: &Row| Ok(Violation::EmptyAdjustment { id: row.try_get(0)? });
    look(tx, EMPTY_ADJUSTMENTS, None, report, empty).await?;
    let stray = |row: &Row| {
        let (entry_id, detail) = (row.try_get(0)?, "it belongs to an adjustment that is not there");
        Ok(Violation::Transfer { entry_id, detail })
    };
    look(tx, STRAY_ADJUSTMENTS, None, report, stray).await
}

/// Adds a violation for each row, as long as there is room, and counts the rest.
async fn look(
    tx: &mut Tx,
    sql: &str,
    known: Option<&(dyn ToSql + Sync)>,
    report: &mut BooksReport,
    to_violation: impl Fn(&Row) -> Result<Violation, TxError>,
) -> Result<(), TxError> {
    let (sql, bound) = (bounded(sql), bound());
    let mut params: Vec<&(dyn ToSql + Sync)> = vec![&bound];
    params.extend(known);
    let rows = tx.query(&sql, &params).await?;
    for row in &rows {
        report.add(to_violation(row)?);
    }
    count_rest(&rows, report)
}

/// The first rows of a query, with the count of all in a column behind the others.
fn bounded(sql: &str) -> String {
    format!("SELECT *, count(*) OVER () FROM ({sql}) AS wrong LIMIT $1")
}

fn bound() -> i64 {
    i64::try_from(MAX_VIOLATIONS).unwrap_or(i64::MAX)
}

fn count_rest(rows: &[Row], report: &mut BooksReport) -> Result<(), TxError> {
    if let Some(row) = rows.first() {
        let all = row.try_get::<_, i64>(row.len() - 1)?.unsigned_abs();
        report.unlisted = report.unlisted.saturating_add(all.saturating_sub(rows.len() as u64));
    }
    Ok(())
}
