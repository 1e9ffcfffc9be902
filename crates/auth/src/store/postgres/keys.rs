//! Signing keys on PostgreSQL. The whole table is locked before it is read, for its first row is not there to be locked;
//! there are few keys, and few who ask.

use async_trait::async_trait;
use jiff::Timestamp;
use storage::postgres::{Tx, TxError, from_micros};
use storage::{StoreError, in_transaction};

use super::PostgresAuth;
use crate::domain::keys::{Change, KeyRecord, KeyRules, Plan, Wish, plan};
use crate::ports::KeyStore;

/// Excludes itself and every change, until the transaction ends.
const LOCK: &str = "LOCK TABLE auth.signing_keys IN SHARE ROW EXCLUSIVE MODE";

#[async_trait]
impl KeyStore for PostgresAuth {
    async fn amend(
        &self,
        now: Timestamp,
        wish: Wish,
        fresh: KeyRecord,
        rules: KeyRules,
    ) -> Result<(Change, Vec<KeyRecord>), StoreError> {
        in_transaction!(self.database, tx => amend(&mut tx, now, wish, &fresh, rules))
    }
}

async fn amend(
    tx: &mut Tx,
    now: Timestamp,
    wish: Wish,
    fresh: &KeyRecord,
    rules: KeyRules,
) -> Result<(Change, Vec<KeyRecord>), TxError> {
    tx.query(LOCK, &[]).await?;
    let known = keys(tx).await?;
    let Plan {
        change,
        forget,
        retire,
        insert,
    } = plan(&known, wish, fresh.clone(), rules, now);
    if forget.is_empty() && retire.is_none() && insert.is_none() {
        return Ok((change, known));
    }
    tx.query("DELETE FROM auth.signing_keys WHERE kid = ANY($1)", &[&forget])
        .await?;
    if let Some((kid, at)) = retire {
        let sql = "UPDATE auth.signing_keys SET retired_at = $1 WHERE kid = $2";
        tx.query(sql, &[&at.as_microsecond(), &kid]).await?;
    }
    if let Some(key) = insert {
        let retired_at = key.retired_at.map(Timestamp::as_microsecond);
        tx.query(
            "INSERT INTO auth.signing_keys (kid, private_key, created_at, retired_at) VALUES ($1, $2, $3, $4)",
            &[&key.kid, &&key.seed[..], &key.created_at.as_microsecond(), &retired_at],
        )
        .await?;
    }
    Ok((change, keys(tx).await?))
}

async fn keys(tx: &mut Tx) -> Result<Vec<KeyRecord>, TxError> {
    // Sorted by bytes, as ids are compared elsewhere, whatever the language of the database.
    let sql = "SELECT kid, private_key, created_at, retired_at FROM auth.signing_keys
               ORDER BY created_at, kid COLLATE \"C\"";
    let rows = tx.query(sql, &[]).await?;
    rows.iter()
        .map(|row| {
            let seed: &[u8] = row.try_get(1)?;
            let retired_at: Option<i64> = row.try_get(3)?;
            Ok(KeyRecord {
                kid: row.try_get(0)?,
                seed: seed
                    .try_into()
                    .map_err(|_| TxError::Value("a signing key does not have 32 bytes".to_owned()))?,
                created_at: from_micros(row.try_get(2)?)?,
                retired_at: retired_at.map(from_micros).transpose()?,
            })
        })
        .collect()
}
