//! What an auditor reads: which orders have a notification, and where it stands. Reads only, on a connection of the
//! auditor's own, beside a running process.

use contracts::OrderId;
use contracts::messages::Step;
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use storage::commands::State;
use storage::sqlite::bad_column;

pub use crate::store::audit::NotificationFact;

/// The notifications of the orders `from` to `to`, both included, in the order of their numbers; orders without one are
/// left out. The caller bounds the range, and with it the answer: an order has at most one.
///
/// # Errors
/// What SQLite says, and a row that this program cannot have written.
pub fn notifications_of_orders(
    connection: &Connection,
    from: OrderId,
    to: OrderId,
) -> rusqlite::Result<Vec<NotificationFact>> {
    connection
        .prepare_cached(
            "SELECT order_id, state FROM notification_commands
             WHERE order_id BETWEEN ?1 AND ?2 AND step = ?3 ORDER BY order_id",
        )?
        .query_map(params![from.get(), to.get(), Step::Notify.as_str()], to_fact)?
        .collect()
}

fn to_fact(row: &Row<'_>) -> rusqlite::Result<NotificationFact> {
    let order_id = OrderId::try_new(row.get(0)?).map_err(|error| bad_column(0, Type::Integer, error))?;
    let state = State::from_name(&row.get::<_, String>(1)?)
        .ok_or_else(|| bad_column(1, Type::Text, "not the state of a command"))?;
    Ok(NotificationFact { order_id, state })
}
