//! Deposits on PostgreSQL: accepted as orders are, a request at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::{DepositId, UserId};
use jiff::Timestamp;
use storage::postgres::{Numeric, Tx, TxError, text};
use storage::{StoreError, in_transaction};
use tokio_postgres::Row;

use super::accept::{Ear, announce_later, storable};
use super::orders::{left_aside, sorted, times};
use super::rows::{self, deposit_columns};
use super::{LOCK_USERS, PostgresWallet, limit_of, make_due};
use crate::domain::effects::deposit_posting;
use crate::domain::{Command, Deposit};
use crate::ports::{Announce, DepositStore, NewDeposit, Placement};
use crate::store::changes::{paid, undecided_deposit};

/// As of orders: a number, whether the user is frozen, and by fingerprint, or none, the deposits of this key and of this
/// reference.
const LOOK_UP: &str = concat!(
    "SELECT nextval('wallet.deposit_ids'), frozen.user_id IS NOT NULL, keyed.*, named.*
    FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY
        AS wanted (user_id, idempotency_key, reference, place)
    LEFT JOIN wallet.freezes AS frozen ON frozen.user_id = wanted.user_id
    LEFT JOIN LATERAL (SELECT fingerprint, ",
    deposit_columns!(),
    " FROM wallet.deposits AS other
        WHERE other.user_id = wanted.user_id AND other.idempotency_key = wanted.idempotency_key LIMIT 1) AS keyed ON true
    LEFT JOIN LATERAL (SELECT ",
    deposit_columns!(),
    " FROM wallet.deposits AS other
        WHERE other.user_id = wanted.user_id AND other.reference = wanted.reference LIMIT 1) AS named ON true
    ORDER BY place"
);
/// Where the columns of the deposit of this key begin, and of this reference.
const KEYED: usize = 3;
const NAMED: usize = 12;
const INSERT: &str = "INSERT INTO wallet.deposits (deposit_id, user_id, currency, amount, reference, status,
    idempotency_key, fingerprint, next_attempt_at, created_at)
    SELECT deposit_id, user_id, currency, amount, reference, 'pending', idempotency_key, fingerprint, $8, $9
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::numeric[], $5::text[], $6::text[], $7::bytea[])
    AS new (deposit_id, user_id, currency, amount, reference, idempotency_key, fingerprint)";
/// An equality of the status would let the index of what is pending do as well as the key: a plan that is made while that is
/// small stays when it has grown.
const BOOK: &str = "UPDATE wallet.deposits SET status = 'booked', booked_at = $2 WHERE deposit_id = ANY (ARRAY (
        SELECT deposit_id FROM wallet.deposits WHERE deposit_id = ANY ($1) AND status LIKE 'pending'
        ORDER BY deposit_id FOR UPDATE))";
/// The rows come as they are after it, and when they were due in the last column.
const CLAIM: &str = concat!(
    "WITH due AS MATERIALIZED (
        SELECT deposit_id, next_attempt_at FROM wallet.deposits
        WHERE status = 'pending' AND next_attempt_at <= $1
        ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED)
    UPDATE wallet.deposits AS claimed SET tries = tries + 1,
        next_attempt_at = coalesce(($3::bigint[])[least(tries + 1, cardinality($3::bigint[]))], $1)
    WHERE deposit_id = ANY (ARRAY (SELECT deposit_id FROM due))
    RETURNING ",
    deposit_columns!(),
    ", (SELECT next_attempt_at FROM due WHERE due.deposit_id = claimed.deposit_id)"
);
const DUE: usize = 9;
const LEAVE_ASIDE: &str = "UPDATE wallet.deposits SET tries = tries - 1,
    next_attempt_at = $2 + (random() * 5000000)::bigint WHERE deposit_id = ANY ($1)";
const MAKE_DUE: &str = "WITH turn AS MATERIALIZED (
        SELECT deposit_id, next_attempt_at FROM wallet.deposits
        WHERE status = 'pending' AND next_attempt_at >= $3 ORDER BY next_attempt_at LIMIT $2),
    locked AS MATERIALIZED (
        SELECT deposit_id FROM wallet.deposits WHERE deposit_id = ANY (ARRAY (SELECT deposit_id FROM turn))
        AND status = 'pending' AND next_attempt_at > $1 ORDER BY deposit_id FOR UPDATE),
    made AS (
        UPDATE wallet.deposits SET next_attempt_at = $1 WHERE deposit_id = ANY (ARRAY (SELECT deposit_id FROM locked)))
    SELECT count(*), max(next_attempt_at) FROM turn";
const PENDING: &str = "SELECT count(*) FROM wallet.deposits WHERE status = 'pending'";

type Placed = Placement<Deposit, DepositId>;

#[async_trait]
impl DepositStore for PostgresWallet {
    async fn create_deposits(
        &self,
        now: Timestamp,
        due: Timestamp,
        mut deposits: Vec<NewDeposit>,
        announce: Announce<DepositId>,
    ) -> Result<Vec<Placed>, StoreError> {
        for deposit in &mut deposits {
            deposit.reference = text(std::mem::take(&mut deposit.reference));
            deposit.idempotency = deposit.idempotency.take().map(storable);
        }
        let ear = Arc::new(Mutex::new(announce));
        in_transaction!(self.database, tx => self.accept_deposits(&mut tx, (now, due), &deposits, &ear))
    }

    async fn book_deposits(&self, now: Timestamp, ids: Vec<DepositId>) -> Result<(), StoreError> {
        let ids: Vec<i64> = ids.into_iter().map(DepositId::get).collect();
        self.database.query(BOOK, &[&ids, &now.as_microsecond()]).await?;
        Ok(())
    }

    async fn claim_due(&self, now: Timestamp, limit: usize, pauses: Vec<Duration>) -> Result<Vec<Deposit>, StoreError> {
        in_transaction!(self.database, tx => claim(&mut tx, now, limit, &pauses))
    }

    async fn make_due(&self, now: Timestamp) -> Result<u64, StoreError> {
        make_due(&self.database, MAKE_DUE, PENDING, now.as_microsecond()).await
    }
}

impl PostgresWallet {
    async fn accept_deposits(
        &self,
        tx: &mut Tx,
        (now, due): (Timestamp, Timestamp),
        deposits: &[NewDeposit],
        ear: &Ear<DepositId>,
    ) -> Result<Vec<Placed>, TxError> {
        let found = look_up(tx, deposits).await?;
        let (mut batch, mut placements) = (Batch::default(), Vec::with_capacity(deposits.len()));
        for (new, row) in deposits.iter().zip(&found) {
            let known = Known::read(row)?;
            let placement = match self.before_it(tx, &batch, new, &known).await? {
                Some(refused_or_known) => refused_or_known,
                None => Placement::Created(batch.add(paid(known.number, now, new), new)),
            };
            placements.push(placement);
        }
        let undecided = placements.iter().enumerate();
        let undecided = undecided.filter_map(|(index, placement)| undecided_deposit(placement, index));
        announce_later(tx, ear, undecided.collect());
        for (deposit, new) in &batch.deposits {
            let command = Command::Post(deposit_posting(deposit));
            self.outbox.put(tx, now, command.destination(), command.to_json()?);
            if let Some(instruction) = &new.instruction {
                let act = ("deposit", subject_of(deposit.id));
                self.acts.record(tx, now, act, instruction, None, None);
            }
        }
        batch.write(tx, now, due);
        Ok(placements)
    }

    /// What a freeze, or an earlier deposit, makes of this one.
    async fn before_it(
        &self,
        tx: &mut Tx,
        batch: &Batch<'_>,
        new: &NewDeposit,
        known: &Known,
    ) -> Result<Option<Placed>, TxError> {
        if new.instruction.is_none() && known.frozen {
            return Ok(Some(Placement::Frozen));
        }
        if let Some(request) = &new.idempotency
            && let Some((fingerprint, deposit)) = known.keyed.clone().or_else(|| batch.keyed(new.user_id, &request.key))
        {
            return Ok(Some(if fingerprint == request.fingerprint {
                Placement::Replayed(deposit)
            } else {
                Placement::KeyReused
            }));
        }
        let just_now = batch.named(new.user_id, &new.reference);
        let (other, by_operator) = match (&known.named, just_now) {
            // Its act was stored in its transaction, and acts stay.
            (Some(other), _) if is_repetition(new, other) => {
                let acts = self.acts.of(tx, &subject_of(other.id), 1).await?;
                (other, !acts.is_empty())
            }
            (Some(other), _) => (other, false),
            (None, Some((other, first))) => (other, first.instruction.is_some()),
            (None, None) => return Ok(None),
        };
        Ok(Some(if by_operator && is_repetition(new, other) {
            Placement::Replayed(other.clone())
        } else {
            Placement::ReferenceTaken(other.id)
        }))
    }
}

/// An operator has no key: the payment's reference is its name, and a repetition says the same of it. Users choose
/// references as well: what one of them made is not the payment that an operator saw.
fn is_repetition(new: &NewDeposit, other: &Deposit) -> bool {
    new.instruction.is_some() && other.amount == new.amount
}

/// Locks the users, and looks up what is known about each deposit that is wanted.
async fn look_up(tx: &mut Tx, deposits: &[NewDeposit]) -> Result<Vec<Row>, TxError> {
    let users: Vec<i64> = deposits.iter().map(|new| new.user_id.get()).collect();
    let requests = deposits.iter().map(|new| new.idempotency.as_ref());
    let keys: Vec<Option<&str>> = requests.map(|known| known.map(|known| known.key.as_str())).collect();
    let references: Vec<&str> = deposits.iter().map(|new| new.reference.as_str()).collect();
    tx.query(LOCK_USERS, &[&users]).await?;
    tx.query(LOOK_UP, &[&users, &keys, &references]).await
}

/// The deposits that a batch has accepted so far, by what may not be there twice.
#[derive(Default)]
struct Batch<'a> {
    deposits: Vec<(Deposit, &'a NewDeposit)>,
    by_key: HashMap<(UserId, &'a str), usize>,
    by_reference: HashMap<(UserId, &'a str), usize>,
}

impl<'a> Batch<'a> {
    fn add(&mut self, deposit: Deposit, new: &'a NewDeposit) -> Deposit {
        let place = self.deposits.len();
        if let Some(request) = &new.idempotency {
            self.by_key.insert((new.user_id, &request.key), place);
        }
        self.by_reference.insert((new.user_id, &new.reference), place);
        self.deposits.push((deposit.clone(), new));
        deposit
    }

    fn keyed(&self, user: UserId, key: &str) -> Option<([u8; 32], Deposit)> {
        let (deposit, new) = &self.deposits[*self.by_key.get(&(user, key))?];
        Some((new.idempotency.as_ref()?.fingerprint, deposit.clone()))
    }

    fn named(&self, user: UserId, reference: &str) -> Option<&(Deposit, &'a NewDeposit)> {
        Some(&self.deposits[*self.by_reference.get(&(user, reference))?])
    }

    fn write(&self, tx: &mut Tx, now: Timestamp, due: Timestamp) {
        let count = self.deposits.len() as u64;
        if count == 0 {
            return;
        }
        let deposits = || self.deposits.iter().map(|(deposit, _)| deposit);
        let requests = || self.deposits.iter().map(|(_, new)| new.idempotency.as_ref());
        let numbers = |number: fn(&Deposit) -> i64| -> Vec<i64> { deposits().map(number).collect() };
        let units = |deposit: &Deposit| Numeric(deposit.amount.units());
        let keys = requests().map(|known| known.map(|known| known.key.clone()));
        let fingerprints = requests().map(|known| known.map(|known| known.fingerprint.to_vec()));
        tx.write(
            INSERT,
            vec![
                Box::new(numbers(|deposit| deposit.id.get())),
                Box::new(numbers(|deposit| deposit.user_id.get())),
                Box::new(
                    deposits()
                        .map(|deposit| deposit.amount.asset().code())
                        .collect::<Vec<_>>(),
                ),
                Box::new(deposits().map(units).collect::<Vec<_>>()),
                Box::new(deposits().map(|deposit| deposit.reference.clone()).collect::<Vec<_>>()),
                Box::new(keys.collect::<Vec<_>>()),
                Box::new(fingerprints.collect::<Vec<_>>()),
                Box::new(due.as_microsecond()),
                Box::new(now.as_microsecond()),
            ],
            Some(count),
        );
    }
}

/// What is known about a deposit that is wanted.
struct Known {
    number: DepositId,
    frozen: bool,
    keyed: Option<([u8; 32], Deposit)>,
    named: Option<Deposit>,
}

impl Known {
    fn read(row: &Row) -> Result<Self, TxError> {
        let fingerprint: Option<&[u8]> = row.try_get(KEYED - 1)?;
        let keyed = match fingerprint {
            None => None,
            Some(bytes) => Some((bytes.try_into().map_err(rows::bad)?, rows::deposit(row, KEYED)?)),
        };
        let named: Option<i64> = row.try_get(NAMED)?;
        Ok(Self {
            number: DepositId::try_new(row.try_get(0)?).map_err(rows::bad)?,
            frozen: row.try_get(1)?,
            keyed,
            named: named.map(|_| rows::deposit(row, NAMED)).transpose()?,
        })
    }
}

async fn claim(tx: &mut Tx, now: Timestamp, limit: usize, pauses: &[Duration]) -> Result<Vec<Deposit>, TxError> {
    let found = tx
        .query(CLAIM, &[&now.as_microsecond(), &limit_of(limit), &times(now, pauses)])
        .await?;
    let due = |row: &Row| Ok((row.try_get(DUE)?, rows::deposit(row, 0)));
    let (deposits, unreadable) = sorted(&found, due)?;
    if !unreadable.is_empty() {
        tx.write(LEAVE_ASIDE, left_aside(now, unreadable), None);
    }
    Ok(deposits)
}

fn subject_of(id: DepositId) -> String {
    format!("deposit:{id}")
}
