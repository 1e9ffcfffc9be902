//! How sagas and deposits stand, for whoever watches: two queries along the indexes of what is open.

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use service_kit::metrics::{Family, Figures, Survey};
use storage::sqlite::{Database, from_micros};

use super::{collect, rows};
use crate::store::survey::{FAMILIES, Found, NAME};

/// Open orders are found by their index; the limit is [`storage::survey::SURVEYED`].
const OPEN: &str = "SELECT state, count(*), min(created_at) FROM
    (SELECT state, created_at FROM wallet_orders INDEXED BY wallet_orders_due
     WHERE state NOT IN ('completed', 'failed') LIMIT 100000)
    GROUP BY state";
const PENDING: &str = "SELECT count(*), min(created_at) FROM
    (SELECT created_at FROM wallet_deposits INDEXED BY wallet_deposits_due WHERE status = 'pending' LIMIT 100000)";

/// Looks at the sagas and deposits of a database.
pub struct SagaSurvey(Database);

impl SagaSurvey {
    /// Those in `database`, which has the migrations of [`crate::migrations`].
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self(database)
    }
}

fn find(connection: &Connection) -> rusqlite::Result<Found> {
    let sagas = collect(connection, OPEN, (), |row| {
        Ok((rows::text(row, 0)?, row.get(1)?, from_micros(2, row.get(2)?)?))
    })?;
    let deposits = connection.prepare_cached(PENDING)?.query_row((), |row| {
        let oldest: Option<i64> = row.get(1)?;
        Ok((row.get(0)?, oldest.map(|micros| from_micros(1, micros)).transpose()?))
    })?;
    Ok(Found { sagas, deposits })
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
        let found = self.0.readers().run(find).await;
        Ok(found.map_err(|error| error.to_string())?.figures(now))
    }
}
