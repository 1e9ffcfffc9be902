//! Moving orders: lock and load, `domain` decides event by event, store once. Whatever the batch, one statement loads and
//! two write, beside the outbox.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contracts::OrderId;
use jiff::Timestamp;
use storage::StoreError;
use storage::postgres::{Numeric, PostgresOutbox, Tx, TxError, Work, text};

use super::rows::{self, order_columns};
use crate::domain::{Command, Event, Fact, Order, OrderState};
use crate::ports::Advanced;
use crate::store::changes::{Move, take};

/// Whoever locks several orders does it in the order of their numbers.
const LOCK: &str = concat!(
    "SELECT ",
    order_columns!(),
    " FROM wallet.orders WHERE order_id = ANY ($1) ORDER BY order_id FOR UPDATE"
);
/// Compare and set: by the state and the revision that the decision was made from.
const MOVE: &str = "UPDATE wallet.orders AS moved SET state = new.state, revision = new.revision, held = new.held,
    promised = new.promised, filled = new.filled, value = new.value, fee = new.fee, returned = new.returned,
    price = new.price, chain_transaction = new.chain_transaction, refusals = new.refusals,
    failure_code = new.failure_code, tries = new.tries, next_attempt_at = new.next_attempt_at, updated_at = new.updated_at
    FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::boolean[], $7::boolean[],
        $8::numeric[], $9::numeric[], $10::numeric[], $11::numeric[], $12::text[], $13::text[], $14::bigint[],
        $15::text[], $16::bigint[], $17::bigint[], $18::bigint[])
    AS new (order_id, was, seen, state, revision, held, promised, filled, value, fee, returned, price, chain_transaction,
        refusals, failure_code, tries, next_attempt_at, updated_at)
    WHERE moved.order_id = new.order_id AND moved.state = new.was AND moved.revision = new.seen";
const INSERT_EVENTS: &str = "INSERT INTO wallet.order_events
    (order_id, seq, time, from_state, to_state, event, cause, actor)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[])";

/// One call of [`advance`](crate::ports::OrderStore::advance).
pub(super) struct Call {
    now: Timestamp,
    due: Timestamp,
    events: Vec<(OrderId, Event)>,
}

impl Call {
    pub(super) fn new(now: Timestamp, due: Timestamp, mut events: Vec<(OrderId, Event)>) -> Self {
        events.iter_mut().for_each(|(_, event)| storable(event));
        Self { now, due, events }
    }
}

/// Brings texts from outside to what is stored, so that an order's log and its row say the same.
fn storable(event: &mut Event) {
    for from_outside in [&mut event.cause, &mut event.actor] {
        *from_outside = text(std::mem::take(from_outside));
    }
    if let Fact::Withdrawn { transaction } = &mut event.fact {
        *transaction = text(std::mem::take(transaction));
    }
}

/// Applies events, for all who wait.
pub(super) struct Moving {
    pub(super) outbox: PostgresOutbox,
}

impl Work for Moving {
    type Call = Call;
    type Answer = Vec<Advanced>;

    fn items(call: &Call) -> usize {
        call.events.len()
    }

    async fn together(
        &self,
        tx: &mut Tx,
        calls: &[Arc<Call>],
    ) -> Result<Vec<Result<Vec<Advanced>, StoreError>>, TxError> {
        let mut table = Table::load(tx, calls.iter().flat_map(|call| &call.events)).await?;
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            let events = call.events.iter();
            let advanced = events.map(|(id, event)| table.advance(call, *id, event));
            answers.push(Ok(advanced.collect::<Result<_, TxError>>()?));
        }
        let Table {
            orders, log, commands, ..
        } = table;
        store(tx, orders.into_values());
        log.write(tx);
        put_commands(&self.outbox, tx, commands)?;
        Ok(answers)
    }
}

/// An order as it was loaded, with what has become of it since.
struct Loaded {
    order: Order,
    was: OrderState,
    seen: i64,
}

/// The orders of a batch, locked; what is to be written of them comes together here.
struct Table {
    orders: BTreeMap<OrderId, Loaded>,
    unreadable: BTreeSet<i64>,
    log: Log,
    commands: Vec<(Timestamp, Command)>,
}

impl Table {
    async fn load(tx: &mut Tx, events: impl Iterator<Item = &(OrderId, Event)>) -> Result<Self, TxError> {
        let ids: Vec<i64> = events.map(|(id, _)| id.get()).collect();
        let (mut orders, mut unreadable) = (BTreeMap::new(), BTreeSet::new());
        for row in tx.query(LOCK, &[&ids]).await? {
            match rows::order(&row, 0) {
                Ok(order) => {
                    let (was, seen) = (order.saga.state, order.revision);
                    orders.insert(order.id, Loaded { order, was, seen });
                }
                // The neighbours' events still count.
                Err(error) => {
                    let order_id: i64 = row.try_get(0)?;
                    tracing::error!(order_id, %error, "an order cannot be read by this program");
                    unreadable.insert(order_id);
                }
            }
        }
        Ok(Self {
            orders,
            unreadable,
            log: Log::default(),
            commands: Vec::new(),
        })
    }

    fn advance(&mut self, call: &Call, id: OrderId, event: &Event) -> Result<Advanced, TxError> {
        let Some(Loaded { order, .. }) = self.orders.get_mut(&id) else {
            return Ok(if self.unreadable.contains(&id.get()) {
                Advanced::Unreadable
            } else {
                Advanced::Unknown
            });
        };
        let state = order.saga.state;
        let Move { from, commands, alert } = match take(order, call.now, call.due, event) {
            Ok(made) => made,
            Err(why) => return Ok(Advanced::Ignored { state, why }),
        };
        self.log
            .add(call.now, (id, order.revision), (Some(from), order.saga.state), event)?;
        let commands = commands.into_iter().map(|command| (call.now, command));
        self.commands.extend(commands);
        Ok(Advanced::Moved {
            from,
            order: Box::new(order.clone()),
            alert,
        })
    }
}

/// Stores those that have moved.
fn store(tx: &mut Tx, loaded: impl Iterator<Item = Loaded>) {
    let moved: Vec<Loaded> = loaded.filter(|loaded| loaded.order.revision != loaded.seen).collect();
    if moved.is_empty() {
        return;
    }
    let orders = || moved.iter().map(|loaded| &loaded.order);
    let sagas = || orders().map(|order| &order.saga);
    let traded = |units: fn(&contracts::messages::Trade) -> i128| -> Vec<Option<Numeric>> {
        let trades = sagas().map(|saga| saga.trade.as_ref());
        trades.map(|trade| trade.map(|trade| Numeric(units(trade)))).collect()
    };
    let numbers = |number: fn(&Order) -> i64| -> Vec<i64> { orders().map(number).collect() };
    let count = moved.len() as u64;
    tx.write(
        MOVE,
        vec![
            Box::new(numbers(|order| order.id.get())),
            Box::new(moved.iter().map(|loaded| loaded.was.as_str()).collect::<Vec<_>>()),
            Box::new(moved.iter().map(|loaded| loaded.seen).collect::<Vec<_>>()),
            Box::new(sagas().map(|saga| saga.state.as_str()).collect::<Vec<_>>()),
            Box::new(numbers(|order| order.revision)),
            Box::new(sagas().map(|saga| saga.held).collect::<Vec<_>>()),
            Box::new(sagas().map(|saga| saga.promised).collect::<Vec<_>>()),
            Box::new(traded(|trade| trade.filled.units())),
            Box::new(traded(|trade| trade.value.units())),
            Box::new(traded(|trade| trade.fee.units())),
            Box::new(traded(|trade| trade.returned.units())),
            Box::new(
                sagas()
                    .map(|saga| saga.trade.as_ref().map(|trade| trade.price.to_string()))
                    .collect::<Vec<_>>(),
            ),
            Box::new(sagas().map(|saga| saga.transaction.clone()).collect::<Vec<_>>()),
            Box::new(numbers(|order| i64::from(order.saga.refusals))),
            Box::new(
                sagas()
                    .map(|saga| saga.failure.map(|code| code.as_str()))
                    .collect::<Vec<_>>(),
            ),
            Box::new(numbers(|order| i64::from(order.tries))),
            Box::new(numbers(|order| order.next_attempt_at.as_microsecond())),
            Box::new(numbers(|order| order.updated_at.as_microsecond())),
        ],
        Some(count),
    );
}

/// Stores commands on their way out, each with the time of the move that causes it.
pub(super) fn put_commands(
    outbox: &PostgresOutbox,
    tx: &mut Tx,
    commands: Vec<(Timestamp, Command)>,
) -> Result<(), TxError> {
    for (now, command) in commands {
        outbox.put(tx, now, command.destination(), command.to_json()?);
    }
    Ok(())
}

/// Entries of orders' logs that are to be written, column by column.
#[derive(Default)]
pub(super) struct Log {
    orders: Vec<i64>,
    seqs: Vec<i64>,
    times: Vec<i64>,
    from: Vec<Option<&'static str>>,
    to: Vec<&'static str>,
    facts: Vec<String>,
    causes: Vec<String>,
    actors: Vec<String>,
}

impl Log {
    /// Adds the entry of an order's move to this revision.
    pub(super) fn add(
        &mut self,
        now: Timestamp,
        (id, revision): (OrderId, i64),
        (from, to): (Option<OrderState>, OrderState),
        event: &Event,
    ) -> Result<(), TxError> {
        self.facts.push(serde_json::to_string(&event.fact)?);
        self.orders.push(id.get());
        self.seqs.push(revision);
        self.times.push(now.as_microsecond());
        self.from.push(from.map(OrderState::as_str));
        self.to.push(to.as_str());
        self.causes.push(event.cause.clone());
        self.actors.push(event.actor.clone());
        Ok(())
    }

    /// Writes all that was added.
    pub(super) fn write(self, tx: &mut Tx) {
        let count = self.orders.len() as u64;
        if count == 0 {
            return;
        }
        tx.write(
            INSERT_EVENTS,
            vec![
                Box::new(self.orders),
                Box::new(self.seqs),
                Box::new(self.times),
                Box::new(self.from),
                Box::new(self.to),
                Box::new(self.facts),
                Box::new(self.causes),
                Box::new(self.actors),
            ],
            Some(count),
        );
    }
}
