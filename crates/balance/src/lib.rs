//! The double-entry ledger: the only place where a balance changes.
//!
//! It owns the wallets, the accounts and every transfer between them, and keeps true (DESIGN 2, 11): per asset, debits
//! equal credits at every commit; no customer's balance and not the hot wallet's is ever negative; a transfer that is
//! booked twice is booked once; a hold that was refused once stays refused.
//!
//! It has no public routes, no worker and no queue: it answers, and never acts by itself. What it answers is on disk; only a
//! neighbour in its own process, whose next step is a transaction of the same database, is answered ahead (ADR 011).
//! Internal routes:
//! `GET`, `POST`, `PATCH /wallet/{user_id}`, `GET /wallet/{user_id}/transactions`, `POST /transfers`.

mod api;
pub mod domain;
pub mod ports;
pub mod store;
pub mod use_cases;

use std::sync::Arc;

use async_trait::async_trait;
use contracts::clients::{Balance, ClientError, Opened, WalletBalances};
use contracts::ledger::{Posting, PostingOutcome, StatementLine};
use contracts::{Clock, ServiceName, UserId};
use service_kit::internal::InternalTokens;
use service_kit::openapi::Routes;
use storage::migrations::Migrations;

use crate::domain::{Capital, Funding};
use crate::ports::LedgerStore;
use crate::use_cases::{
    FundError, OpenError, PostError, ReadStatementError, ReadWalletError, Reply, Signer, fund, open_wallet,
    post_transfers, read_statement, read_wallet,
};

/// The SQLite migrations, in order.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::Balance)
        .then("ledger", include_str!("../migrations/sqlite/0001_ledger.sql"))
        .then(
            "statements are chains",
            include_str!("../migrations/sqlite/0002_statements_are_chains.sql"),
        )
}

/// What the ledger is made of.
#[derive(Clone)]
pub struct Dependencies {
    /// The books.
    pub ledger: Arc<dyn LedgerStore>,
    /// Tells when something is booked.
    pub clock: Arc<dyn Clock>,
    /// Who may call the internal routes.
    pub internal_tokens: Arc<InternalTokens>,
}

/// The ledger. Clones are the same one.
#[derive(Clone)]
pub struct Service {
    parts: Arc<Dependencies>,
}

impl Service {
    /// The ledger made of these parts.
    #[must_use]
    pub fn new(dependencies: Dependencies) -> Self {
        Self {
            parts: Arc::new(dependencies),
        }
    }

    /// The ledger as the other services of this process see it: plain calls, no HTTP. What is booked may be answered before
    /// it is on disk (ADR 011): before a caller tells anybody outside, it stores what it is about to do, and that is on disk.
    #[must_use]
    pub fn client(&self) -> Arc<dyn Balance> {
        Arc::new(self.clone())
    }

    /// None: nothing of the ledger can be reached from outside.
    pub fn public_routes(&self) -> Routes {
        Routes::new()
    }

    /// The internal routes, each behind its table of callers. Fallbacks, limits and probes are the wiring's.
    pub fn internal_routes(&self) -> Routes {
        api::routes(self)
    }

    /// Funds the hot wallet, once: for `migrate`. See [`use_cases::fund`].
    ///
    /// # Errors
    /// [`FundError`].
    pub async fn fund(&self, capital: Capital) -> Result<Funding, FundError> {
        fund(self.ledger(), self.clock(), capital).await
    }

    fn ledger(&self) -> &dyn LedgerStore {
        &*self.parts.ledger
    }

    fn clock(&self) -> &dyn Clock {
        &*self.parts.clock
    }
}

#[async_trait]
impl Balance for Service {
    async fn open_wallet(&self, user: UserId) -> Result<Opened, ClientError> {
        open_wallet(self.ledger(), self.clock(), user)
            .await
            .map_err(|OpenError::Store(error)| error.into())
    }

    async fn wallet(&self, user: UserId) -> Result<Option<WalletBalances>, ClientError> {
        match read_wallet(self.ledger(), user).await {
            Ok(wallet) => Ok(Some(wallet)),
            Err(ReadWalletError::NoWallet) => Ok(None),
            Err(ReadWalletError::Store(error)) => Err(error.into()),
        }
    }

    async fn statement(
        &self,
        user: UserId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Option<Vec<StatementLine>>, ClientError> {
        match read_statement(self.ledger(), user, before, limit).await {
            Ok(lines) => Ok(Some(lines)),
            Err(ReadStatementError::NoWallet) => Ok(None),
            Err(ReadStatementError::Store(error)) => Err(error.into()),
        }
    }

    async fn post(&self, postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, ClientError> {
        post_transfers(self.ledger(), self.clock(), Signer::Service, Reply::Ahead, postings)
            .await
            .map_err(|PostError::Store(error)| error.into())
    }
}
