//! Failed logins on PostgreSQL. Whoever concludes a login holds the account's lock, which is there before its row is: so
//! those who guess at once are counted one after the other, through whichever process they come.

use async_trait::async_trait;
use jiff::Timestamp;
use storage::postgres::{Tx, TxError, from_micros};
use storage::{StoreError, in_transaction};

use super::PostgresAuth;
use crate::domain::logins::{Account, FailurePolicy, Failures, Record, Verdict, conclude};
use crate::ports::LoginFailureStore;
use crate::store::{MAX_FORGOTTEN, outdated};

const LOCK: &str = "SELECT pg_advisory_xact_lock($1)";
const READ: &str = "SELECT failures, since FROM auth.login_failures WHERE account = $1";
const WRITE: &str = "INSERT INTO auth.login_failures (account, failures, since) VALUES ($1, $2, $3)
    ON CONFLICT (account) DO UPDATE SET failures = excluded.failures, since = excluded.since";
const FORGET: &str = "DELETE FROM auth.login_failures WHERE account = $1";
/// What others are at is passed over; they forget it themselves.
const FORGET_OUTDATED: &str = "DELETE FROM auth.login_failures WHERE account = ANY(ARRAY(
    SELECT account FROM auth.login_failures WHERE since <= $1 ORDER BY since LIMIT $2 FOR UPDATE SKIP LOCKED))";

#[async_trait]
impl LoginFailureStore for PostgresAuth {
    async fn closed_until(
        &self,
        now: Timestamp,
        account: Account,
        policy: FailurePolicy,
    ) -> Result<Option<Timestamp>, StoreError> {
        let known: Result<_, StoreError> = in_transaction!(self.database, tx => failures(&mut tx, account));
        Ok(known?.and_then(|failures| failures.closed_until(now, policy)))
    }

    async fn conclude(
        &self,
        now: Timestamp,
        account: Account,
        right: bool,
        policy: FailurePolicy,
    ) -> Result<Verdict, StoreError> {
        in_transaction!(self.database, tx => conclude_in(&mut tx, now, account, right, policy))
    }
}

async fn conclude_in(
    tx: &mut Tx,
    now: Timestamp,
    account: Account,
    right: bool,
    policy: FailurePolicy,
) -> Result<Verdict, TxError> {
    tx.query(LOCK, &[&lock_of(account)]).await?;
    let (verdict, record) = conclude(failures(tx, account).await?, now, right, policy);
    let key = account.0.to_vec();
    match record {
        Record::Keep => {}
        Record::Forget => tx.write(FORGET, vec![Box::new(key)], None),
        Record::Write(Failures { count, since }) => {
            let (count, since) = (i64::from(count), since.as_microsecond());
            tx.write(WRITE, vec![Box::new(key), Box::new(count), Box::new(since)], Some(1));
            let outdated = outdated(now, policy).as_microsecond();
            tx.write(FORGET_OUTDATED, vec![Box::new(outdated), Box::new(MAX_FORGOTTEN)], None);
        }
    }
    Ok(verdict)
}

/// The lock of an account. Two that share one wait for each other, and no more than that.
const fn lock_of(Account(digest): Account) -> i64 {
    let [a, b, c, d, e, f, g, h, ..] = digest;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

async fn failures(tx: &mut Tx, account: Account) -> Result<Option<Failures>, TxError> {
    let rows = tx.query(READ, &[&&account.0[..]]).await?;
    rows.first()
        .map(|row| {
            let count = u32::try_from(row.try_get::<_, i64>(0)?).unwrap_or(u32::MAX);
            let since = from_micros(row.try_get(1)?)?;
            Ok(Failures { count, since })
        })
        .transpose()
}
