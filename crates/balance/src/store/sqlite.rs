//! The books on SQLite. The database's one writer runs transactions one after the other, so a balance that was
//! loaded is still true when it is written: that is the lock.

pub mod audit;
mod book;
mod read;
mod statements;
mod survey;

use std::sync::Arc;

use async_trait::async_trait;
use contracts::UserId;
use contracts::clients::{Opened, WalletBalances};
use contracts::ledger::{Leg, Origin, Posting, PostingOutcome, Refusal, StatementLine, TransferId};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, params};
use storage::StoreError;
use storage::sqlite::{Database, Desk, bad_column, micros};

use self::book::{book, find_transfer};
use self::read::{has_wallet, read_statement, read_wallet};
use self::statements::{FIND_ADJUSTMENT, INSERT_ADJUSTMENT, INSERT_WALLET, NEXT_ADJUSTMENT};
use crate::domain::{Adjusted, Adjustment, BooksReport, Capital, Funding, RequestKey};
use crate::ports::{LedgerStore, MAX_LINES};

/// The ledger of an embedded database. Cheap to clone.
#[derive(Clone)]
pub struct SqliteLedger {
    database: Database,
    desk: PostingDesk,
}

/// Most postings come one by one, from workers that each carry out one command, and all of them touch the hot wallet's
/// accounts: of those that wait together, the accounts are loaded and stored once.
type PostingDesk = Desk<(Timestamp, Vec<Posting>), Vec<PostingOutcome>>;

impl SqliteLedger {
    /// The ledger in `database`, which has the migrations of [`crate::migrations`].
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            desk: Desk::new(database.clone(), |tx, waiting| book_together(tx, waiting)),
            database,
        }
    }
}

#[async_trait]
impl LedgerStore for SqliteLedger {
    async fn open_wallet(&self, now: Timestamp, user: UserId) -> Result<Opened, StoreError> {
        if user == UserId::HOT_WALLET {
            return Ok(Opened::Before);
        }
        self.database
            .writer()
            .run(move |tx| {
                let new = tx
                    .prepare_cached(INSERT_WALLET)?
                    .execute(params![user.get(), micros(now)])?;
                Ok(if new == 1 { Opened::Now } else { Opened::Before })
            })
            .await
    }

    async fn wallet(&self, user: UserId) -> Result<Option<WalletBalances>, StoreError> {
        self.database
            .readers()
            .run(move |snapshot| {
                Ok(if has_wallet(snapshot, user)? {
                    Some(read_wallet(snapshot, user)?)
                } else {
                    None
                })
            })
            .await
    }

    async fn statement(
        &self,
        user: UserId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Option<Vec<StatementLine>>, StoreError> {
        let limit = limit.clamp(1, MAX_LINES);
        self.database
            .readers()
            .run(move |snapshot| {
                if !has_wallet(snapshot, user)? {
                    return Ok(None);
                }
                read_statement(snapshot, user, before, limit).map(Some)
            })
            .await
    }

    async fn post(&self, now: Timestamp, postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, StoreError> {
        if postings.is_empty() {
            return Ok(Vec::new());
        }
        self.desk.bring((now, postings)).await
    }

    async fn post_ahead(&self, now: Timestamp, postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, StoreError> {
        if postings.is_empty() {
            return Ok(Vec::new());
        }
        self.desk.bring_ahead((now, postings)).await
    }

    async fn adjust(&self, now: Timestamp, adjustment: Adjustment) -> Result<Adjusted, StoreError> {
        self.database.writer().run(move |tx| adjust(tx, now, &adjustment)).await
    }

    async fn fund(&self, now: Timestamp, capital: Capital) -> Result<Funding, StoreError> {
        self.database.writer().run(move |tx| fund(tx, now, capital)).await
    }

    async fn check_books(&self) -> Result<BooksReport, StoreError> {
        self.database.readers().run(audit::check_books).await
    }
}

/// Books what several callers want booked; the outcomes are parted again.
fn book_together(
    tx: &Connection,
    waiting: &[Arc<(Timestamp, Vec<Posting>)>],
) -> rusqlite::Result<Vec<Vec<PostingOutcome>>> {
    let now = waiting.iter().map(|waiting| waiting.0).max().unwrap_or(Timestamp::MIN);
    let mut outcomes = book(tx, now, waiting.iter().flat_map(|waiting| &waiting.1))?.into_iter();
    let parted = waiting
        .iter()
        .map(|waiting| outcomes.by_ref().take(waiting.1.len()).collect());
    Ok(parted.collect())
}

fn adjust(tx: &Connection, now: Timestamp, adjustment: &Adjustment) -> rusqlite::Result<Adjusted> {
    if let Some(request) = &adjustment.request
        && let Some(answer) = recall(tx, adjustment.user, request)?
    {
        return Ok(answer);
    }
    // The number is only taken once the correction is booked: what is refused leaves nothing behind.
    let id: i64 = tx.prepare_cached(NEXT_ADJUSTMENT)?.query_row((), |row| row.get(0))?;
    let posting = match adjustment.posting(id) {
        Ok(posting) => posting,
        Err(refusal) => return Ok(Adjusted::Refused(refusal)),
    };
    let name = posting.transfers.first().map(|transfer| transfer.id);
    match book(tx, now, &[posting])?.pop() {
        Some(PostingOutcome::Posted { replayed: false }) => {}
        Some(PostingOutcome::Refused { refusal }) => return Ok(Adjusted::Refused(refusal)),
        // Somebody else booked under this number.
        Some(PostingOutcome::Posted { replayed: true }) | None => {
            let id = name.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
            return Ok(Adjusted::Refused(Refusal::Conflict { id }));
        }
    }
    let wallet = read_wallet(tx, adjustment.user)?;
    let wallet_after =
        serde_json::to_string(&wallet).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
    let request = adjustment.request.as_ref();
    tx.prepare_cached(INSERT_ADJUSTMENT)?.execute(params![
        id,
        adjustment.user.get(),
        request.map(|request| &request.key),
        request.map(|request| request.fingerprint),
        wallet_after,
        micros(now)
    ])?;
    Ok(Adjusted::Booked {
        id,
        wallet,
        replayed: false,
    })
}

/// The answer to a request that came before.
fn recall(tx: &Connection, user: UserId, request: &RequestKey) -> rusqlite::Result<Option<Adjusted>> {
    tx.prepare_cached(FIND_ADJUSTMENT)?
        .query_row(params![user.get(), request.key], |row| {
            if row.get::<_, [u8; 32]>(1)? != request.fingerprint {
                return Ok(Adjusted::KeyReused);
            }
            let wallet =
                serde_json::from_str(row.get_ref(2)?.as_str()?).map_err(|error| bad_column(2, Type::Text, error))?;
            Ok(Adjusted::Booked {
                id: row.get(0)?,
                wallet,
                replayed: true,
            })
        })
        .optional()
}

fn fund(tx: &Connection, now: Timestamp, capital: Capital) -> rusqlite::Result<Funding> {
    let posting = match capital.posting() {
        Ok(posting) => posting,
        Err(refusal) => return Ok(Funding::Refused(refusal)),
    };
    let mut booked = Vec::with_capacity(2);
    for leg in [Leg::FundFiat, Leg::FundCrypto] {
        let origin = Origin::Funding;
        booked.extend(find_transfer(tx, TransferId { origin, leg })?.map(|transfer| transfer.amount));
    }
    if !booked.is_empty() {
        let same = capital.is_what_was(&booked);
        return Ok(if same {
            Funding::Before
        } else {
            Funding::BeforeOtherwise { booked }
        });
    }
    let Some(posting) = posting else {
        return Ok(Funding::Nothing);
    };
    Ok(match book(tx, now, &[posting])?.pop() {
        Some(PostingOutcome::Posted { .. }) => Funding::Booked,
        Some(PostingOutcome::Refused { refusal }) => Funding::Refused(refusal),
        None => return Err(rusqlite::Error::QueryReturnedNoRows),
    })
}
