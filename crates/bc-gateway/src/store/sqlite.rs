//! Signed transfers, nonces, coins and sweeps on SQLite. [`statements`] has what happens inside a transaction,
//! [`audit`] what an auditor reads.

pub mod audit;
mod coins;
mod statements;

use async_trait::async_trait;
use contracts::messages::Queue;
use contracts::{OrderId, ServiceName, UserId};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use storage::StoreError;
use storage::commands::{CommandKey, CommandTimes, Fencing};
use storage::sqlite::{AmountBlob, Database, OutboxRows, SqliteCommands, SqliteOutbox, Tx, micros};

use self::statements::{amount, bad, number_from, user_from};
use crate::domain::progress::Progress;
use crate::domain::purse::Purse;
use crate::ports::{
    Address, CoinReservation, Commitment, CountedCoins, NewSweep, OpenSweep, Party, Reservation, SignedBatch,
    SignedCommand, SignedTransfer, StoredTransfer, TransferStore, Unfinished,
};

/// The stores of `bc_gateway` on SQLite.
#[derive(Clone)]
pub struct SqliteBcGateway {
    /// The commands.
    pub commands: SqliteCommands,
    /// What is signed for them.
    pub transfers: SqliteTransfers,
    /// The outbox they publish through: wake-ups for the worker, results for the sagas.
    pub outbox: SqliteOutbox,
}

impl SqliteBcGateway {
    /// The stores in `database`, which has [`crate::migrations`] applied, and the outbox rows that leave it after each
    /// commit, for [`crate::Service::start_dispatcher`]; at most `capacity` of those wait, the others are found in the
    /// table.
    #[must_use]
    pub fn new(database: Database, times: CommandTimes, capacity: usize) -> (Self, OutboxRows) {
        let (outbox, committed) = SqliteOutbox::new(ServiceName::BcGateway, database.clone(), capacity);
        let commands = SqliteCommands::new(
            ServiceName::BcGateway,
            database.clone(),
            outbox.clone(),
            Queue::BcgatewayOrders,
            Some(Queue::SagaSteps),
            times,
        );
        let transfers = SqliteTransfers::new(database, commands.clone());
        let stores = Self {
            commands,
            transfers,
            outbox,
        };
        (stores, committed)
    }
}

/// The transfers of this service on SQLite.
#[derive(Clone)]
pub struct SqliteTransfers {
    database: Database,
    commands: SqliteCommands,
}

impl SqliteTransfers {
    /// On the database in which `commands` (this service's) are kept: both are written in one transaction.
    #[must_use]
    pub const fn new(database: Database, commands: SqliteCommands) -> Self {
        Self { database, commands }
    }

    fn commit_batch(&self, tx: &Tx<'_>, now: Timestamp, batch: SignedBatch) -> rusqlite::Result<Vec<Commitment>> {
        let SignedBatch {
            chain,
            from,
            first_nonce,
            commands,
        } = batch;
        let count = commands.len();
        let next = statements::next_nonce(tx, &from.address)?;
        if next.is_some_and(|next| next != first_nonce) {
            return Ok(vec![Commitment::Outdated; count]);
        }
        if !statements::assign(tx, now, chain, &from)? {
            return Ok(vec![Commitment::WrongSeed; count]);
        }
        let mut purse = (from.user_id == UserId::HOT_WALLET)
            .then(|| coins::hot_purse(tx, &commands))
            .transpose()?;
        let mut outcomes = Vec::with_capacity(count);
        let mut used = 0;
        for command in commands {
            let outcome = self.commit_one(tx, now, chain, &from, purse.as_mut(), command)?;
            outcomes.push(outcome);
            if outcome != Commitment::Written {
                break;
            }
            used += 1;
        }
        outcomes.resize(count, Commitment::Outdated);
        if used > 0 {
            statements::set_next_nonce(tx, &from.address, first_nonce.saturating_add(used))?;
        }
        Ok(outcomes)
    }

    fn commit_one(
        &self,
        tx: &Tx<'_>,
        now: Timestamp,
        chain: &str,
        from: &Party,
        hot_purse: Option<&mut Purse>,
        command: SignedCommand,
    ) -> rusqlite::Result<Commitment> {
        let SignedCommand {
            key,
            epoch,
            to,
            amount,
            funds: _,
            transfer,
        } = command;
        if !statements::assign(tx, now, chain, &to)? {
            return Ok(Commitment::WrongSeed);
        }
        let paid = match hot_purse {
            Some(purse) => purse.pay(amount).map_err(|error| bad(1, error))?,
            None => coins::suffice(tx, from.user_id, amount, key)?,
        };
        if !paid {
            return Ok(Commitment::CoinsMissing);
        }
        let (nonce, hash) = (transfer.nonce, transfer.hash.clone());
        let progress = Progress::Signed(transfer).to_json();
        match self.commands.checkpoint_in(tx, now, key, epoch, &progress)? {
            Fencing::Fenced => return Ok(Commitment::Fenced),
            Fencing::Written => {}
        }
        tx.prepare_cached(
            "INSERT INTO bc_gateway_transfers
             (order_id, step, from_user, to_user, asset, amount, nonce, hash, signed_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            key.order_id.get(),
            key.step.as_str(),
            from.user_id.get(),
            to.user_id.get(),
            amount.asset().code(),
            AmountBlob(amount.units()),
            statements::nonce_column(nonce)?,
            hash,
            micros(now)
        ])?;
        coins::release(tx, key)?;
        for user in [from.user_id, to.user_id] {
            coins::mark(tx, now, user, amount.asset())?;
        }
        Ok(Commitment::Written)
    }

    fn reserve_one(&self, tx: &Tx<'_>, now: Timestamp, reservation: &CoinReservation) -> rusqlite::Result<Reservation> {
        let CoinReservation {
            key,
            epoch,
            from,
            amount,
        } = *reservation;
        if !coins::suffice(tx, from, amount, key)? {
            return Ok(Reservation::CoinsMissing);
        }
        let paying = Progress::Paying.to_json();
        match self.commands.checkpoint_in(tx, now, key, epoch, &paying)? {
            Fencing::Fenced => return Ok(Reservation::Fenced),
            Fencing::Written => {}
        }
        coins::reserve(tx, now, reservation)?;
        Ok(Reservation::Reserved)
    }
}

#[async_trait]
impl TransferStore for SqliteTransfers {
    async fn address(&self, chain: &'static str, user: UserId) -> Result<Option<Address>, StoreError> {
        self.database
            .readers()
            .run(move |connection| statements::address(connection, chain, user))
            .await
    }

    async fn next_nonce(&self, address: &Address) -> Result<Option<u64>, StoreError> {
        let address = address.clone();
        self.database
            .readers()
            .run(move |connection| statements::next_nonce(connection, &address))
            .await
    }

    async fn confirmed_nonce(&self, user: UserId) -> Result<Option<u64>, StoreError> {
        self.database
            .readers()
            .run(move |connection| statements::confirmed_nonce(connection, user))
            .await
    }

    async fn reserve(&self, now: Timestamp, reservation: CoinReservation) -> Result<Reservation, StoreError> {
        let store = self.clone();
        self.database
            .writer()
            .run(move |tx| store.reserve_one(tx, now, &reservation))
            .await
    }

    async fn was_reserved(&self, key: CommandKey) -> Result<bool, StoreError> {
        self.database
            .readers()
            .run(move |connection| coins::was_reserved(connection, key))
            .await
    }

    async fn commit(&self, now: Timestamp, batch: SignedBatch) -> Result<Vec<Commitment>, StoreError> {
        let store = self.clone();
        self.database
            .writer()
            .run(move |tx| store.commit_batch(tx, now, batch))
            .await
    }

    async fn transfer(&self, key: CommandKey) -> Result<Option<StoredTransfer>, StoreError> {
        self.database
            .readers()
            .run(move |connection| load_transfer(connection, key))
            .await
    }

    async fn unfinished(&self, after: Option<i64>, limit: usize) -> Result<Vec<Unfinished>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.database
            .readers()
            .run(move |connection| statements::unfinished(connection, after.unwrap_or(0), limit))
            .await
    }

    async fn count_coins(&self, now: Timestamp, limit: usize) -> Result<Vec<CountedCoins>, StoreError> {
        self.database.writer().run(move |tx| coins::count(tx, now, limit)).await
    }

    async fn begin_sweep(&self, now: Timestamp, sweep: NewSweep) -> Result<Option<i64>, StoreError> {
        self.database.writer().run(move |tx| begin_sweep(tx, now, &sweep)).await
    }

    async fn open_sweeps(&self, now: Timestamp, limit: usize) -> Result<Vec<OpenSweep>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.database
            .readers()
            .run(move |connection| {
                connection
                    .prepare_cached(
                        "SELECT id, user_id, asset, amount, nonce, hash, bytes, tries FROM bc_gateway_sweeps
                         WHERE state = 'signed' AND next_attempt_at <= ? ORDER BY next_attempt_at LIMIT ?",
                    )?
                    .query_map(params![micros(now), limit], to_open_sweep)?
                    .collect()
            })
            .await
    }

    async fn postpone_sweep(&self, id: i64, until: Timestamp) -> Result<(), StoreError> {
        self.database
            .writer()
            .run(move |tx| {
                tx.prepare_cached(
                    "UPDATE bc_gateway_sweeps SET next_attempt_at = ?, tries = tries + 1
                     WHERE id = ? AND state = 'signed'",
                )?
                .execute(params![micros(until), id])?;
                Ok(())
            })
            .await
    }

    async fn finish_sweep(&self, now: Timestamp, id: i64) -> Result<(), StoreError> {
        self.database
            .writer()
            .run(move |tx| {
                let swept = tx
                    .prepare_cached(
                        "UPDATE bc_gateway_sweeps SET state = 'confirmed', confirmed_at = ?
                         WHERE id = ? AND state = 'signed' RETURNING user_id, asset, amount",
                    )?
                    .query_row(params![micros(now), id], |row| {
                        Ok((user_from(row, 0)?, amount(row, 1, 2)?))
                    })
                    .optional()?;
                match swept {
                    Some((user, swept)) => {
                        let taken = swept.checked_neg().map_err(|error| bad(2, error))?;
                        coins::add(tx, user, taken)
                    }
                    None => Ok(()),
                }
            })
            .await
    }

    async fn bring_forward(&self, now: Timestamp) -> Result<u64, StoreError> {
        let brought = self
            .database
            .writer()
            .run(move |tx| {
                let mut brought = 0;
                for statement in [
                    "UPDATE bc_gateway_sweeps SET next_attempt_at = ?1 WHERE state = 'signed' AND next_attempt_at > ?1",
                    "UPDATE bc_gateway_coins SET checked_at = ?1 WHERE marked = 1 AND checked_at > ?1",
                ] {
                    brought += tx.prepare_cached(statement)?.execute([micros(now)])?;
                }
                Ok(brought)
            })
            .await?;
        Ok(u64::try_from(brought).unwrap_or(u64::MAX))
    }
}

fn begin_sweep(tx: &Connection, now: Timestamp, sweep: &NewSweep) -> rusqlite::Result<Option<i64>> {
    let NewSweep {
        chain,
        from,
        counted,
        reservations,
        amount,
        transfer,
    } = sweep;
    let unchanged = coins::are_settled(tx, from.user_id)?
        && coins::seen(tx, from.user_id, counted.asset())? == (*counted, *reservations)
        && statements::next_nonce(tx, &from.address)?.is_none_or(|next| next == transfer.nonce)
        && statements::assign(tx, now, chain, from)?;
    if !unchanged {
        return Ok(None);
    }
    statements::set_next_nonce(tx, &from.address, transfer.nonce.saturating_add(1))?;
    tx.prepare_cached(
        "INSERT INTO bc_gateway_sweeps (user_id, asset, amount, nonce, hash, bytes, state, next_attempt_at, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'signed', ?7, ?7)",
    )?
    .execute(params![
        from.user_id.get(),
        amount.asset().code(),
        AmountBlob(amount.units()),
        statements::nonce_column(transfer.nonce)?,
        transfer.hash,
        transfer.bytes,
        micros(now)
    ])?;
    Ok(Some(tx.last_insert_rowid()))
}

fn load_transfer(connection: &Connection, key: CommandKey) -> rusqlite::Result<Option<StoredTransfer>> {
    connection
        .prepare_cached(
            "SELECT order_id, step, from_user, to_user, asset, amount, nonce, hash FROM bc_gateway_transfers
             WHERE order_id = ? AND step = ?",
        )?
        .query_row(params![key.order_id.get(), key.step.as_str()], to_transfer)
        .optional()
}

fn to_transfer(row: &Row<'_>) -> rusqlite::Result<StoredTransfer> {
    Ok(StoredTransfer {
        order_id: OrderId::try_new(row.get(0)?).map_err(|error| bad(0, error))?,
        step: row.get::<_, String>(1)?.parse().map_err(|error| bad(1, error))?,
        from: user_from(row, 2)?,
        to: user_from(row, 3)?,
        amount: amount(row, 4, 5)?,
        nonce: number_from(row, 6)?,
        hash: row.get(7)?,
    })
}

fn to_open_sweep(row: &Row<'_>) -> rusqlite::Result<OpenSweep> {
    Ok(OpenSweep {
        id: row.get(0)?,
        user_id: user_from(row, 1)?,
        amount: amount(row, 2, 3)?,
        transfer: SignedTransfer {
            nonce: number_from(row, 4)?,
            hash: row.get(5)?,
            bytes: row.get(6)?,
        },
        tries: row.get(7)?,
    })
}
