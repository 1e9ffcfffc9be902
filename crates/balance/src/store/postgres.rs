//! The books on PostgreSQL, for several processes. A balance that was loaded is still true when it is written because its
//! row is locked; who locks what, and when names are looked up, is the business of `book.rs`.

pub mod audit;
mod book;
mod rows;
mod statements;
mod survey;

use std::collections::BTreeMap;

use async_trait::async_trait;
use contracts::clients::{Opened, WalletBalances};
use contracts::ledger::{Leg, Origin, Owner, Posting, PostingOutcome, Refusal, StatementLine, TransferId};
use contracts::{Amount, Asset, ServiceName, UserId};
use jiff::Timestamp;
use storage::migrations::Migrations;
use storage::postgres::{Database, Desk, Numeric, Tx, TxError, text};
use storage::{StoreError, in_transaction};

use self::book::{Booking, Names, book};
use self::rows::{bad, to_asset, to_line, to_transfer};
use self::statements::{
    FIND_ADJUSTMENT, INSERT_ADJUSTMENT, LOCK_CORRECTIONS, LOOK_UP, NEXT_ADJUSTMENT, OPEN_WALLET, STATEMENT, WALLET,
};
use crate::domain::{Adjusted, Adjustment, BooksReport, Capital, Funding, RequestKey};
use crate::ports::{LedgerStore, MAX_LINES};

/// The lock of corrections and of the first capital, which are numbered or looked for before they are booked: one at a time.
/// Any number that no other lock in the database has.
const CORRECTIONS: i32 = 0x6261_6c02;

/// The migrations, in order.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations::new(ServiceName::Balance).then("ledger", include_str!("../../migrations/postgres/0001_ledger.sql"))
}

/// The ledger of a database that several processes share. Cheap to clone.
///
/// An audit is a few statements that read everything: whoever audits large books connects with
/// [`Options`](storage::postgres::Options) that let a statement take that long.
#[derive(Clone)]
pub struct PostgresLedger {
    database: Database,
    desk: Desk<Booking>,
}

impl PostgresLedger {
    /// The ledger in `database`, which has the migrations of [`migrations`].
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            desk: Desk::new(database.clone(), Booking),
            database,
        }
    }
}

#[async_trait]
impl LedgerStore for PostgresLedger {
    async fn open_wallet(&self, now: Timestamp, user: UserId) -> Result<Opened, StoreError> {
        if user == UserId::HOT_WALLET {
            return Ok(Opened::Before);
        }
        let new = self
            .database
            .query(OPEN_WALLET, &[&user.get(), &now.as_microsecond()])
            .await?;
        Ok(if new.is_empty() { Opened::Before } else { Opened::Now })
    }

    async fn wallet(&self, user: UserId) -> Result<Option<WalletBalances>, StoreError> {
        let owner = Owner::wallet(user).to_string();
        let rows = self.database.query(WALLET, &[&user.get(), &owner]).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let accounts = rows.iter().map(|row| {
            let (Some(asset), Some(Numeric(units))) = (row.try_get(0)?, row.try_get(1)?) else {
                return Ok(None);
            };
            Ok(Some(Amount::new(units, to_asset(asset)?)))
        });
        let accounts: Vec<_> = accounts.collect::<Result<_, TxError>>()?;
        Ok(Some(to_wallet(user, accounts.into_iter().flatten())))
    }

    async fn statement(
        &self,
        user: UserId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Option<Vec<StatementLine>>, StoreError> {
        let owner = Owner::wallet(user).to_string();
        // A wallet that is there stays there: this may be read at another moment than its lines.
        if self.database.query(WALLET, &[&user.get(), &owner]).await?.is_empty() {
            return Ok(None);
        }
        let limit = i64::try_from(limit.clamp(1, MAX_LINES)).unwrap_or(1);
        let before = before.unwrap_or(i64::MAX);
        let rows = self.database.query(STATEMENT, &[&owner, &before, &limit]).await?;
        Ok(Some(rows.iter().map(to_line).collect::<Result<_, TxError>>()?))
    }

    async fn post(&self, now: Timestamp, mut postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, StoreError> {
        if postings.is_empty() {
            return Ok(Vec::new());
        }
        postings.iter_mut().for_each(storable);
        self.desk.bring((now, postings)).await
    }

    async fn adjust(&self, now: Timestamp, mut adjustment: Adjustment) -> Result<Adjusted, StoreError> {
        if let Some(request) = &mut adjustment.request {
            request.key = text(std::mem::take(&mut request.key));
        }
        in_transaction!(self.database, tx => adjust(&mut tx, now, &adjustment))
    }

    async fn fund(&self, now: Timestamp, capital: Capital) -> Result<Funding, StoreError> {
        in_transaction!(self.database, tx => fund(&mut tx, now, capital))
    }

    async fn check_books(&self) -> Result<BooksReport, StoreError> {
        let mut tx = self.database.overview().await?;
        let report = audit::check_books(&mut tx).await;
        tx.roll_back().await;
        Ok(report?)
    }
}

/// Brings texts to what is stored, so that a posting that comes again is compared with what it was.
fn storable(posting: &mut Posting) {
    for transfer in &mut posting.transfers {
        transfer.reason = text(std::mem::take(&mut transfer.reason));
        transfer.actor = text(std::mem::take(&mut transfer.actor));
    }
}

fn to_wallet(user: UserId, accounts: impl IntoIterator<Item = Amount>) -> WalletBalances {
    let mut balances = BTreeMap::from([Asset::BTC, Asset::USD].map(|asset| (asset, Amount::zero(asset))));
    balances.extend(accounts.into_iter().map(|balance| (balance.asset(), balance)));
    WalletBalances {
        user_id: user,
        balances: balances.into_values().collect(),
    }
}

async fn adjust(tx: &mut Tx, now: Timestamp, adjustment: &Adjustment) -> Result<Adjusted, TxError> {
    tx.query(LOCK_CORRECTIONS, &[&CORRECTIONS]).await?;
    if let Some(request) = &adjustment.request
        && let Some(answer) = recall(tx, adjustment.user, request).await?
    {
        return Ok(answer);
    }
    // The number is only taken once the correction is booked: what is refused leaves nothing behind.
    let next = tx.query(NEXT_ADJUSTMENT, &[]).await?;
    let id: i64 = next.first().ok_or_else(|| bad("no number"))?.try_get(0)?;
    let mut posting = match adjustment.posting(id) {
        Ok(posting) => posting,
        Err(refusal) => return Ok(Adjusted::Refused(refusal)),
    };
    storable(&mut posting);
    let owner = Owner::wallet(adjustment.user);
    let mut done = book(tx, now, [&posting], Some(&owner)).await?;
    match done.outcomes.pop() {
        Some(PostingOutcome::Posted { replayed: false }) => {}
        Some(PostingOutcome::Refused { refusal }) => return Ok(Adjusted::Refused(refusal)),
        // Somebody else booked under this number.
        Some(PostingOutcome::Posted { replayed: true }) | None => {
            let name = posting.transfers.first().map(|transfer| transfer.id);
            let id = name.ok_or_else(|| bad("a correction without a transfer"))?;
            return Ok(Adjusted::Refused(Refusal::Conflict { id }));
        }
    }
    let wallet = to_wallet(adjustment.user, done.wallet);
    let request = adjustment.request.as_ref();
    tx.write(
        INSERT_ADJUSTMENT,
        vec![
            Box::new(id),
            Box::new(adjustment.user.get()),
            Box::new(request.map(|request| request.key.clone())),
            Box::new(request.map(|request| request.fingerprint.to_vec())),
            Box::new(serde_json::to_string(&wallet)?),
            Box::new(now.as_microsecond()),
        ],
        Some(1),
    );
    Ok(Adjusted::Booked {
        id,
        wallet,
        replayed: false,
    })
}

/// The answer to a request that came before.
async fn recall(tx: &mut Tx, user: UserId, request: &RequestKey) -> Result<Option<Adjusted>, TxError> {
    let known = tx.query(FIND_ADJUSTMENT, &[&user.get(), &request.key]).await?;
    let Some(row) = known.first() else {
        return Ok(None);
    };
    if row.try_get::<_, &[u8]>(1)? != request.fingerprint {
        return Ok(Some(Adjusted::KeyReused));
    }
    Ok(Some(Adjusted::Booked {
        id: row.try_get(0)?,
        wallet: serde_json::from_str(row.try_get(2)?)?,
        replayed: true,
    }))
}

async fn fund(tx: &mut Tx, now: Timestamp, capital: Capital) -> Result<Funding, TxError> {
    let posting = match capital.posting() {
        Ok(posting) => posting,
        Err(refusal) => return Ok(Funding::Refused(refusal)),
    };
    tx.query(LOCK_CORRECTIONS, &[&CORRECTIONS]).await?;
    let booked = capital_booked(tx).await?;
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
    Ok(match book(tx, now, [&posting], None).await?.outcomes.pop() {
        Some(PostingOutcome::Posted { .. }) => Funding::Booked,
        Some(PostingOutcome::Refused { refusal }) => Funding::Refused(refusal),
        None => return Err(bad("no outcome")),
    })
}

async fn capital_booked(tx: &mut Tx) -> Result<Vec<Amount>, TxError> {
    let origin = Origin::Funding;
    let ids = [Leg::FundFiat, Leg::FundCrypto].map(|leg| TransferId { origin, leg });
    let Names { kinds, numbers, legs } = ids.iter().collect();
    let nobody: [i64; 0] = [];
    let rows = tx.query(LOOK_UP, &[&kinds, &numbers, &legs, &&nobody[..]]).await?;
    let mut transfers = rows.iter().map(to_transfer).collect::<Result<Vec<_>, _>>()?;
    transfers.sort_by_key(|transfer| transfer.id);
    Ok(transfers.into_iter().map(|transfer| transfer.amount).collect())
}
