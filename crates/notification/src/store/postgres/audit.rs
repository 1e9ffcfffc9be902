//! What an auditor reads: which orders have a notification, and where it stands. Reads only, in a snapshot of the auditor's
//! own, beside running processes.

use contracts::OrderId;
use contracts::messages::Step;
use storage::commands::State;
use storage::postgres::{Tx, TxError};

use crate::store::audit::NotificationFact;

/// The notifications of the orders `from` to `to`, both included, in the order of their numbers; orders without one are
/// left out. The caller bounds the range, and with it the answer: an order has at most one.
///
/// # Errors
/// What the database says, and a row that this program cannot have written.
pub async fn notifications_of_orders(
    tx: &mut Tx,
    from: OrderId,
    to: OrderId,
) -> Result<Vec<NotificationFact>, TxError> {
    let sql = "SELECT order_id, state FROM notification.commands
               WHERE order_id BETWEEN $1 AND $2 AND step = $3 ORDER BY order_id";
    let rows = tx.query(sql, &[&from.get(), &to.get(), &Step::Notify.as_str()]).await?;
    rows.iter()
        .map(|row| {
            let state: &str = row.try_get(1)?;
            Ok(NotificationFact {
                order_id: OrderId::try_new(row.try_get(0)?).map_err(|error| TxError::Value(error.to_string()))?,
                state: State::from_name(state)
                    .ok_or_else(|| TxError::Value(format!("{state:?} is not the state of a command")))?,
            })
        })
        .collect()
}
