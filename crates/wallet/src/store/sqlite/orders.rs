//! Orders, the writing side: every verb is one transaction of load → `domain` decides → apply.

use std::time::Duration;

use async_trait::async_trait;
use contracts::operators::Instruction;
use contracts::time::later;
use contracts::{OrderId, UserId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use storage::StoreError;
use storage::sqlite::{AmountBlob, Tx, micros};

use super::rows::{self, event_columns, order_columns};
use super::{SqliteWallet, collect_readable, encoding, is_unreadable, limit_of};
use crate::domain::{Advance, Effect, Event, Fact, LogEntry, Order, OrderState, Saga, advance, command};
use crate::ports::{
    Advanced, Announce, DeadLetter, NewOrder, OrderStore, Placement, SagaFilter, SagaRecord, Undecided,
};

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
const INSERT_EVENT: &str = concat!(
    "INSERT INTO wallet_order_events (order_id, ",
    event_columns!(),
    ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
);
const LOAD: &str = concat!("SELECT ", order_columns!(), " FROM wallet_orders WHERE order_id = ?1");
/// Compare and set: by the state and the revision that the decision was made from.
const MOVE: &str = "UPDATE wallet_orders SET state = ?4, revision = revision + 1, held = ?5, filled = ?6, value = ?7,
    fee = ?8, returned = ?9, price = ?10, chain_transaction = ?11, refusals = ?12, failure_code = ?13, tries = ?14,
    next_attempt_at = ?15, updated_at = ?16, promised = ?17
    WHERE order_id = ?1 AND state = ?2 AND revision = ?3";
const DUE: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM wallet_orders INDEXED BY wallet_orders_due
    WHERE state NOT IN ('completed', 'failed') AND next_attempt_at <= ?1 ORDER BY next_attempt_at LIMIT ?2"
);
const POSTPONE: &str = "UPDATE wallet_orders SET tries = tries + 1, next_attempt_at = ?2 WHERE order_id = ?1";
const MAKE_DUE: &str =
    "UPDATE wallet_orders INDEXED BY wallet_orders_due SET next_attempt_at = min(next_attempt_at, ?1)
    WHERE state NOT IN ('completed', 'failed')";
const FORGET_KEYS: &str = "UPDATE wallet_orders SET idempotency_key = NULL, fingerprint = NULL WHERE order_id IN (
    SELECT order_id FROM wallet_orders INDEXED BY wallet_orders_key_age
    WHERE idempotency_key IS NOT NULL AND created_at < ?1 ORDER BY created_at LIMIT ?2)";

#[async_trait]
impl OrderStore for SqliteWallet {
    async fn create_orders(
        &self,
        now: Timestamp,
        due: Timestamp,
        orders: Vec<NewOrder>,
        mut announce: Announce<OrderId>,
    ) -> Result<Vec<Placement<Box<Order>, OrderId>>, StoreError> {
        let store = self.clone();
        let job = move |tx: &mut Tx<'_>| {
            let mut placements = Vec::with_capacity(orders.len());
            for (index, new) in orders.into_iter().enumerate() {
                let placement = store.create(tx, now, due, new)?;
                let undecided = match &placement {
                    Placement::Created(order) => Some((order.id, true)),
                    Placement::Replayed(order) if order.saga.state == OrderState::Created => Some((order.id, false)),
                    Placement::Replayed(_) | Placement::KeyReused | Placement::ReferenceTaken(_) => None,
                };
                if let Some((id, new)) = undecided {
                    announce(Undecided { index, id, new });
                }
                placements.push(placement);
            }
            Ok(placements)
        };
        self.database.writer().run(job).await
    }

    async fn advance(
        &self,
        now: Timestamp,
        due: Timestamp,
        events: Vec<(OrderId, Event)>,
    ) -> Result<Vec<Advanced>, StoreError> {
        let store = self.clone();
        let job = move |tx: &mut Tx<'_>| {
            let events = events.into_iter();
            events
                .map(|(id, event)| match store.advance_one(tx, now, due, id, &event) {
                    // Found before anything is written: the neighbours' events still count.
                    Err(error) if is_unreadable(&error) => {
                        tracing::error!(order_id = %id, %error, "an order cannot be read by this program");
                        Ok(Advanced::Unknown)
                    }
                    advanced => advanced,
                })
                .collect()
        };
        self.database.writer().run(job).await
    }

    async fn claim_due(&self, now: Timestamp, limit: usize, pauses: Vec<Duration>) -> Result<Vec<Order>, StoreError> {
        let job = move |tx: &mut Tx<'_>| {
            let orders = collect_readable(tx, DUE, (now, limit), POSTPONE, rows::order)?;
            for order in &orders {
                let again = again(now, order.tries, &pauses);
                tx.prepare_cached(POSTPONE)?
                    .execute(params![order.id.get(), micros(again)])?;
            }
            Ok(orders)
        };
        self.database.writer().run(job).await
    }

    async fn make_due(&self, now: Timestamp) -> Result<u64, StoreError> {
        let job = move |tx: &mut Tx<'_>| tx.execute(MAKE_DUE, [micros(now)]).map(to_u64);
        self.database.writer().run(job).await
    }

    async fn order(&self, user: UserId, id: OrderId) -> Result<Option<(Order, Vec<LogEntry>)>, StoreError> {
        self.read_order(user, id).await
    }

    async fn orders(&self, user: UserId, before: Option<i64>, limit: usize) -> Result<Vec<Order>, StoreError> {
        self.read_orders(user, before, limit).await
    }

    async fn order_named(&self, user: UserId, client_reference: String) -> Result<Option<Order>, StoreError> {
        self.read_order_named(user, client_reference).await
    }

    async fn log_after(&self, id: OrderId, after: i64, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        self.read_log_after(id, after, limit).await
    }

    async fn open_orders(
        &self,
        filter: SagaFilter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Vec<Order>, StoreError> {
        self.read_open_orders(filter, after, limit).await
    }

    async fn open_counts(&self) -> Result<Vec<(OrderState, u64)>, StoreError> {
        self.count_open_orders().await
    }

    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let job = move |tx: &mut Tx<'_>| {
            tx.prepare_cached(FORGET_KEYS)?
                .execute(params![micros(before), limit_of(limit)])
        };
        self.database.writer().run(job).await
    }

    async fn saga(&self, id: OrderId) -> Result<Option<SagaRecord>, StoreError> {
        self.read_saga(id).await
    }

    async fn hurry(&self, now: Timestamp, id: OrderId, instruction: Instruction) -> Result<Option<Order>, StoreError> {
        let store = self.clone();
        let job = move |tx: &mut Tx<'_>| store.hurry_in(tx, now, id, &instruction);
        self.database.writer().run(job).await
    }

    async fn bury(&self, now: Timestamp, letters: Vec<DeadLetter>) -> Result<(), StoreError> {
        let outbox = self.outbox.clone();
        let job = move |tx: &mut Tx<'_>| {
            letters
                .iter()
                .try_for_each(|letter| outbox.bury(tx, now, &letter.source, &letter.payload, &letter.error))
        };
        self.database.writer().run(job).await
    }
}

impl SqliteWallet {
    fn create(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        due: Timestamp,
        new: NewOrder,
    ) -> rusqlite::Result<Placement<Box<Order>, OrderId>> {
        let user = new.user_id.get();
        if let Some(known) = &new.idempotency {
            let found: Option<(Order, [u8; 32])> = tx
                .prepare_cached(BY_KEY)?
                .query_row(params![user, known.key], |row| {
                    Ok((rows::order(row)?, row.get("fingerprint")?))
                })
                .optional()?;
            if let Some((order, fingerprint)) = found {
                return Ok(if fingerprint == known.fingerprint {
                    Placement::Replayed(Box::new(order))
                } else {
                    Placement::KeyReused
                });
            }
        }
        if let Some(reference) = &new.client_reference {
            let taken = tx
                .prepare_cached(BY_REFERENCE)?
                .query_row(params![user, reference], |row| rows::order_id(row, 0))
                .optional()?;
            if let Some(id) = taken {
                return Ok(Placement::ReferenceTaken(id));
            }
        }
        let saga = Saga::new(new.terms);
        let key = new.idempotency.as_ref();
        tx.prepare_cached(INSERT)?.execute(params![
            user,
            new.client_reference,
            new.terms.side.as_str(),
            new.terms.asset.code(),
            new.terms.currency.code(),
            AmountBlob(new.terms.hold.units()),
            saga.definition,
            saga.state.as_str(),
            key.map(|known| &known.key),
            key.map(|known| known.fingerprint),
            micros(due),
            micros(now),
        ])?;
        let id = OrderId::try_new(tx.last_insert_rowid())
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let order = Order {
            id,
            user_id: new.user_id,
            client_reference: new.client_reference,
            saga,
            revision: 1,
            tries: 0,
            next_attempt_at: due,
            created_at: now,
            updated_at: now,
        };
        let placed = Event {
            fact: Fact::Placed {
                definition: order.saga.definition,
                terms: new.terms,
            },
            cause: "accepted".to_owned(),
            actor: format!("user:{}", new.user_id),
        };
        write_event(tx, now, id, 1, None, OrderState::Created, &placed)?;
        self.put_effects(tx, now, &order, &[Effect::Hold])?;
        Ok(Placement::Created(Box::new(order)))
    }

    fn advance_one(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        due: Timestamp,
        id: OrderId,
        event: &Event,
    ) -> rusqlite::Result<Advanced> {
        let Some(mut order) = load(tx, id)? else {
            return Ok(Advanced::Unknown);
        };
        let from = order.saga.state;
        let moved = match advance(&order.saga, event) {
            Advance::Moved(moved) => moved,
            Advance::Ignored { why } => return Ok(Advanced::Ignored { state: from, why }),
        };
        // A refused release stays where it is: its pause goes on growing, and the sweep tries again.
        let stays = moved.saga.state == from;
        if !stays {
            order.tries = 0;
            order.next_attempt_at = due;
        }
        let revision = order.revision;
        order.saga = moved.saga;
        order.revision += 1;
        order.updated_at = now;
        write_move(tx, &order, from, revision)?;
        write_event(tx, now, id, order.revision, Some(from), order.saga.state, event)?;
        self.put_effects(tx, now, &order, &moved.effects)?;
        Ok(Advanced::Moved {
            from,
            order: Box::new(order),
            alert: moved.effects.contains(&Effect::AlertOperator),
        })
    }

    fn put_effects(&self, tx: &mut Tx<'_>, now: Timestamp, order: &Order, effects: &[Effect]) -> rusqlite::Result<()> {
        for command in effects.iter().filter_map(|effect| command(order, *effect)) {
            let payload = command.to_json().map_err(encoding)?;
            self.outbox.put(tx, now, command.destination(), payload)?;
        }
        Ok(())
    }
}

pub(super) fn load(connection: &Connection, id: OrderId) -> rusqlite::Result<Option<Order>> {
    connection
        .prepare_cached(LOAD)?
        .query_row([id.get()], rows::order)
        .optional()
}

fn write_move(tx: &Tx<'_>, order: &Order, from: OrderState, revision: i64) -> rusqlite::Result<()> {
    let saga = &order.saga;
    let trade = saga.trade.as_ref();
    let written = tx.prepare_cached(MOVE)?.execute(params![
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

fn write_event(
    tx: &Tx<'_>,
    now: Timestamp,
    id: OrderId,
    seq: i64,
    from: Option<OrderState>,
    to: OrderState,
    event: &Event,
) -> rusqlite::Result<()> {
    let fact = serde_json::to_string(&event.fact).map_err(encoding)?;
    tx.prepare_cached(INSERT_EVENT)?.execute(params![
        id.get(),
        seq,
        micros(now),
        from.map(OrderState::as_str),
        to.as_str(),
        fact,
        event.cause,
        event.actor,
    ])?;
    Ok(())
}

/// When something that was tried `tries` times is due again.
pub(super) fn again(now: Timestamp, tries: u32, pauses: &[Duration]) -> Timestamp {
    let tries = usize::try_from(tries).unwrap_or(usize::MAX);
    let pause = pauses.get(tries).or(pauses.last()).copied().unwrap_or_default();
    later(now, pause)
}

pub(super) fn to_u64(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}
