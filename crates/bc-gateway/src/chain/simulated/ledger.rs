//! The simulated chain's tables: coins, nonces and transfers, and the statements on them. Coins are made here, at the
//! genesis; what moves them is in [`super::block`].

use contracts::{Amount, Asset};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use storage::sqlite::{AmountBlob, bad_column, micros};

/// The chain's tables, in its own file.
pub(super) const SCHEMA: &str = "
CREATE TABLE chain_coins (
    address TEXT NOT NULL,
    asset TEXT NOT NULL,
    coins BLOB NOT NULL,
    PRIMARY KEY (address, asset)
) STRICT, WITHOUT ROWID;
CREATE TABLE chain_genesis (
    asset TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
CREATE TABLE chain_nonces (
    address TEXT NOT NULL PRIMARY KEY,
    next_nonce INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- 'shallow': in a block that the next look at it will find gone.
CREATE TABLE chain_transfers (
    hash TEXT NOT NULL PRIMARY KEY,
    sender TEXT NOT NULL,
    nonce INTEGER NOT NULL,
    recipient TEXT NOT NULL,
    asset TEXT NOT NULL,
    amount BLOB NOT NULL,
    memo TEXT NOT NULL,
    ready_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'shallow', 'confirmed'))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX chain_transfers_nonce ON chain_transfers (sender, nonce);
CREATE INDEX chain_transfers_memo ON chain_transfers (memo);
CREATE TABLE chain_broadcasts (
    hash TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";

/// `CHECK (state IN (…))` builds a temporary tree at every write; comparisons say the same. SQLite's documentation ("ALTER
/// TABLE", section 8) names this way of changing a check.
pub(super) const CHEAPER_CHECKS: &str = "
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (state IN (''pending'', ''shallow'', ''confirmed''))',
    'CHECK (state = ''pending'' OR state = ''shallow'' OR state = ''confirmed'')')
    WHERE type = 'table' AND name = 'chain_transfers';
PRAGMA writable_schema = RESET;
";

/// Transfers lie in the order of their nonces, so that those of a block lie together; only the index of their hashes is
/// written all over. None by memo: nobody asks for that but people.
pub(super) const BY_NONCE: &str = "
CREATE TABLE chain_transfers_by_nonce (
    sender TEXT NOT NULL,
    nonce INTEGER NOT NULL,
    hash TEXT NOT NULL,
    recipient TEXT NOT NULL,
    asset TEXT NOT NULL,
    amount BLOB NOT NULL,
    memo TEXT NOT NULL,
    ready_at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state = 'confirmed' OR state = 'pending' OR state = 'shallow'),
    PRIMARY KEY (sender, nonce)
) STRICT, WITHOUT ROWID;
INSERT INTO chain_transfers_by_nonce
    SELECT sender, nonce, hash, recipient, asset, amount, memo, ready_at, state FROM chain_transfers;
DROP TABLE chain_transfers;
ALTER TABLE chain_transfers_by_nonce RENAME TO chain_transfers;
CREATE UNIQUE INDEX chain_transfers_hash ON chain_transfers (hash);
CREATE INDEX chain_transfers_pending ON chain_transfers (sender) WHERE state = 'pending';
";

/// A transfer as it came in.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) hash: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) amount: Amount,
    pub(super) nonce: u64,
    pub(super) memo: String,
}

/// The coins of one asset at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The address.
    pub address: String,
    /// Its confirmed coins.
    pub coins: Amount,
}

/// Where a transfer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Pending,
    Shallow,
    Confirmed,
}

impl Standing {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Shallow => "shallow",
            Self::Confirmed => "confirmed",
        }
    }
}

/// A transfer that only waits for its coins.
pub(super) struct Due {
    pub(super) hash: String,
    pub(super) recipient: String,
    pub(super) amount: Amount,
}

/// All accounts, by address and asset, from a connection to the chain's file.
///
/// # Errors
/// What SQLite says, or a row that this program cannot have written.
pub fn accounts(connection: &Connection) -> rusqlite::Result<Vec<Account>> {
    connection
        .prepare_cached("SELECT asset, coins, address FROM chain_coins ORDER BY address, asset")?
        .query_map((), |row| {
            Ok(Account {
                coins: to_amount(row, 0, 1)?,
                address: row.get(2)?,
            })
        })?
        .collect()
}

/// Makes the first coins of an asset, unless they were made before.
pub(super) fn create(tx: &Connection, address: &str, made: Amount) -> rusqlite::Result<()> {
    let first = tx
        .prepare_cached("INSERT INTO chain_genesis (asset) VALUES (?) ON CONFLICT DO NOTHING")?
        .execute([made.asset().code()])?;
    if first == 1 {
        set_coins(tx, address, made)
    } else {
        Ok(())
    }
}

/// The confirmed coins at an address.
pub(super) fn coins(connection: &Connection, address: &str, asset: Asset) -> rusqlite::Result<Amount> {
    let units = connection
        .prepare_cached("SELECT coins FROM chain_coins WHERE address = ? AND asset = ?")?
        .query_row(params![address, asset.code()], |row| row.get::<_, AmountBlob>(0))
        .optional()?
        .map_or(0, |AmountBlob(units)| units);
    Ok(Amount::new(units, asset))
}

pub(super) fn set_coins(tx: &Connection, address: &str, coins: Amount) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO chain_coins (address, asset, coins) VALUES (?1, ?2, ?3)
         ON CONFLICT (address, asset) DO UPDATE SET coins = excluded.coins",
    )?
    .execute(params![address, coins.asset().code(), AmountBlob(coins.units())])?;
    Ok(())
}

/// The nonce of the transfer that is confirmed next.
pub(super) fn next_nonce(connection: &Connection, address: &str) -> rusqlite::Result<u64> {
    let next = connection
        .prepare_cached("SELECT next_nonce FROM chain_nonces WHERE address = ?")?
        .query_row([address], |row| to_nonce(row, 0))
        .optional()?;
    Ok(next.unwrap_or(0))
}

pub(super) fn set_next_nonce(tx: &Connection, address: &str, next: u64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO chain_nonces (address, next_nonce) VALUES (?1, ?2)
         ON CONFLICT (address) DO UPDATE SET next_nonce = excluded.next_nonce",
    )?
    .execute(params![address, next.cast_signed()])?;
    Ok(())
}

/// The first nonce that no transfer uses, not even one that waits.
pub(super) fn first_free_nonce(connection: &Connection, address: &str) -> rusqlite::Result<u64> {
    let highest = connection
        .prepare_cached("SELECT nonce FROM chain_transfers WHERE sender = ? ORDER BY nonce DESC LIMIT 1")?
        .query_row([address], |row| to_nonce(row, 0))
        .optional()?;
    Ok(next_nonce(connection, address)?.max(highest.map_or(0, |nonce| nonce + 1)))
}

/// The hash of the transfer that has this nonce.
pub(super) fn holder_of_nonce(tx: &Connection, sender: &str, nonce: u64) -> rusqlite::Result<Option<String>> {
    tx.prepare_cached("SELECT hash FROM chain_transfers WHERE sender = ? AND nonce = ?")?
        .query_row(params![sender, nonce.cast_signed()], |row| row.get(0))
        .optional()
}

/// How many broadcasts of these bytes have left nothing behind: got lost, or were in a block that is gone.
pub(super) fn vain_broadcasts(tx: &Connection, hash: &str) -> rusqlite::Result<u32> {
    let number = tx
        .prepare_cached("SELECT number FROM chain_broadcasts WHERE hash = ?")?
        .query_row([hash], |row| row.get(0))
        .optional()?;
    Ok(number.unwrap_or(0))
}

/// Counts one more of them. Those that last need no count: a second broadcast finds the transfer.
pub(super) fn count_vain_broadcast(tx: &Connection, hash: &str) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO chain_broadcasts (hash, number) VALUES (?, 1) ON CONFLICT (hash) DO UPDATE SET number = number + 1",
    )?
    .execute([hash])?;
    Ok(())
}

/// Stores a transfer that no other has the nonce of.
pub(super) fn store(tx: &Connection, entry: &Entry, ready_at: Timestamp, standing: Standing) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO chain_transfers (sender, nonce, hash, recipient, asset, amount, memo, ready_at, state)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )?
    .execute(params![
        entry.from,
        entry.nonce.cast_signed(),
        entry.hash,
        entry.to,
        entry.amount.asset().code(),
        AmountBlob(entry.amount.units()),
        entry.memo,
        micros(ready_at),
        standing.as_str(),
    ])?;
    Ok(())
}

/// Whether any transfer waits, whoever's.
pub(super) fn any_waits(tx: &Connection) -> rusqlite::Result<bool> {
    tx.prepare_cached(
        "SELECT 1 FROM chain_transfers INDEXED BY chain_transfers_pending WHERE state = 'pending' LIMIT 1",
    )?
    .exists(())
}

/// The transfer that has this nonce, if it waits and its time has come.
pub(super) fn due(tx: &Connection, now: Timestamp, sender: &str, nonce: u64) -> rusqlite::Result<Option<Due>> {
    tx.prepare_cached(
        "SELECT asset, amount, recipient, hash FROM chain_transfers
         WHERE sender = ? AND nonce = ? AND state = 'pending' AND ready_at <= ?",
    )?
    .query_row(params![sender, nonce.cast_signed(), micros(now)], |row| {
        Ok(Due {
            amount: to_amount(row, 0, 1)?,
            recipient: row.get(2)?,
            hash: row.get(3)?,
        })
    })
    .optional()
}

pub(super) fn set_confirmed(tx: &Connection, sender: &str, nonce: u64) -> rusqlite::Result<()> {
    tx.prepare_cached("UPDATE chain_transfers SET state = 'confirmed' WHERE sender = ? AND nonce = ?")?
        .execute(params![sender, nonce.cast_signed()])?;
    Ok(())
}

/// Who sent the transfer with this hash.
pub(super) fn sender_of(tx: &Connection, hash: &str) -> rusqlite::Result<Option<String>> {
    tx.prepare_cached("SELECT sender FROM chain_transfers WHERE hash = ?")?
        .query_row([hash], |row| row.get(0))
        .optional()
}

/// Forgets a transfer whose block is gone.
pub(super) fn remove(tx: &Connection, hash: &str) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM chain_transfers WHERE hash = ?")?
        .execute([hash])?;
    Ok(())
}

/// Where a transfer stands; `None` when the chain does not have it.
pub(super) fn standing(connection: &Connection, hash: &str) -> rusqlite::Result<Option<Standing>> {
    connection
        .prepare_cached("SELECT state FROM chain_transfers WHERE hash = ?")?
        .query_row([hash], |row| match row.get::<_, String>(0)?.as_str() {
            "pending" => Ok(Standing::Pending),
            "shallow" => Ok(Standing::Shallow),
            "confirmed" => Ok(Standing::Confirmed),
            _ => Err(bad(0, "not a state of a transfer")),
        })
        .optional()
}

/// How many transfers with this memo are confirmed for good; looks at all there are.
pub(super) fn count_confirmed(connection: &Connection, memo: &str) -> rusqlite::Result<u64> {
    let count: i64 = connection
        .prepare_cached("SELECT count(*) FROM chain_transfers WHERE memo = ? AND state = 'confirmed'")?
        .query_row([memo], |row| row.get(0))?;
    Ok(count.unsigned_abs())
}

fn to_nonce(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|error| bad(column, error))
}

fn to_amount(row: &Row<'_>, asset: usize, units: usize) -> rusqlite::Result<Amount> {
    let asset: Asset = row
        .get::<_, String>(asset)?
        .parse()
        .map_err(|error| bad(asset, error))?;
    Ok(Amount::new(row.get::<_, AmountBlob>(units)?.0, asset))
}

fn bad(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    bad_column(column, Type::Text, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(connection: &Connection, hash: &str, state: &str) -> rusqlite::Result<usize> {
        connection.execute(
            "INSERT INTO chain_transfers (hash, sender, nonce, recipient, asset, amount, memo, ready_at, state)
             VALUES (?1, 'a', random(), 'b', 'BTC', x'00', 'memo', 0, ?2)",
            [hash, state],
        )
    }

    fn text(connection: &Connection, sql: &str) -> String {
        connection.query_row(sql, (), |row| row.get(0)).unwrap()
    }

    fn migrate(connection: &mut Connection, schema: &str) {
        let transaction = connection.transaction().unwrap();
        transaction.execute_batch(schema).unwrap();
        transaction.commit().unwrap();
        assert_eq!(text(connection, "PRAGMA integrity_check"), "ok");
    }

    #[test]
    fn every_schema_keeps_what_there_is_and_refuses_what_is_no_state() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, SCHEMA);
        insert(&connection, "0x1", "pending").unwrap();
        for (schema, hashes) in [(CHEAPER_CHECKS, ["0x2", "0x3"]), (BY_NONCE, ["0x4", "0x5"])] {
            let before = text(&connection, "SELECT count(*) || '' FROM chain_transfers");
            migrate(&mut connection, schema);
            assert_eq!(text(&connection, "SELECT count(*) || '' FROM chain_transfers"), before);
            for (hash, state) in hashes.into_iter().zip(["shallow", "confirmed"]) {
                insert(&connection, hash, state).unwrap();
            }
            for state in ["", "Pending", "gone"] {
                insert(&connection, "0x9", state).unwrap_err();
            }
            insert(&connection, "0x1", "pending").unwrap_err();
            let sql = text(
                &connection,
                "SELECT sql FROM sqlite_schema WHERE name = 'chain_transfers'",
            );
            assert!(
                sql.contains("state = 'pending' OR") && !sql.contains("state IN"),
                "{sql}"
            );
        }
        assert!(any_waits(&connection).unwrap());
        connection
            .execute("UPDATE chain_transfers SET state = 'confirmed'", ())
            .unwrap();
        assert!(!any_waits(&connection).unwrap());
    }
}
