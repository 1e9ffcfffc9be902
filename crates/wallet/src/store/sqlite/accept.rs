//! Accepting orders. They come one by one, each with a request that waits, so all that wait by the time the writer takes
//! the job are one batch.

use std::sync::{Arc, Mutex, PoisonError};

use contracts::OrderId;
use jiff::Timestamp;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};
use storage::sqlite::{AmountBlob, SqliteOutbox, Tx, micros};

use super::freezes::IS_FROZEN;
use super::moves::{Log, put_commands};
use super::rows::{self, order_columns};
use crate::domain::{DEFINITION, Effect, Order, OrderState, command};
use crate::ports::{Announce, NewOrder, Placement};
use crate::store::changes::{placed, undecided_order};

const BY_KEY: &str = concat!(
    "SELECT ",
    order_columns!(),
    ", fingerprint FROM wallet_orders WHERE user_id = ?1 AND idempotency_key = ?2"
);
const BY_REFERENCE: &str = "SELECT order_id FROM wallet_orders WHERE user_id = ?1 AND client_reference = ?2";
const INSERT: &str =
    "INSERT INTO wallet_orders (user_id, client_reference, side, asset, currency, requested, definition,
    state, revision, idempotency_key, fingerprint, next_attempt_at, created_at, updated_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, ?9, ?10, ?11, ?12, ?12)";

/// One call of [`create_orders`](crate::ports::OrderStore::create_orders).
pub(super) struct Call {
    pub(super) now: Timestamp,
    pub(super) due: Timestamp,
    pub(super) orders: Vec<NewOrder>,
    pub(super) announce: Mutex<Announce<OrderId>>,
}

type Placed = Placement<Box<Order>, OrderId>;

/// Stores the orders of all `calls`: an answer for each.
pub(super) fn accept(
    outbox: &SqliteOutbox,
    tx: &mut Tx<'_>,
    calls: &[Arc<Call>],
) -> rusqlite::Result<Vec<Vec<Placed>>> {
    let (mut answers, mut undecided, mut holds) = (Vec::with_capacity(calls.len()), Vec::new(), Vec::new());
    let mut table = Table::prepare(tx)?;
    for call in calls {
        let mut placements = Vec::with_capacity(call.orders.len());
        for (index, new) in call.orders.iter().enumerate() {
            let placement = table.place(call, new)?;
            if let Placement::Created(order) = &placement {
                holds.extend(command(order, Effect::Hold).map(|hold| (call.now, hold)));
            }
            undecided.extend(undecided_order(&placement, index).map(|undecided| (Arc::clone(call), undecided)));
            placements.push(placement);
        }
        answers.push(placements);
    }
    drop(table);
    // Ahead of the commands of the holds, which are handed on as soon as they are written (ADR 011): who waits is registered
    // before anybody can decide.
    tx.once_written(move || {
        for (call, undecided) in undecided {
            let mut announce = call.announce.lock().unwrap_or_else(PoisonError::into_inner);
            announce(undecided);
        }
    });
    put_commands(outbox, tx, holds)?;
    Ok(answers)
}

/// The orders as rows, with their logs. Its statements are looked up once for a batch.
struct Table<'a> {
    connection: &'a Connection,
    is_frozen: CachedStatement<'a>,
    insert: CachedStatement<'a>,
    log: Log<'a>,
}

impl<'a> Table<'a> {
    fn prepare(connection: &'a Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            is_frozen: connection.prepare_cached(IS_FROZEN)?,
            insert: connection.prepare_cached(INSERT)?,
            log: Log::prepare(connection)?,
        })
    }

    fn place(&mut self, call: &Call, new: &NewOrder) -> rusqlite::Result<Placed> {
        if self.is_frozen.exists([new.user_id.get()])? {
            return Ok(Placement::Frozen);
        }
        match self.known(new)? {
            Some(known) => Ok(known),
            None => self.insert(call, new),
        }
    }

    /// What an earlier request makes of this one.
    fn known(&self, new: &NewOrder) -> rusqlite::Result<Option<Placed>> {
        let user = new.user_id.get();
        if let Some(known) = &new.idempotency {
            let found: Option<(Order, [u8; 32])> = self
                .connection
                .prepare_cached(BY_KEY)?
                .query_row(params![user, known.key], |row| {
                    Ok((rows::order(row)?, row.get("fingerprint")?))
                })
                .optional()?;
            if let Some((order, fingerprint)) = found {
                return Ok(Some(if fingerprint == known.fingerprint {
                    Placement::Replayed(Box::new(order))
                } else {
                    Placement::KeyReused
                }));
            }
        }
        let Some(reference) = &new.client_reference else {
            return Ok(None);
        };
        let taken = self
            .connection
            .prepare_cached(BY_REFERENCE)?
            .query_row(params![user, reference], |row| rows::order_id(row, 0))
            .optional()?;
        Ok(taken.map(Placement::ReferenceTaken))
    }

    fn insert(&mut self, call: &Call, new: &NewOrder) -> rusqlite::Result<Placed> {
        let key = new.idempotency.as_ref();
        self.insert.execute(params![
            new.user_id.get(),
            new.client_reference,
            new.terms.side.as_str(),
            new.terms.asset.code(),
            new.terms.currency.code(),
            AmountBlob(new.terms.hold.units()),
            DEFINITION,
            OrderState::Created.as_str(),
            key.map(|known| &known.key),
            key.map(|known| known.fingerprint),
            micros(call.due),
            micros(call.now),
        ])?;
        let id = OrderId::try_new(self.connection.last_insert_rowid())
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let (order, event) = placed(id, call.now, call.due, new);
        self.log.write(call.now, (id, 1), (None, order.saga.state), &event)?;
        Ok(Placement::Created(Box::new(order)))
    }
}
