//! Addresses and nonces inside a transaction, what is not at its end, and how this service's values lie in columns.

use contracts::clients::WithdrawCommand;
use contracts::{Amount, Asset, OrderId, UserId};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use storage::commands::State;
use storage::sqlite::{AmountBlob, bad_column, from_micros, micros};

use crate::domain::movement::Movement;
use crate::ports::{Address, Party, Unfinished};

/// The address that was assigned to `user`.
pub(super) fn address(connection: &Connection, chain: &str, user: UserId) -> rusqlite::Result<Option<Address>> {
    connection
        .prepare_cached("SELECT address FROM bc_gateway_addresses WHERE chain = ? AND user_id = ?")?
        .query_row(params![chain, user.get()], |row| {
            Address::try_new(row.get::<_, String>(0)?).map_err(|error| bad(0, error))
        })
        .optional()
}

/// Assigns the address if the user has none yet. Whether it is theirs now.
pub(super) fn assign(tx: &Connection, now: Timestamp, chain: &str, party: &Party) -> rusqlite::Result<bool> {
    if let Some(assigned) = address(tx, chain, party.user_id)? {
        return Ok(assigned == party.address);
    }
    tx.prepare_cached("INSERT INTO bc_gateway_addresses (chain, user_id, address, created_at) VALUES (?, ?, ?, ?)")?
        .execute(params![chain, party.user_id.get(), party.address.as_str(), micros(now)])?;
    Ok(true)
}

/// The next nonce of an address that was used before.
pub(super) fn next_nonce(connection: &Connection, address: &Address) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached("SELECT next_nonce FROM bc_gateway_nonces WHERE address = ?")?
        .query_row([address.as_str()], |row| number_from(row, 0))
        .optional()
}

/// The first nonce above all of a user's that are confirmed. From the greatest nonce down, so it looks at what is under
/// way and one more.
pub(super) fn confirmed_nonce(connection: &Connection, user: UserId) -> rusqlite::Result<Option<u64>> {
    connection
        .prepare_cached(
            "SELECT t.nonce + 1 FROM bc_gateway_transfers t CROSS JOIN bc_gateway_commands c USING (order_id, step)
             WHERE t.from_user = ? AND c.state = 'done' ORDER BY t.nonce DESC LIMIT 1",
        )?
        .query_row([user.get()], |row| number_from(row, 0))
        .optional()
}

/// The commands that are not at their end, by two indexes: those that are would be looked at otherwise. Of each kind no more
/// than a page is kept while they are looked through; an order of its own in an index would cost every command a write.
pub(super) fn unfinished(connection: &Connection, after: i64, limit: i64) -> rusqlite::Result<Vec<Unfinished>> {
    connection
        .prepare_cached(
            "SELECT rowid, order_id, step, content, state, tries, last_reason, answer_missing_since, created_at
             FROM bc_gateway_commands WHERE rowid IN
             (SELECT * FROM (SELECT rowid FROM bc_gateway_commands INDEXED BY bc_gateway_commands_due
                             WHERE state = 'open' AND rowid > ?1 ORDER BY rowid LIMIT ?2)
              UNION ALL
              SELECT * FROM (SELECT rowid FROM bc_gateway_commands INDEXED BY bc_gateway_commands_dead
                             WHERE state = 'dead' AND rowid > ?1 ORDER BY rowid LIMIT ?2))
             ORDER BY rowid LIMIT ?2",
        )?
        .query_map([after, limit], to_unfinished)?
        .collect()
}

fn to_unfinished(row: &Row<'_>) -> rusqlite::Result<Unfinished> {
    // Content that is no command is why a command is dead: it must not hide the others.
    let command: Option<WithdrawCommand> = serde_json::from_str(&row.get::<_, String>(3)?).ok();
    let since: Option<i64> = row.get(7)?;
    Ok(Unfinished {
        number: row.get(0)?,
        order_id: OrderId::try_new(row.get(1)?).map_err(|error| bad(1, error))?,
        step: row.get::<_, String>(2)?.parse().map_err(|error| bad(2, error))?,
        movement: command.as_ref().map(Movement::of),
        state: State::from_name(&row.get::<_, String>(4)?).ok_or_else(|| bad(4, "not a state of a command"))?,
        tries: row.get(5)?,
        last_reason: row.get(6)?,
        answer_missing_since: since.map(|since| from_micros(7, since)).transpose()?,
        created_at: from_micros(8, row.get(8)?)?,
    })
}

/// Moves an address's nonce on.
pub(super) fn set_next_nonce(tx: &Connection, address: &Address, next: u64) -> rusqlite::Result<()> {
    tx.prepare_cached(
        "INSERT INTO bc_gateway_nonces (address, next_nonce) VALUES (?1, ?2)
         ON CONFLICT (address) DO UPDATE SET next_nonce = excluded.next_nonce",
    )?
    .execute(params![address.as_str(), nonce_column(next)?])?;
    Ok(())
}

/// A nonce as a column.
pub(super) fn nonce_column(nonce: u64) -> rusqlite::Result<i64> {
    i64::try_from(nonce).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// The nonce, or another count, in a column.
pub(super) fn number_from(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|error| bad(column, error))
}

/// The user in a column.
pub(super) fn user_from(row: &Row<'_>, column: usize) -> rusqlite::Result<UserId> {
    UserId::try_new(row.get(column)?).map_err(|error| bad(column, error))
}

/// The amount in two columns: the asset's code and the units.
pub(super) fn amount(row: &Row<'_>, asset: usize, units: usize) -> rusqlite::Result<Amount> {
    let asset: Asset = row
        .get::<_, String>(asset)?
        .parse()
        .map_err(|error| bad(asset, error))?;
    Ok(Amount::new(row.get::<_, AmountBlob>(units)?.0, asset))
}

/// A column that this program cannot have written.
pub(super) fn bad(column: usize, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    bad_column(column, Type::Blob, error)
}
