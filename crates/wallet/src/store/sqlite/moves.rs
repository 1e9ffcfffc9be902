//! Moving orders: load → `domain` decides → apply, one event after the other, for all who wait at once.

use std::sync::Arc;

use contracts::OrderId;
use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use storage::sqlite::{AmountBlob, SqliteOutbox, Tx, micros};

use super::rows::{self, event_columns, order_columns};
use super::{encoding, is_unreadable};
use crate::domain::{Command, Event, Order, OrderState};
use crate::ports::Advanced;
use crate::store::changes::{Move, take};

const LOAD: &str = concat!("SELECT ", order_columns!(), " FROM wallet_orders WHERE order_id = ?1");
/// Compare and set: by the state and the revision that the decision was made from.
const MOVE: &str = "UPDATE wallet_orders SET state = ?4, revision = revision + 1, held = ?5, filled = ?6, value = ?7,
    fee = ?8, returned = ?9, price = ?10, chain_transaction = ?11, refusals = ?12, failure_code = ?13, tries = ?14,
    next_attempt_at = ?15, updated_at = ?16, promised = ?17
    WHERE order_id = ?1 AND state = ?2 AND revision = ?3";
const INSERT_EVENT: &str = concat!(
    "INSERT INTO wallet_order_events (order_id, ",
    event_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
);

/// One call of [`advance`](crate::ports::OrderStore::advance).
pub(super) struct Call {
    pub(super) now: Timestamp,
    pub(super) due: Timestamp,
    pub(super) events: Vec<(OrderId, Event)>,
}

/// Applies the events of all `calls` in order: an answer for each call.
pub(super) fn move_all(
    outbox: &SqliteOutbox,
    tx: &mut Tx<'_>,
    calls: &[Arc<Call>],
) -> rusqlite::Result<Vec<Vec<Advanced>>> {
    let mut commands = Vec::new();
    let mut table = Table::prepare(tx)?;
    let mut answer = |call: &Arc<Call>| {
        let events = call.events.iter();
        events
            .map(|(id, event)| match table.advance(call, *id, event, &mut commands) {
                // Found before anything is written: the neighbours' events still count.
                Err(error) if is_unreadable(&error) => {
                    tracing::error!(order_id = %id, %error, "an order cannot be read by this program");
                    Ok(Advanced::Unreadable)
                }
                advanced => advanced,
            })
            .collect()
    };
    let advanced = calls.iter().map(&mut answer).collect::<rusqlite::Result<_>>()?;
    drop(table);
    put_commands(outbox, tx, commands)?;
    Ok(advanced)
}

/// Stores commands on their way out, each with the time of the move that causes it.
pub(super) fn put_commands(
    outbox: &SqliteOutbox,
    tx: &mut Tx<'_>,
    commands: Vec<(Timestamp, Command)>,
) -> rusqlite::Result<()> {
    for (now, command) in commands {
        let payload = command.to_json().map_err(encoding)?;
        outbox.put(tx, now, command.destination(), payload);
    }
    Ok(())
}

pub(super) fn load(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<Order>> {
    read(&mut connection.prepare_cached(LOAD)?, id)
}

fn read(load: &mut CachedStatement<'_>, id: OrderId) -> rusqlite::Result<Option<Order>> {
    load.query_row([id.get()], rows::order).optional()
}

/// The orders as rows, with their logs. Its statements are looked up once for a batch.
struct Table<'a> {
    load: CachedStatement<'a>,
    store: CachedStatement<'a>,
    log: Log<'a>,
}

impl<'a> Table<'a> {
    fn prepare(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            load: connection.prepare_cached(LOAD)?,
            store: connection.prepare_cached(MOVE)?,
            log: Log::prepare(connection)?,
        })
    }

    fn advance(
        &mut self,
        call: &Call,
        id: OrderId,
        event: &Event,
        commands: &mut Vec<(Timestamp, Command)>,
    ) -> rusqlite::Result<Advanced> {
        let Some(mut order) = read(&mut self.load, id)? else {
            return Ok(Advanced::Unknown);
        };
        let (state, revision) = (order.saga.state, order.revision);
        let Move {
            from,
            commands: more,
            alert,
        } = match take(&mut order, call.now, call.due, event) {
            Ok(made) => made,
            Err(why) => return Ok(Advanced::Ignored { state, why }),
        };
        self.store(&order, from, revision)?;
        self.log
            .write(call.now, (id, order.revision), (Some(from), order.saga.state), event)?;
        commands.extend(more.into_iter().map(|command| (call.now, command)));
        Ok(Advanced::Moved {
            from,
            order: Box::new(order),
            alert,
        })
    }

    fn store(&mut self, order: &Order, from: OrderState, revision: i64) -> rusqlite::Result<()> {
        let saga = &order.saga;
        let trade = saga.trade.as_ref();
        let written = self.store.execute(params![
            order.id.get(),
            from.as_str(),
            revision,
            saga.state.as_str(),
            saga.held,
            trade.map(|trade| AmountBlob(trade.filled.units())),
            trade.map(|trade| AmountBlob(trade.value.units())),
            trade.map(|trade| AmountBlob(trade.fee.units())),
            trade.map(|trade| AmountBlob(trade.returned.units())),
            trade.map(|trade| trade.price.to_string()),
            saga.transaction,
            saga.refusals,
            saga.failure.map(|code| code.as_str()),
            order.tries,
            micros(order.next_attempt_at),
            micros(order.updated_at),
            saga.promised,
        ])?;
        // One writer: between load and here nobody else can have moved it. If that is ever not so, nothing is stored.
        if written == 1 {
            Ok(())
        } else {
            Err(rusqlite::Error::StatementChangedRows(written))
        }
    }
}

/// The logs of orders.
pub(super) struct Log<'a>(CachedStatement<'a>);

impl<'a> Log<'a> {
    pub(super) fn prepare(connection: &'a Connection) -> rusqlite::Result<Self> {
        connection.prepare_cached(INSERT_EVENT).map(Self)
    }

    /// Writes the entry of an order's move to this revision.
    pub(super) fn write(
        &mut self,
        now: Timestamp,
        (id, revision): (OrderId, i64),
        (from, to): (Option<OrderState>, OrderState),
        event: &Event,
    ) -> rusqlite::Result<()> {
        let fact = serde_json::to_string(&event.fact).map_err(encoding)?;
        self.0.execute(params![
            id.get(),
            revision,
            micros(now),
            from.map(OrderState::as_str),
            to.as_str(),
            fact,
            event.cause,
            event.actor,
        ])?;
        Ok(())
    }
}
