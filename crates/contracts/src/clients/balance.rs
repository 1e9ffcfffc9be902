//! What others may ask the ledger.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::ClientError;
use crate::ledger::{Posting, PostingOutcome, StatementLine};
use crate::{Amount, UserId};

/// Whether a wallet was opened by this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opened {
    /// It is new.
    Now,
    /// It was there already; nothing changed.
    Before,
}

/// A wallet's balances: always BTC and USD, and every other asset it ever held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletBalances {
    /// Whose.
    pub user_id: UserId,
    /// One amount for each asset, in the order of the assets' codes.
    pub balances: Vec<Amount>,
}

/// The `balance` service, as others see it.
#[async_trait]
pub trait Balance: Send + Sync {
    /// Opens the user's wallet. Idempotent.
    async fn open_wallet(&self, user: UserId) -> Result<Opened, ClientError>;

    /// The wallet, or `None` when the user has none.
    async fn wallet(&self, user: UserId) -> Result<Option<WalletBalances>, ClientError>;

    /// The wallet's bookings, newest first: at most `limit` (1 … 100) lines with an `entry_id` below `before`,
    /// that of the last line of the page before; of what is no line of this wallet there may be none. `None` when the user
    /// has no wallet.
    async fn statement(
        &self,
        user: UserId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Option<Vec<StatementLine>>, ClientError>;

    /// Books postings, at most [`crate::ledger::MAX_POSTINGS`], in one transaction; `outcomes[i]` answers
    /// `postings[i]`. One posting's refusal never undoes another. Idempotent by transfer id: an unanswered
    /// call is made again with the same content.
    ///
    /// Where both sides share a process and its database, it MAY answer before the booking is on disk, if nothing that is
    /// written after the answer can be on disk without it (ADR 011): who tells anything outside of it writes that down first.
    async fn post(&self, postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, ClientError>;
}
