//! Signing keys on SQLite.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use storage::StoreError;
use storage::sqlite::{from_micros, micros};

use super::SqliteAuth;
use crate::domain::keys::{Change, KeyRecord, KeyRules, Wish, plan};
use crate::ports::KeyStore;

#[async_trait]
impl KeyStore for SqliteAuth {
    async fn amend(
        &self,
        now: Timestamp,
        wish: Wish,
        fresh: KeyRecord,
        rules: KeyRules,
    ) -> Result<(Change, Vec<KeyRecord>), StoreError> {
        self.database
            .writer()
            .run(move |tx| {
                let keys = keys(tx)?;
                let plan = plan(&keys, wish, fresh, rules, now);
                for kid in &plan.forget {
                    tx.prepare_cached("DELETE FROM auth_signing_keys WHERE kid = ?")?
                        .execute([kid])?;
                }
                if let Some((kid, at)) = &plan.retire {
                    tx.prepare_cached("UPDATE auth_signing_keys SET retired_at = ? WHERE kid = ?")?
                        .execute(params![micros(*at), kid])?;
                }
                if let Some(key) = &plan.insert {
                    tx.prepare_cached(
                        "INSERT INTO auth_signing_keys (kid, private_key, created_at, retired_at) VALUES (?, ?, ?, ?)",
                    )?
                    .execute(params![
                        key.kid,
                        key.seed,
                        micros(key.created_at),
                        key.retired_at.map(micros)
                    ])?;
                }
                let keys = self::keys(tx)?;
                Ok((plan.change, keys))
            })
            .await
    }
}

fn keys(connection: &Connection) -> rusqlite::Result<Vec<KeyRecord>> {
    connection
        .prepare_cached(
            "SELECT kid, private_key, created_at, retired_at FROM auth_signing_keys ORDER BY created_at, kid",
        )?
        .query_map((), to_key)?
        .collect()
}

fn to_key(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    Ok(KeyRecord {
        kid: row.get(0)?,
        seed: row.get(1)?,
        created_at: from_micros(2, row.get(2)?)?,
        retired_at: row.get::<_, Option<i64>>(3)?.map(|at| from_micros(3, at)).transpose()?,
    })
}
