//! Adds up all balances for whoever watches. That reads every account, so it takes time in proportion to the number of
//! customers, and [`Survey`] makes it the more seldom the longer it takes.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use service_kit::metrics::{Family, Figures, Survey};
use storage::sqlite::AmountBlob;

use super::SqliteLedger;
use super::audit::each;
use crate::store::survey::{FAMILIES, Totals};

const ACCOUNTS: &str = "SELECT owner, asset, balance FROM balance_accounts";

fn add_up(connection: &Connection) -> rusqlite::Result<Totals> {
    let mut totals = Totals::new();
    each(connection, ACCOUNTS, |row| {
        let balance: AmountBlob = row.get(2)?;
        totals.add(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?, Some(balance.0), 1);
        Ok(())
    })?;
    Ok(totals)
}

#[async_trait]
impl Survey for SqliteLedger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn families(&self) -> &'static [&'static Family] {
        &FAMILIES
    }

    async fn read(&self, _: Timestamp) -> Result<Figures, String> {
        let found = self.database.readers().run(add_up).await;
        Ok(found.map_err(|error| error.to_string())?.into_figures())
    }
}
