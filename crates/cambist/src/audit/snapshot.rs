//! What the audit reads, all of it as of one moment: one port, and an adapter over each database through every service's own
//! reads. Judging is nobody's business here.

mod postgres;
mod sqlite;

use async_trait::async_trait;
use balance::domain::{BooksReport, PostedTransfer};
use bc_gateway::store::audit::{ExpectedCoins, WithdrawalFact};
use contracts::ledger::Owner;
use contracts::{Amount, DepositId, OrderId, ServiceName};
use exchanger::store::audit::TradeFact;
use notification::store::audit::NotificationFact;
use storage::postgres::TxError;
use thiserror::Error;
use wallet::domain::Deposit;
use wallet::store::audit::OrderFacts;

pub(super) use self::postgres::PostgresSnapshot;
pub(super) use self::sqlite::SqliteSnapshot;

/// Why a database gave no answer, or one that no program of ours can have written.
#[derive(Debug, Error)]
pub enum ReadError {
    /// What SQLite says.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// What PostgreSQL says, or the way to it.
    #[error(transparent)]
    Postgres(#[from] TxError),
}

/// One moment of all services' tables. Ranges include both ends; whoever asks for one bounds it, and with it the answer.
#[async_trait]
pub(super) trait Snapshot: Send {
    /// What the ledger finds wrong with itself.
    async fn check_books(&mut self) -> Result<BooksReport, ReadError>;

    /// The house's first capital.
    async fn funding(&mut self) -> Result<Vec<PostedTransfer>, ReadError>;

    /// All corrections by hand.
    async fn adjustments(&mut self) -> Result<Vec<PostedTransfer>, ReadError>;

    /// What is booked for the orders of a range, by order and leg.
    async fn transfers_of_orders(&mut self, from: i64, to: i64) -> Result<Vec<PostedTransfer>, ReadError>;

    /// What is booked for the deposits of a range, by deposit.
    async fn transfers_of_deposits(&mut self, from: i64, to: i64) -> Result<Vec<PostedTransfer>, ReadError>;

    /// An owner's balances, one for each asset it ever had.
    async fn balances_of(&mut self, owner: &Owner) -> Result<Vec<Amount>, ReadError>;

    /// At most `limit` orders above `after`, by number, each with its log.
    async fn orders(&mut self, after: Option<OrderId>, limit: usize) -> Result<Vec<OrderFacts>, ReadError>;

    /// At most `limit` deposits above `after`, by number.
    async fn deposits(&mut self, after: Option<DepositId>, limit: usize) -> Result<Vec<Deposit>, ReadError>;

    /// What the exchanger knows of the orders of a range.
    async fn trades(&mut self, from: OrderId, to: OrderId) -> Result<Vec<TradeFact>, ReadError>;

    /// What `bc_gateway` knows of the orders of a range.
    async fn withdrawals(&mut self, from: OrderId, to: OrderId) -> Result<Vec<WithdrawalFact>, ReadError>;

    /// What `bc_gateway` expects at every address, a line for each.
    async fn expected_coins(&mut self) -> Result<Vec<ExpectedCoins>, ReadError>;

    /// What `notification` knows of the orders of a range.
    async fn notifications(&mut self, from: OrderId, to: OrderId) -> Result<Vec<NotificationFact>, ReadError>;

    /// How many dead letters of a service, which has an outbox, wait for a person.
    async fn dead_letters(&mut self, service: ServiceName) -> Result<u64, ReadError>;

    /// How many commands of a service, which is given some, wait for a person.
    async fn dead_commands(&mut self, service: ServiceName) -> Result<u64, ReadError>;
}
