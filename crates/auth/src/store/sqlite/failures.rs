//! Failed logins on SQLite.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use storage::StoreError;
use storage::sqlite::{from_micros, micros};

use super::SqliteAuth;
use crate::domain::logins::{Account, FailurePolicy, Failures, Record, Verdict, conclude};
use crate::ports::LoginFailureStore;
use crate::store::{MAX_FORGOTTEN, outdated};

#[async_trait]
impl LoginFailureStore for SqliteAuth {
    async fn closed_until(
        &self,
        now: Timestamp,
        account: Account,
        policy: FailurePolicy,
    ) -> Result<Option<Timestamp>, StoreError> {
        let known = self
            .database
            .readers()
            .run(move |connection| failures(connection, account))
            .await?;
        Ok(known.and_then(|failures| failures.closed_until(now, policy)))
    }

    async fn conclude(
        &self,
        now: Timestamp,
        account: Account,
        right: bool,
        policy: FailurePolicy,
    ) -> Result<Verdict, StoreError> {
        self.database
            .writer()
            .run(move |tx| {
                let (verdict, record) = conclude(failures(tx, account)?, now, right, policy);
                match record {
                    Record::Keep => {}
                    Record::Forget => {
                        tx.prepare_cached("DELETE FROM auth_login_failures WHERE account = ?")?
                            .execute([account.0])?;
                    }
                    Record::Write(Failures { count, since }) => {
                        tx.prepare_cached(
                            "INSERT INTO auth_login_failures (account, failures, since) VALUES (?1, ?2, ?3)
                             ON CONFLICT (account) DO UPDATE SET failures = ?2, since = ?3",
                        )?
                        .execute(params![account.0, count, micros(since)])?;
                        forget_outdated(tx, now, policy)?;
                    }
                }
                Ok(verdict)
            })
            .await
    }
}

fn failures(connection: &Connection, account: Account) -> rusqlite::Result<Option<Failures>> {
    connection
        .prepare_cached("SELECT failures, since FROM auth_login_failures WHERE account = ?")?
        .query_row([account.0], |row| {
            Ok(Failures {
                count: row.get(0)?,
                since: from_micros(1, row.get(1)?)?,
            })
        })
        .optional()
}

fn forget_outdated(connection: &Connection, now: Timestamp, policy: FailurePolicy) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM auth_login_failures WHERE account IN
             (SELECT account FROM auth_login_failures WHERE since <= ? ORDER BY since LIMIT ?)",
        )?
        .execute(params![micros(outdated(now, policy)), MAX_FORGOTTEN])?;
    Ok(())
}
