//! Deposits on SQLite.

use std::time::Duration;

use async_trait::async_trait;
use contracts::DepositId;
use jiff::Timestamp;
use rusqlite::{OptionalExtension as _, params};
use storage::StoreError;
use storage::sqlite::{AmountBlob, Tx, micros};

use super::freezes::IS_FROZEN;
use super::orders::{again, to_u64};
use super::rows::{self, deposit_columns};
use super::{SqliteWallet, collect_readable, encoding};
use crate::domain::effects::deposit_posting;
use crate::domain::{Command, Deposit, DepositStatus};
use crate::ports::{Announce, DepositStore, NewDeposit, Placement};
use crate::store::changes::{paid, undecided_deposit};

const BY_KEY: &str = concat!(
    "SELECT ",
    deposit_columns!(),
    ", fingerprint FROM wallet_deposits WHERE user_id = ?1 AND idempotency_key = ?2"
);
const BY_REFERENCE: &str = concat!(
    "SELECT ",
    deposit_columns!(),
    " FROM wallet_deposits WHERE user_id = ?1 AND reference = ?2"
);
const INSERT: &str = "INSERT INTO wallet_deposits (user_id, currency, amount, reference, status, idempotency_key,
    fingerprint, next_attempt_at, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
const BOOK: &str = "UPDATE wallet_deposits SET status = 'booked', booked_at = ?2
    WHERE deposit_id = ?1 AND status = 'pending'";
const DUE: &str = concat!(
    "SELECT ",
    deposit_columns!(),
    " FROM wallet_deposits INDEXED BY wallet_deposits_due
    WHERE status = 'pending' AND next_attempt_at <= ?1 ORDER BY next_attempt_at LIMIT ?2"
);
const POSTPONE: &str = "UPDATE wallet_deposits SET tries = tries + 1, next_attempt_at = ?2 WHERE deposit_id = ?1";
const MAKE_DUE: &str = "UPDATE wallet_deposits INDEXED BY wallet_deposits_due
    SET next_attempt_at = min(next_attempt_at, ?1) WHERE status = 'pending'";

#[async_trait]
impl DepositStore for SqliteWallet {
    async fn create_deposits(
        &self,
        now: Timestamp,
        due: Timestamp,
        deposits: Vec<NewDeposit>,
        mut announce: Announce<DepositId>,
    ) -> Result<Vec<Placement<Deposit, DepositId>>, StoreError> {
        let store = self.clone();
        let job = move |tx: &mut Tx<'_>| {
            let mut placements = Vec::with_capacity(deposits.len());
            for (index, new) in deposits.into_iter().enumerate() {
                let placement = store.create_deposit(tx, now, due, &new)?;
                if let Some(undecided) = undecided_deposit(&placement, index) {
                    announce(undecided);
                }
                placements.push(placement);
            }
            Ok(placements)
        };
        self.database.writer().run(job).await
    }

    async fn book_deposits(&self, now: Timestamp, ids: Vec<DepositId>) -> Result<(), StoreError> {
        let job = move |tx: &mut Tx<'_>| {
            let mut book = tx.prepare_cached(BOOK)?;
            ids.iter()
                .try_for_each(|id| book.execute(params![id.get(), micros(now)]).map(drop))
        };
        self.database.writer().run(job).await
    }

    async fn claim_due(&self, now: Timestamp, limit: usize, pauses: Vec<Duration>) -> Result<Vec<Deposit>, StoreError> {
        let job = move |tx: &mut Tx<'_>| {
            let deposits = collect_readable(tx, DUE, (now, limit), POSTPONE, rows::deposit)?;
            for deposit in &deposits {
                let again = again(now, deposit.tries, &pauses);
                tx.prepare_cached(POSTPONE)?
                    .execute(params![deposit.id.get(), micros(again)])?;
            }
            Ok(deposits)
        };
        self.database.writer().run(job).await
    }

    async fn make_due(&self, now: Timestamp) -> Result<u64, StoreError> {
        let job = move |tx: &mut Tx<'_>| tx.execute(MAKE_DUE, [micros(now)]).map(to_u64);
        self.database.writer().run(job).await
    }
}

impl SqliteWallet {
    fn create_deposit(
        &self,
        tx: &mut Tx<'_>,
        now: Timestamp,
        due: Timestamp,
        new: &NewDeposit,
    ) -> rusqlite::Result<Placement<Deposit, DepositId>> {
        if let Some(refused_or_known) = self.before_it(tx, new)? {
            return Ok(refused_or_known);
        }
        let key = new.idempotency.as_ref();
        tx.prepare_cached(INSERT)?.execute(params![
            new.user_id.get(),
            new.amount.asset().code(),
            AmountBlob(new.amount.units()),
            new.reference,
            DepositStatus::Pending.as_str(),
            key.map(|known| &known.key),
            key.map(|known| known.fingerprint),
            micros(due),
            micros(now),
        ])?;
        let id = DepositId::try_new(tx.last_insert_rowid())
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let deposit = paid(id, now, new);
        if let Some(instruction) = &new.instruction {
            self.acts
                .record(tx, now, ("deposit", &subject_of(id)), instruction, None, None)?;
        }
        let command = Command::Post(deposit_posting(&deposit));
        let payload = command.to_json().map_err(encoding)?;
        self.outbox.put(tx, now, command.destination(), payload);
        Ok(Placement::Created(deposit))
    }

    /// What a freeze, or an earlier deposit, makes of this one.
    fn before_it(&self, tx: &Tx<'_>, new: &NewDeposit) -> rusqlite::Result<Option<Placement<Deposit, DepositId>>> {
        let user = new.user_id.get();
        if new.instruction.is_none() && tx.prepare_cached(IS_FROZEN)?.exists([user])? {
            return Ok(Some(Placement::Frozen));
        }
        if let Some(known) = &new.idempotency {
            let found: Option<(Deposit, [u8; 32])> = tx
                .prepare_cached(BY_KEY)?
                .query_row(params![user, known.key], |row| {
                    Ok((rows::deposit(row)?, row.get("fingerprint")?))
                })
                .optional()?;
            if let Some((deposit, fingerprint)) = found {
                return Ok(Some(if fingerprint == known.fingerprint {
                    Placement::Replayed(deposit)
                } else {
                    Placement::KeyReused
                }));
            }
        }
        let taken = tx
            .prepare_cached(BY_REFERENCE)?
            .query_row(params![user, new.reference], rows::deposit)
            .optional()?;
        let Some(other) = taken else {
            return Ok(None);
        };
        // An operator has no key: the payment's reference is its name, and a repetition says the same of it. Users
        // choose references as well: what one of them made is not the payment that an operator saw.
        let same = new.instruction.is_some() && other.amount == new.amount;
        Ok(Some(if same && self.is_by_operator(tx, other.id)? {
            Placement::Replayed(other)
        } else {
            Placement::ReferenceTaken(other.id)
        }))
    }

    /// Its act was stored in its transaction, and acts stay.
    fn is_by_operator(&self, tx: &Tx<'_>, id: DepositId) -> rusqlite::Result<bool> {
        Ok(!self.acts.of(tx, &subject_of(id), 1)?.is_empty())
    }
}

fn subject_of(id: DepositId) -> String {
    format!("deposit:{id}")
}
