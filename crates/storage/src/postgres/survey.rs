//! How outboxes and commands stand, for whoever watches: read in a transaction that is handed in, in queries that look at
//! no more than [`SURVEYED`] rows each, however much waits.

use contracts::ServiceName;

use super::columns::from_micros;
use super::{Tx, TxError};
use crate::survey::{CommandsSurvey, OutboxSurvey, SURVEYED, by_source};

/// What waits in the outbox of `service`, which has one. A row of a destination that this program does not know (a newer
/// one wrote it) is left out.
///
/// # Errors
/// What the database says.
pub async fn survey_outbox(tx: &mut Tx, service: ServiceName) -> Result<OutboxSurvey, TxError> {
    let waiting = format!(
        "SELECT destination, count(*), min(created_at) FROM
         (SELECT destination, created_at FROM {service}.outbox ORDER BY destination, next_attempt_at LIMIT {SURVEYED})
         AS surveyed GROUP BY destination ORDER BY destination"
    );
    let mut survey = OutboxSurvey {
        waiting: Vec::new(),
        dead: by_source(std::iter::empty()),
    };
    for row in tx.query(&waiting, &[]).await? {
        let (name, rows, since): (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let Ok(destination) = name.parse() else { continue };
        survey
            .waiting
            .push((destination, rows.unsigned_abs(), Some(from_micros(since)?)));
    }
    let dead = format!("SELECT source FROM {service}.dead_letters WHERE replayed_at IS NULL LIMIT {SURVEYED}");
    let sources = tx.query(&dead, &[]).await?;
    let sources = sources
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<Vec<&str>, _>>()?;
    survey.dead = by_source(sources.into_iter());
    Ok(survey)
}

/// How the commands of `service` stand, which has some.
///
/// # Errors
/// What the database says.
pub async fn survey_commands(tx: &mut Tx, service: ServiceName) -> Result<CommandsSurvey, TxError> {
    let open = format!(
        "SELECT count(*), count(answer_missing_since), min(created_at) FROM
         (SELECT answer_missing_since, created_at FROM {service}.commands WHERE state = 'open' LIMIT {SURVEYED})
         AS surveyed"
    );
    let rows = tx.query(&open, &[]).await?;
    let row = rows
        .first()
        .ok_or_else(|| TxError::Value("nothing was counted".to_owned()))?;
    let (open, answer_missing, oldest): (i64, i64, Option<i64>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    Ok(CommandsSurvey {
        open: open.unsigned_abs(),
        answer_missing: answer_missing.unsigned_abs(),
        dead: super::dead_commands(tx, service).await?,
        oldest: oldest.map(from_micros).transpose()?,
    })
}
