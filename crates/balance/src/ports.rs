//! What the ledger needs from a database.
//!
//! One call is one transaction. A store loads and locks, asks [`crate::domain::decide`], and writes what it says;
//! it decides nothing itself.

use async_trait::async_trait;
use contracts::UserId;
use contracts::clients::{Opened, WalletBalances};
use contracts::ledger::{Posting, PostingOutcome, StatementLine};
use jiff::Timestamp;
use storage::StoreError;

use crate::domain::{Adjusted, Adjustment, BooksReport, Capital, Funding};

/// The most lines of a statement one call returns: a page of 100, and one to know that there is another page.
pub const MAX_LINES: usize = 101;

/// The books.
///
/// Every implementation MUST
/// - answer only when what it answers is on disk, except by [`post_ahead`](LedgerStore::post_ahead);
/// - change nothing when it answers an error, except that after [`StoreError::Unavailable`] and [`StoreError::Unknown`] a
///   caller cannot know: all verbs are idempotent so that it may ask again;
/// - run calls as if one after the other: no two decisions may rest on the same balance;
/// - show a read everything that was answered before the read began, and never a part of a transaction.
#[async_trait]
pub trait LedgerStore: Send + Sync {
    /// Opens a user's wallet. Idempotent. The hot wallet was always there.
    async fn open_wallet(&self, now: Timestamp, user: UserId) -> Result<Opened, StoreError>;

    /// The wallet's balances: BTC and USD always, and every other asset it ever held, in the order of the codes.
    /// `None` when the user has no wallet; user 1 always has: the hot wallet.
    async fn wallet(&self, user: UserId) -> Result<Option<WalletBalances>, StoreError>;

    /// The wallet's bookings, newest first: at most `limit` (1 … [`MAX_LINES`], others are brought there) with an
    /// `entry_id` below `before`, that of the last line of the page before; below what is no line of this wallet there may
    /// be none. `None` when the user has no wallet.
    async fn statement(
        &self,
        user: UserId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Option<Vec<StatementLine>>, StoreError>;

    /// Books postings in one transaction; MUST answer `postings[i]` by `outcomes[i]`, as [`crate::domain::decide`]
    /// does. One posting's refusal MUST NOT undo another; the transfers of a posting are booked all or none; holds
    /// refused for lack of funds MUST be refused for ever after. Each account MUST be written at most once. Callers
    /// bound the batch.
    async fn post(&self, now: Timestamp, postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, StoreError>;

    /// As [`post`](LedgerStore::post), for a caller of this process whose next step is a transaction of the same database:
    /// MAY answer before the booking is on disk, if nothing can be on disk that was written after the answer, and the booking
    /// not (ADR 011).
    async fn post_ahead(&self, now: Timestamp, postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, StoreError> {
        self.post(now, postings).await
    }

    /// Books a correction under the next free number, in one transaction with its request key. The same key and
    /// fingerprint for the same wallet MUST answer as the first time, for good; with another fingerprint MUST book
    /// nothing. A refused correction MUST leave nothing behind, not even its key.
    async fn adjust(&self, now: Timestamp, adjustment: Adjustment) -> Result<Adjusted, StoreError>;

    /// Books the first capital, once: MUST change nothing when any was booked before.
    async fn fund(&self, now: Timestamp, capital: Capital) -> Result<Funding, StoreError>;

    /// Checks the whole books on one snapshot: every balance is the sum of its transfers, transfer by transfer; the
    /// balances of an asset add up to zero; nobody who must stay solvent was ever below zero. Takes time in
    /// proportion to the number of transfers, and memory that does not depend on it.
    async fn check_books(&self) -> Result<BooksReport, StoreError>;
}
