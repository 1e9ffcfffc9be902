//! Progress under a claim: by itself, or in a transaction of the service's own store, together with its own rows.

use jiff::Timestamp;

use super::{PostgresCommands, columns};
use crate::commands::{CommandKey, Fencing};
use crate::postgres::{Param, Tx, TxError};

impl PostgresCommands {
    pub(super) async fn checkpoint_in(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        key: CommandKey,
        epoch: i64,
        progress: &str,
    ) -> Result<Fencing, TxError> {
        let (order, step, now) = (key.order_id.get(), key.step.as_str(), now.as_microsecond());
        let written = tx
            .query(&self.sql.checkpoint, &[&order, &step, &epoch, &progress, &now])
            .await?;
        Ok(if written.is_empty() {
            Fencing::Fenced
        } else {
            Fencing::Written
        })
    }

    /// Stores the progress of several commands when `tx` ends, each under its claim: of all of them, or the transaction
    /// fails. For whoever has locked them, in the order of their keys, and found each of them open under that claim.
    pub fn checkpoint_locked(
        &self,
        tx: &mut Tx,
        now: Timestamp,
        progress: impl IntoIterator<Item = (CommandKey, i64, String)>,
    ) {
        let (mut keys, mut epochs, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        for (key, epoch, content) in progress {
            keys.push(key);
            epochs.push(epoch);
            contents.push(content);
        }
        let count = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        let (orders, steps) = columns(keys.into_iter());
        let params: Vec<Param> = vec![
            Box::new(orders),
            Box::new(steps),
            Box::new(epochs),
            Box::new(contents),
            Box::new(now.as_microsecond()),
        ];
        tx.write(self.sql.checkpoint_locked.as_str(), params, Some(count));
    }
}
