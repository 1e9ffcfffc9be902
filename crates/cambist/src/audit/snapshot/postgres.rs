//! One moment of a database that processes share, under the role of auditors.

use async_trait::async_trait;
use balance::domain::{BooksReport, PostedTransfer};
use bc_gateway::store::audit::{ExpectedCoins, WithdrawalFact};
use contracts::ledger::Owner;
use contracts::{Amount, DepositId, OrderId, ServiceName};
use exchanger::store::audit::TradeFact;
use notification::store::audit::NotificationFact;
use storage::postgres::Tx;
use wallet::domain::Deposit;
use wallet::store::audit::OrderFacts;

use super::{ReadError, Snapshot};

/// A transaction that only reads.
pub(in super::super) struct PostgresSnapshot(pub(in super::super) Tx);

#[async_trait]
impl Snapshot for PostgresSnapshot {
    async fn check_books(&mut self) -> Result<BooksReport, ReadError> {
        Ok(balance::store::postgres::audit::check_books(&mut self.0).await?)
    }

    async fn funding(&mut self) -> Result<Vec<PostedTransfer>, ReadError> {
        Ok(balance::store::postgres::audit::funding(&mut self.0).await?)
    }

    async fn adjustments(&mut self) -> Result<Vec<PostedTransfer>, ReadError> {
        Ok(balance::store::postgres::audit::transfers_of_adjustments(&mut self.0, 1, i64::MAX).await?)
    }

    async fn transfers_of_orders(&mut self, from: i64, to: i64) -> Result<Vec<PostedTransfer>, ReadError> {
        Ok(balance::store::postgres::audit::transfers_of_orders(&mut self.0, from, to).await?)
    }

    async fn transfers_of_deposits(&mut self, from: i64, to: i64) -> Result<Vec<PostedTransfer>, ReadError> {
        Ok(balance::store::postgres::audit::transfers_of_deposits(&mut self.0, from, to).await?)
    }

    async fn balances_of(&mut self, owner: &Owner) -> Result<Vec<Amount>, ReadError> {
        Ok(balance::store::postgres::audit::balances_of(&mut self.0, owner).await?)
    }

    async fn orders(&mut self, after: Option<OrderId>, limit: usize) -> Result<Vec<OrderFacts>, ReadError> {
        Ok(wallet::store::postgres::audit::orders(&mut self.0, after, limit).await?)
    }

    async fn deposits(&mut self, after: Option<DepositId>, limit: usize) -> Result<Vec<Deposit>, ReadError> {
        Ok(wallet::store::postgres::audit::deposits(&mut self.0, after, limit).await?)
    }

    async fn trades(&mut self, from: OrderId, to: OrderId) -> Result<Vec<TradeFact>, ReadError> {
        Ok(exchanger::store::postgres::audit::trades_of_orders(&mut self.0, from, to).await?)
    }

    async fn withdrawals(&mut self, from: OrderId, to: OrderId) -> Result<Vec<WithdrawalFact>, ReadError> {
        Ok(bc_gateway::store::postgres::audit::withdrawals_of_orders(&mut self.0, from, to).await?)
    }

    async fn expected_coins(&mut self) -> Result<Vec<ExpectedCoins>, ReadError> {
        Ok(bc_gateway::store::postgres::audit::expected_coins(&mut self.0).await?)
    }

    async fn notifications(&mut self, from: OrderId, to: OrderId) -> Result<Vec<NotificationFact>, ReadError> {
        Ok(notification::store::postgres::audit::notifications_of_orders(&mut self.0, from, to).await?)
    }

    async fn dead_letters(&mut self, service: ServiceName) -> Result<u64, ReadError> {
        Ok(storage::postgres::dead_letters(&mut self.0, service).await?)
    }

    async fn dead_commands(&mut self, service: ServiceName) -> Result<u64, ReadError> {
        Ok(storage::postgres::dead_commands(&mut self.0, service).await?)
    }
}
