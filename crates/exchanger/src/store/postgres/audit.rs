//! What an auditor reads: which trades ended how. Reads only, in a snapshot of the auditor's own, beside running processes.

use contracts::OrderId;
use storage::postgres::{Tx, TxError};

use crate::store::audit::TradeFact;

/// The trades of the orders `from` to `to`, both included, in the order of (order, step). The caller bounds the range,
/// and with it the answer: an order has at most two.
///
/// # Errors
/// What the database says, and a row that this program cannot have written.
pub async fn trades_of_orders(tx: &mut Tx, from: OrderId, to: OrderId) -> Result<Vec<TradeFact>, TxError> {
    // Names of steps are sorted by their bytes, as the other database does, whatever the language of this one.
    let sql = "SELECT order_id, step, result FROM exchanger.commands
               WHERE order_id BETWEEN $1 AND $2 ORDER BY order_id, step COLLATE \"C\"";
    let strange = |error: &dyn std::fmt::Display| TxError::Value(error.to_string());
    let rows = tx.query(sql, &[&from.get(), &to.get()]).await?;
    rows.iter()
        .map(|row| {
            let result: Option<&str> = row.try_get(2)?;
            Ok(TradeFact {
                order_id: OrderId::try_new(row.try_get(0)?).map_err(|error| strange(&error))?,
                step: row.try_get::<_, &str>(1)?.parse().map_err(|error| strange(&error))?,
                result: result.map(serde_json::from_str).transpose()?,
            })
        })
        .collect()
}
