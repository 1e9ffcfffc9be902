//! How sagas and deposits stand, for whoever watches: two queries along the indexes of what is open.

use async_trait::async_trait;
use jiff::Timestamp;
use service_kit::metrics::{Family, Figures, Survey};
use storage::postgres::{Database, Tx, TxError, from_micros};

use super::rows;
use crate::store::survey::{FAMILIES, Found, NAME};

/// Open orders are found by their index; the limit is [`storage::survey::SURVEYED`].
const OPEN: &str = "SELECT state, count(*), min(created_at) FROM
    (SELECT state, created_at FROM wallet.orders WHERE state NOT IN ('completed', 'failed') LIMIT 100000) AS unfinished
    GROUP BY state";
const PENDING: &str = "SELECT count(*), min(created_at) FROM
    (SELECT created_at FROM wallet.deposits WHERE status = 'pending' LIMIT 100000) AS pending";

/// Looks at the sagas and deposits of a database.
pub struct SagaSurvey(Database);

impl SagaSurvey {
    /// Those in `database`, which has the migrations of [`crate::postgres_migrations`].
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self(database)
    }
}

async fn find(tx: &mut Tx) -> Result<Found, TxError> {
    let open = tx.query(OPEN, &[]).await?;
    let sagas = open
        .iter()
        .map(|row| Ok((rows::parsed(row, 0)?, row.try_get(1)?, rows::time(row, 2)?)));
    let sagas = sagas.collect::<Result<_, TxError>>()?;
    let pending = tx.query(PENDING, &[]).await?;
    let row = pending.first().ok_or_else(|| rows::bad("nothing was counted"))?;
    let oldest: Option<i64> = row.try_get(1)?;
    Ok(Found {
        sagas,
        deposits: (row.try_get(0)?, oldest.map(from_micros).transpose()?),
    })
}

#[async_trait]
impl Survey for SagaSurvey {
    fn name(&self) -> &'static str {
        NAME
    }

    fn families(&self) -> &'static [&'static Family] {
        FAMILIES
    }

    async fn read(&self, now: Timestamp) -> Result<Figures, String> {
        let mut tx = self.0.snapshot().await.map_err(|error| error.to_string())?;
        let found = find(&mut tx).await;
        tx.roll_back().await;
        Ok(found.map_err(|error| error.to_string())?.figures(now))
    }
}
