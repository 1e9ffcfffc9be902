//! What an auditor reads: which trades ended how. Reads only, on a connection of the auditor's own, beside a running
//! process.

use contracts::OrderId;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use storage::sqlite::bad_column;

pub use crate::store::audit::TradeFact;

/// The trades of the orders `from` to `to`, both included, in the order of (order, step). The caller bounds the range,
/// and with it the answer: an order has at most two.
///
/// # Errors
/// What SQLite says, and a row that this program cannot have written.
pub fn trades_of_orders(connection: &Connection, from: OrderId, to: OrderId) -> rusqlite::Result<Vec<TradeFact>> {
    connection
        .prepare_cached(
            "SELECT order_id, step, result FROM exchanger_commands
             WHERE order_id BETWEEN ?1 AND ?2 ORDER BY order_id, step",
        )?
        .query_map(params![from.get(), to.get()], to_fact)?
        .collect()
}

fn to_fact(row: &Row<'_>) -> rusqlite::Result<TradeFact> {
    let result = row
        .get::<_, Option<String>>(2)?
        .map(|text| serde_json::from_str(&text).map_err(|error| bad_column(2, Type::Text, error)))
        .transpose()?;
    Ok(TradeFact {
        order_id: OrderId::try_new(row.get(0)?).map_err(|error| bad_column(0, Type::Integer, error))?,
        step: row
            .get::<_, String>(1)?
            .parse()
            .map_err(|error| bad_column(1, Type::Text, error))?,
        result,
    })
}
