//! Accepting orders. They come one by one, each with a request that waits, so all that wait are one batch: users are
//! locked, then everything about the batch is looked up, then it is written.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::{OrderId, UserId};
use jiff::Timestamp;
use storage::StoreError;
use storage::postgres::{Numeric, PostgresOutbox, Tx, TxError, Work, text};
use tokio_postgres::Row;

use super::LOCK_USERS;
use super::moves::{Log, put_commands};
use super::rows::{self, order_columns};
use crate::domain::{Effect, Order, command};
use crate::ports::{Announce, Idempotency, NewOrder, Placement, Undecided};
use crate::store::changes::{placed, undecided_order};

/// Of each order that is wanted: a number for it; whether its user is frozen; the order that has its reference, and the one
/// that has its key, with the fingerprint. A number may be drawn in vain.
const LOOK_UP: &str = concat!(
    "SELECT nextval('wallet.order_ids'), frozen.user_id IS NOT NULL, named.order_id, keyed.*
    FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY
        AS wanted (user_id, idempotency_key, client_reference, place)
    LEFT JOIN wallet.freezes AS frozen ON frozen.user_id = wanted.user_id
    LEFT JOIN LATERAL (SELECT order_id FROM wallet.orders AS other
        WHERE other.user_id = wanted.user_id AND other.client_reference = wanted.client_reference LIMIT 1) AS named ON true
    LEFT JOIN LATERAL (SELECT fingerprint, ",
    order_columns!(),
    " FROM wallet.orders AS other
        WHERE other.user_id = wanted.user_id AND other.idempotency_key = wanted.idempotency_key LIMIT 1) AS keyed ON true
    ORDER BY place"
);
const INSERT: &str = "INSERT INTO wallet.orders (order_id, user_id, client_reference, side, asset, currency, requested,
    definition, state, revision, idempotency_key, fingerprint, next_attempt_at, created_at, updated_at)
    SELECT order_id, user_id, client_reference, side, asset, currency, requested, definition, state, 1, idempotency_key,
        fingerprint, next_attempt_at, created_at, created_at
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::numeric[], $8::integer[],
        $9::text[], $10::text[], $11::bytea[], $12::bigint[], $13::bigint[])
    AS new (order_id, user_id, client_reference, side, asset, currency, requested, definition, state, idempotency_key,
        fingerprint, next_attempt_at, created_at)";

/// One call of [`create_orders`](crate::ports::OrderStore::create_orders).
pub(super) struct Call {
    now: Timestamp,
    due: Timestamp,
    orders: Vec<NewOrder>,
    announce: Ear<OrderId>,
}

/// Whoever takes what is said of undecided items, however often the transaction is tried.
pub(super) type Ear<Id> = Arc<Mutex<Announce<Id>>>;

type Placed = Placement<Box<Order>, OrderId>;

impl Call {
    pub(super) fn new(now: Timestamp, due: Timestamp, mut orders: Vec<NewOrder>, announce: Announce<OrderId>) -> Self {
        for order in &mut orders {
            order.client_reference = order.client_reference.take().map(text);
            order.idempotency = order.idempotency.take().map(storable);
        }
        Self {
            now,
            due,
            orders,
            announce: Arc::new(Mutex::new(announce)),
        }
    }
}

/// Brings a key to what is stored, so that it is found again.
pub(super) fn storable(known: Idempotency) -> Idempotency {
    Idempotency {
        key: text(known.key),
        ..known
    }
}

/// Accepts orders, for all who wait.
pub(super) struct Accepting {
    pub(super) outbox: PostgresOutbox,
}

impl Work for Accepting {
    type Call = Call;
    type Answer = Vec<Placed>;

    fn items(call: &Call) -> usize {
        call.orders.len()
    }

    async fn together(
        &self,
        tx: &mut Tx,
        calls: &[Arc<Call>],
    ) -> Result<Vec<Result<Vec<Placed>, StoreError>>, TxError> {
        let mut found = look_up(tx, calls).await?.into_iter();
        let (mut batch, mut answers) = (Batch::default(), Vec::with_capacity(calls.len()));
        for call in calls {
            let found: Vec<Row> = found.by_ref().take(call.orders.len()).collect();
            answers.push(match batch.place_all(call, &found)? {
                Ok(placements) => {
                    let undecided = placements.iter().enumerate();
                    let undecided = undecided.filter_map(|(index, placement)| undecided_order(placement, index));
                    announce_later(tx, &call.announce, undecided.collect());
                    Ok(placements)
                }
                Err(unreadable) => Err(unreadable),
            });
        }
        let holds = batch.orders.iter().filter_map(|new| {
            let hold = command(&new.order, Effect::Hold)?;
            Some((new.order.created_at, hold))
        });
        put_commands(&self.outbox, tx, holds.collect())?;
        batch.write(tx);
        Ok(answers)
    }
}

/// Locks the users, and looks up what is known about each order that is wanted.
async fn look_up(tx: &mut Tx, calls: &[Arc<Call>]) -> Result<Vec<Row>, TxError> {
    let wanted = || calls.iter().flat_map(|call| &call.orders);
    let users: Vec<i64> = wanted().map(|new| new.user_id.get()).collect();
    let keys = wanted().map(|new| new.idempotency.as_ref().map(|known| known.key.as_str()));
    let keys: Vec<Option<&str>> = keys.collect();
    let references: Vec<Option<&str>> = wanted().map(|new| new.client_reference.as_deref()).collect();
    tx.query(LOCK_USERS, &[&users]).await?;
    tx.query(LOOK_UP, &[&users, &keys, &references]).await
}

/// Whoever waits is registered after the commit, and before the commands are handed on: effects happen in the order in which
/// they are registered, and rows of the outbox come last.
pub(super) fn announce_later<Id: Send + 'static>(tx: &mut Tx, ear: &Ear<Id>, undecided: Vec<Undecided<Id>>) {
    let ear = Arc::clone(ear);
    tx.after_commit(move || {
        let mut announce = ear.lock().unwrap_or_else(PoisonError::into_inner);
        undecided.into_iter().for_each(&mut **announce);
    });
}

/// A new order, with its request's name.
struct New {
    order: Order,
    idempotency: Option<Idempotency>,
}

/// The orders that a batch has accepted so far, by what may not be there twice.
#[derive(Default)]
struct Batch {
    orders: Vec<New>,
    by_key: HashMap<(UserId, String), usize>,
    by_reference: HashMap<(UserId, String), OrderId>,
    log: Log,
}

impl Batch {
    /// Places the orders of a call. Where something that is known about one cannot be read, none is placed.
    fn place_all(&mut self, call: &Call, found: &[Row]) -> Result<Result<Vec<Placed>, StoreError>, TxError> {
        let known: Result<Vec<_>, TxError> = found.iter().map(Known::read).collect();
        let known = match known {
            Ok(known) => known,
            Err(error) => {
                tracing::error!(%error, "an order that a request asks for again cannot be read by this program");
                return Ok(Err(error.into()));
            }
        };
        let pairs = call.orders.iter().zip(known);
        Ok(Ok(pairs
            .map(|(new, known)| self.place(call, new, known))
            .collect::<Result<_, TxError>>()?))
    }

    fn place(&mut self, call: &Call, new: &NewOrder, known: Known) -> Result<Placed, TxError> {
        if known.frozen {
            return Ok(Placement::Frozen);
        }
        let of_user = |name: &String| (new.user_id, name.clone());
        if let Some(request) = &new.idempotency {
            let just_now = self
                .by_key
                .get(&of_user(&request.key))
                .map(|place| &self.orders[*place]);
            let just_now = just_now.and_then(|new| Some((new.idempotency.as_ref()?.fingerprint, new.order.clone())));
            if let Some((fingerprint, order)) = known.keyed.or(just_now) {
                return Ok(if fingerprint == request.fingerprint {
                    Placement::Replayed(Box::new(order))
                } else {
                    Placement::KeyReused
                });
            }
        }
        if let Some(reference) = &new.client_reference {
            let just_now = self.by_reference.get(&of_user(reference)).copied();
            if let Some(taken) = known.named.or(just_now) {
                return Ok(Placement::ReferenceTaken(taken));
            }
        }
        let (order, event) = placed(known.number, call.now, call.due, new);
        self.log
            .add(call.now, (order.id, 1), (None, order.saga.state), &event)?;
        if let Some(request) = &new.idempotency {
            self.by_key.insert(of_user(&request.key), self.orders.len());
        }
        if let Some(reference) = &new.client_reference {
            self.by_reference.insert(of_user(reference), order.id);
        }
        self.orders.push(New {
            order: order.clone(),
            idempotency: new.idempotency.clone(),
        });
        Ok(Placement::Created(Box::new(order)))
    }

    fn write(self, tx: &mut Tx) {
        let count = self.orders.len() as u64;
        if count == 0 {
            return;
        }
        let orders = || self.orders.iter().map(|new| &new.order);
        let numbers = |number: fn(&Order) -> i64| -> Vec<i64> { orders().map(number).collect() };
        let names = |name: fn(&Order) -> &'static str| -> Vec<&'static str> { orders().map(name).collect() };
        let requests = || self.orders.iter().map(|new| new.idempotency.as_ref());
        let units = |order: &Order| Numeric(order.saga.terms.hold.units());
        tx.write(
            INSERT,
            vec![
                Box::new(numbers(|order| order.id.get())),
                Box::new(numbers(|order| order.user_id.get())),
                Box::new(orders().map(|order| order.client_reference.clone()).collect::<Vec<_>>()),
                Box::new(names(|order| order.saga.terms.side.as_str())),
                Box::new(names(|order| order.saga.terms.asset.code())),
                Box::new(names(|order| order.saga.terms.currency.code())),
                Box::new(orders().map(units).collect::<Vec<_>>()),
                Box::new(
                    orders()
                        .map(|order| i32::from(order.saga.definition))
                        .collect::<Vec<_>>(),
                ),
                Box::new(names(|order| order.saga.state.as_str())),
                Box::new(
                    requests()
                        .map(|known| known.map(|known| known.key.clone()))
                        .collect::<Vec<_>>(),
                ),
                Box::new(
                    requests()
                        .map(|known| known.map(|known| known.fingerprint.to_vec()))
                        .collect::<Vec<_>>(),
                ),
                Box::new(numbers(|order| order.next_attempt_at.as_microsecond())),
                Box::new(numbers(|order| order.created_at.as_microsecond())),
            ],
            Some(count),
        );
        self.log.write(tx);
    }
}

/// What is known about an order that is wanted.
struct Known {
    number: OrderId,
    frozen: bool,
    named: Option<OrderId>,
    keyed: Option<([u8; 32], Order)>,
}

impl Known {
    fn read(row: &Row) -> Result<Self, TxError> {
        let named: Option<i64> = row.try_get(2)?;
        let fingerprint: Option<&[u8]> = row.try_get(3)?;
        let keyed = match fingerprint {
            None => None,
            Some(bytes) => Some((bytes.try_into().map_err(rows::bad)?, rows::order(row, 4)?)),
        };
        Ok(Self {
            number: rows::order_id(row, 0)?,
            frozen: row.try_get(1)?,
            named: named.map(OrderId::try_new).transpose().map_err(rows::bad)?,
            keyed,
        })
    }
}
