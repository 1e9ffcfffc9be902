//! Signed transfers, nonces, coins and sweeps on PostgreSQL, for several processes. [`signing`] has the commit of signed
//! bytes and reservations, [`coins`] the count and the sweeps, [`audit`] what an auditor reads.
//!
//! Whatever belongs to a user's address (its next nonce, its coins, what has a claim on them) changes only under the lock of
//! that user, and is looked at for a decision only under it. So the nonces of one address are used in the order in which
//! the lock is had, without gaps, whoever signs; and coins are promised once. Everybody locks users first, all that are
//! needed, ascending, then commands in the order of their keys, then the rest: no two wait for each other. A lock is no row,
//! because what it is about may not be there yet.

pub mod audit;
mod coins;
mod rows;
mod signing;
mod statements;

use async_trait::async_trait;
use contracts::messages::Queue;
use contracts::{ServiceName, UserId};
use jiff::Timestamp;
use storage::commands::{CommandKey, CommandTimes};
use storage::migrations::Migrations;
use storage::outbox::OutboxRows;
use storage::postgres::{
    COMMANDS_SCHEMA, Database, OPERATORS_SCHEMA, OUTBOX_SCHEMA, PostgresCommands, PostgresOutbox, Tx, TxError, in_turns,
};
use storage::{StoreError, in_transaction};

use self::rows::{bad, to_address, to_number, to_open_sweep, to_transfer, to_unfinished};
use self::statements::{
    ADDRESS, BRING_SWEEPS_FORWARD, CONFIRMED_NONCE, LOCK_USERS, NEXT_NONCE, OPEN_SWEEPS, POSTPONE_SWEEP, TRANSFER,
    UNFINISHED, WAS_RESERVED,
};
use crate::ports::{
    Address, CoinReservation, Commitment, CountedCoins, NewSweep, OpenSweep, Reservation, SignedBatch, StoredTransfer,
    TransferStore, Unfinished,
};

/// The first part of the locks on users: any number that no other lock in the database has.
const USERS: i32 = 0x6263_6701;

/// The schema on PostgreSQL, in order.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::BcGateway)
        .then("outbox", OUTBOX_SCHEMA)
        .then("commands", COMMANDS_SCHEMA)
        .then(
            "transfers",
            include_str!("../../migrations/postgres/0003_transfers.sql"),
        )
        .then("operators", OPERATORS_SCHEMA)
}

/// The stores of `bc_gateway` on PostgreSQL.
#[derive(Clone)]
pub struct PostgresBcGateway {
    /// The commands.
    pub commands: PostgresCommands,
    /// What is signed for them.
    pub transfers: PostgresTransfers,
    /// The outbox they publish through: wake-ups for the worker, results for the sagas.
    pub outbox: PostgresOutbox,
}

impl PostgresBcGateway {
    /// The stores in `database`, which has [`migrations`] applied and is `bc_gateway`'s, and the outbox rows that leave this
    /// process after each commit, for [`crate::Service::start_dispatcher`]; at most `capacity` of those wait, the others are
    /// found in the table.
    #[must_use]
    pub fn new(database: Database, times: CommandTimes, capacity: usize) -> (Self, OutboxRows) {
        let (outbox, committed) = PostgresOutbox::new(database.clone(), capacity.max(1));
        let commands = PostgresCommands::new(
            database.clone(),
            outbox.clone(),
            Queue::BcgatewayOrders,
            Some(Queue::SagaSteps),
            times,
        );
        let transfers = PostgresTransfers {
            database,
            commands: commands.clone(),
        };
        let stores = Self {
            commands,
            transfers,
            outbox,
        };
        (stores, committed)
    }
}

/// The transfers of this service on PostgreSQL. Clones share the database.
#[derive(Clone)]
pub struct PostgresTransfers {
    database: Database,
    /// In the same database: both are written in one transaction.
    commands: PostgresCommands,
}

/// Locks users until the transaction ends.
async fn lock(tx: &mut Tx, users: impl IntoIterator<Item = UserId>) -> Result<(), TxError> {
    let mut places = users.into_iter().map(place_of).collect::<Result<Vec<_>, _>>()?;
    places.sort_unstable();
    places.dedup();
    tx.query(LOCK_USERS, &[&USERS, &places]).await.map(drop)
}

/// The second part of the lock on a user, which `LINE` computes as well. Two users who share one wait for each other; nothing
/// else comes of it.
fn place_of(user: UserId) -> Result<i32, TxError> {
    i32::try_from(user.get() % i64::from(i32::MAX)).map_err(bad)
}

fn to_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[async_trait]
impl TransferStore for PostgresTransfers {
    async fn address(&self, chain: &'static str, user: UserId) -> Result<Option<Address>, StoreError> {
        let rows = self.database.query(ADDRESS, &[&chain, &user.get()]).await?;
        let address = |row: &tokio_postgres::Row| to_address(row.try_get(0)?);
        Ok(rows.first().map(address).transpose()?)
    }

    async fn next_nonce(&self, address: &Address) -> Result<Option<u64>, StoreError> {
        let rows = self.database.query(NEXT_NONCE, &[&address.as_str()]).await?;
        Ok(first_number(&rows)?)
    }

    async fn confirmed_nonce(&self, user: UserId) -> Result<Option<u64>, StoreError> {
        let rows = self.database.query(CONFIRMED_NONCE, &[&user.get()]).await?;
        Ok(first_number(&rows)?)
    }

    async fn reserve(&self, now: Timestamp, reservation: CoinReservation) -> Result<Reservation, StoreError> {
        in_transaction!(self.database, tx => signing::reserve(&self.commands, &mut tx, now, &reservation))
    }

    async fn was_reserved(&self, key: CommandKey) -> Result<bool, StoreError> {
        let (order, step) = (key.order_id.get(), key.step.as_str());
        let rows = self.database.query(WAS_RESERVED, &[&order, &step]).await?;
        let row = rows.first().ok_or_else(|| bad("no answer to whether there is a row"))?;
        Ok(row.try_get(0).map_err(TxError::from)?)
    }

    async fn commit(&self, now: Timestamp, batch: SignedBatch) -> Result<Vec<Commitment>, StoreError> {
        if batch.commands.is_empty() {
            return Ok(Vec::new());
        }
        in_transaction!(self.database, tx => signing::commit(&self.commands, &mut tx, now, &batch))
    }

    async fn transfer(&self, key: CommandKey) -> Result<Option<StoredTransfer>, StoreError> {
        let (order, step) = (key.order_id.get(), key.step.as_str());
        let rows = self.database.query(TRANSFER, &[&order, &step]).await?;
        Ok(rows.first().map(to_transfer).transpose()?)
    }

    async fn unfinished(&self, after: Option<i64>, limit: usize) -> Result<Vec<Unfinished>, StoreError> {
        let (after, limit) = (after.unwrap_or(0), to_limit(limit));
        let rows = self.database.query(UNFINISHED, &[&after, &limit]).await?;
        Ok(rows.iter().map(to_unfinished).collect::<Result<_, _>>()?)
    }

    /// Addresses that somebody is at just now are passed over: they stay at the head of the line.
    async fn count_coins(&self, now: Timestamp, limit: usize) -> Result<Vec<CountedCoins>, StoreError> {
        in_transaction!(self.database, tx => coins::count(&mut tx, now, to_limit(limit)))
    }

    async fn begin_sweep(&self, now: Timestamp, sweep: NewSweep) -> Result<Option<i64>, StoreError> {
        in_transaction!(self.database, tx => coins::begin_sweep(&mut tx, now, &sweep))
    }

    async fn open_sweeps(&self, now: Timestamp, limit: usize) -> Result<Vec<OpenSweep>, StoreError> {
        let (now, limit) = (now.as_microsecond(), to_limit(limit));
        let rows = self.database.query(OPEN_SWEEPS, &[&now, &limit]).await?;
        Ok(rows.iter().map(to_open_sweep).collect::<Result<_, _>>()?)
    }

    async fn postpone_sweep(&self, id: i64, until: Timestamp) -> Result<(), StoreError> {
        let until = until.as_microsecond();
        self.database.query(POSTPONE_SWEEP, &[&id, &until]).await.map(drop)
    }

    async fn finish_sweep(&self, now: Timestamp, id: i64) -> Result<(), StoreError> {
        in_transaction!(self.database, tx => coins::finish_sweep(&mut tx, now, id))
    }

    async fn bring_forward(&self, now: Timestamp) -> Result<u64, StoreError> {
        let due = now.as_microsecond();
        let mut all = in_turns(&self.database, BRING_SWEEPS_FORWARD, &[&due]).await?;
        loop {
            let brought = in_transaction!(self.database, tx => coins::bring_forward(&mut tx, due))?;
            let Some(rows) = brought else { return Ok(all) };
            all += rows;
        }
    }
}

fn first_number(rows: &[tokio_postgres::Row]) -> Result<Option<u64>, TxError> {
    rows.first().map(|row| to_number(row.try_get(0)?)).transpose()
}
