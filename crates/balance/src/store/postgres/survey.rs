//! Adds up all balances for whoever watches: the customers' by the server, so that one row travels for each asset. That
//! reads every account, and [`Survey`] makes it the more seldom the longer it takes.

use async_trait::async_trait;
use jiff::Timestamp;
use service_kit::metrics::{Family, Figures, Survey};
use storage::postgres::TxError;

use super::PostgresLedger;
use crate::store::survey::{FAMILIES, Totals};

/// A sum may have more digits than an amount: as text.
const ACCOUNTS: &str = "SELECT class, asset, sum(balance)::text, count(*) FROM
    (SELECT CASE WHEN owner LIKE 'user:%' THEN 'user:' ELSE owner END AS class, asset, balance FROM balance.accounts)
    AS classed GROUP BY class, asset";

impl PostgresLedger {
    async fn add_up(&self) -> Result<Totals, String> {
        let mut tx = self.database.overview().await.map_err(|error| error.to_string())?;
        let rows = tx.query(ACCOUNTS, &[]).await;
        tx.roll_back().await;
        let mut totals = Totals::new();
        for row in rows.map_err(|error| error.to_string())? {
            let read = || -> Result<_, TxError> {
                let (class, asset, sum): (&str, &str, &str) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
                Ok((class, asset, sum.parse().ok(), row.try_get::<_, i64>(3)?))
            };
            let (class, asset, sum, accounts) = read().map_err(|error| error.to_string())?;
            totals.add(class, asset, sum, accounts.unsigned_abs());
        }
        Ok(totals)
    }
}

#[async_trait]
impl Survey for PostgresLedger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    async fn read(&self, _: Timestamp) -> Result<Figures, String> {
        Ok(self.add_up().await?.into_figures())
    }
}
