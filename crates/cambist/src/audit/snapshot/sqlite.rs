//! One moment of the embedded database. Its reads wait for nobody: every future here is ready when it is first polled.

use async_trait::async_trait;
use balance::domain::{BooksReport, PostedTransfer};
use bc_gateway::store::audit::{ExpectedCoins, WithdrawalFact};
use contracts::ledger::Owner;
use contracts::{Amount, DepositId, OrderId, ServiceName};
use exchanger::store::audit::TradeFact;
use notification::store::audit::NotificationFact;
use rusqlite::Connection;
use wallet::domain::Deposit;
use wallet::store::audit::OrderFacts;

use super::{ReadError, Snapshot};

/// A connection with a read transaction that ends with it.
pub(in super::super) struct SqliteSnapshot(Connection);

impl SqliteSnapshot {
    /// What `connection` sees from its first read on.
    pub(in super::super) fn begin(connection: Connection) -> rusqlite::Result<Self> {
        connection.execute_batch("BEGIN")?;
        Ok(Self(connection))
    }

    /// The connection, inside its transaction.
    pub(in super::super) const fn connection(&self) -> &Connection {
        &self.0
    }
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    async fn check_books(&mut self) -> Result<BooksReport, ReadError> {
        Ok(balance::store::sqlite::audit::check_books(&self.0)?)
    }

    async fn funding(&mut self) -> Result<Vec<PostedTransfer>, ReadError> {
        Ok(balance::store::sqlite::audit::funding(&self.0)?)
    }

    async fn adjustments(&mut self) -> Result<Vec<PostedTransfer>, ReadError> {
        Ok(balance::store::sqlite::audit::transfers_of_adjustments(
            &self.0,
            1,
            i64::MAX,
        )?)
    }

    async fn transfers_of_orders(&mut self, from: i64, to: i64) -> Result<Vec<PostedTransfer>, ReadError> {
        Ok(balance::store::sqlite::audit::transfers_of_orders(&self.0, from, to)?)
    }

    async fn transfers_of_deposits(&mut self, from: i64, to: i64) -> Result<Vec<PostedTransfer>, ReadError> {
        Ok(balance::store::sqlite::audit::transfers_of_deposits(&self.0, from, to)?)
    }

    async fn balances_of(&mut self, owner: &Owner) -> Result<Vec<Amount>, ReadError> {
        Ok(balance::store::sqlite::audit::balances_of(&self.0, owner)?)
    }

    async fn orders(&mut self, after: Option<OrderId>, limit: usize) -> Result<Vec<OrderFacts>, ReadError> {
        Ok(wallet::store::sqlite::audit::orders(&self.0, after, limit)?)
    }

    async fn deposits(&mut self, after: Option<DepositId>, limit: usize) -> Result<Vec<Deposit>, ReadError> {
        Ok(wallet::store::sqlite::audit::deposits(&self.0, after, limit)?)
    }

    async fn trades(&mut self, from: OrderId, to: OrderId) -> Result<Vec<TradeFact>, ReadError> {
        Ok(exchanger::store::sqlite::audit::trades_of_orders(&self.0, from, to)?)
    }

    async fn withdrawals(&mut self, from: OrderId, to: OrderId) -> Result<Vec<WithdrawalFact>, ReadError> {
        Ok(bc_gateway::store::sqlite::audit::withdrawals_of_orders(
            &self.0, from, to,
        )?)
    }

    async fn expected_coins(&mut self) -> Result<Vec<ExpectedCoins>, ReadError> {
        Ok(bc_gateway::store::sqlite::audit::expected_coins(&self.0)?)
    }

    async fn notifications(&mut self, from: OrderId, to: OrderId) -> Result<Vec<NotificationFact>, ReadError> {
        Ok(notification::store::sqlite::audit::notifications_of_orders(
            &self.0, from, to,
        )?)
    }

    async fn dead_letters(&mut self, service: ServiceName) -> Result<u64, ReadError> {
        Ok(storage::sqlite::dead_letters(&self.0, service)?)
    }

    async fn dead_commands(&mut self, service: ServiceName) -> Result<u64, ReadError> {
        Ok(storage::sqlite::dead_commands(&self.0, service)?)
    }
}
