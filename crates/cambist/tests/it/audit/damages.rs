//! What somebody might do to a database, and what the audit has to say of it.

mod deposits;
mod unseen;

use contracts::{Amount, Asset};

/// A damage to the database of [`super::sound_database`].
pub(super) struct Damage {
    pub(super) what: &'static str,
    pub(super) sql: String,
    /// Subjects and parts of what is said of them; there may be more.
    pub(super) expected: Vec<(&'static str, &'static str)>,
}

fn damage(what: &'static str, sql: impl Into<String>, expected: &[(&'static str, &'static str)]) -> Damage {
    Damage {
        what,
        sql: sql.into(),
        expected: expected.to_vec(),
    }
}

/// An amount as the books store it: sixteen bytes of atomic units, ordered as the numbers are.
fn units(text: &str, asset: Asset) -> String {
    let units = Amount::parse(text, asset).unwrap().units();
    format!("x'{:032x}'", units.cast_unsigned() ^ (1 << 127))
}

fn usd(text: &str) -> String {
    units(text, Asset::USD)
}

fn btc(text: &str) -> String {
    units(text, Asset::BTC)
}

fn account(owner: &str, asset: &str) -> String {
    format!("(SELECT id FROM balance_accounts WHERE owner = '{owner}' AND asset = '{asset}')")
}

/// Moves money of the hot wallet to user 2 so that every balance fits: the work of somebody who knows the books.
fn theft(origin: &str, id: i64, leg: i64) -> String {
    let (hot, user) = (account("hot_wallet", "USD"), account("user:2", "USD"));
    let (hot_after, user_after) = (usd("1025"), usd("560.01"));
    format!(
        "INSERT INTO balance_transfers (origin_kind, origin_id, leg, debit_account, credit_account, amount,
             debit_balance_after, credit_balance_after, reason, actor, posted_at)
         VALUES ('{origin}', {id}, {leg}, {hot}, {user}, {amount}, {hot_after}, {user_after}, 'r', 'wallet', 1);
         UPDATE balance_accounts SET balance = {hot_after} WHERE id = {hot};
         UPDATE balance_accounts SET balance = {user_after} WHERE id = {user};",
        amount = usd("5"),
    )
}

/// Damages after which a row cannot even be read; expected is what is said of that.
pub(super) fn unreadable() -> Vec<Damage> {
    vec![
        damage(
            "an account went to nobody",
            "UPDATE balance_accounts SET owner = 'somebody' WHERE owner = 'user:2' AND asset = 'USD'",
            &[("database", "an account's owner is user:<id>, hot_wallet")],
        ),
        damage(
            "an order has a state that there is none",
            "UPDATE wallet_orders SET state = 'paid' WHERE order_id = 1",
            &[("database", "not a state of an order")],
        ),
        damage(
            "an entry of a log was made illegible",
            "UPDATE wallet_order_events SET event = 'it was like this' WHERE order_id = 1 AND seq = 2",
            &[("database", "cannot be audited")],
        ),
        damage(
            "a migration was taken back",
            "DELETE FROM schema_migrations WHERE service = 'wallet' AND number = 2",
            &[("database", "the schema of wallet lacks migration 2")],
        ),
        damage(
            "a migration was applied that nobody knows",
            "INSERT INTO schema_migrations (service, number, name, checksum, applied_at)
             VALUES ('balance', 99, 'later', 'x', 0)",
            &[("database", "which this program does not know")],
        ),
    ]
}

pub(super) fn damages() -> Vec<Damage> {
    let mut all = of_balances();
    all.extend(of_transfers());
    all.extend(of_thefts());
    all.extend(of_orders());
    all.extend(of_logs());
    all.extend(deposits::of_deposits());
    all.extend(unseen::unseen());
    all
}

fn of_balances() -> Vec<Damage> {
    vec![
        damage(
            "a user made themselves rich",
            format!(
                "UPDATE balance_accounts SET balance = {} WHERE owner = 'user:2' AND asset = 'USD'",
                usd("10000")
            ),
            &[
                (
                    "books",
                    "user:2 USD: the balance is 1000000 units, its transfers add up to 55501",
                ),
                ("books", "the balances of USD do not add up to zero"),
            ],
        ),
        damage(
            "the hot wallet was emptied",
            format!(
                "UPDATE balance_accounts SET balance = {} WHERE owner = 'hot_wallet' AND asset = 'BTC'",
                btc("0")
            ),
            &[
                ("books", "hot_wallet BTC: the balance is 0 units"),
                (
                    "hot wallet",
                    "holds 0 BTC; funding, corrections and orders in flight come to 1000 BTC",
                ),
            ],
        ),
        damage(
            "two balances were swapped, so that the sum is right",
            format!(
                "UPDATE balance_accounts SET balance = {} WHERE owner = 'user:2' AND asset = 'USD';
                 UPDATE balance_accounts SET balance = {} WHERE owner = 'hot_wallet' AND asset = 'USD';",
                usd("1030"),
                usd("555.01")
            ),
            &[
                ("books", "user:2 USD: the balance is 103000 units"),
                ("hot wallet", "holds 555.01 USD"),
            ],
        ),
        damage(
            "an account went to somebody without a wallet",
            "DELETE FROM balance_wallets WHERE user_id = 2",
            &[("books", "its user has no wallet")],
        ),
    ]
}

fn of_transfers() -> Vec<Damage> {
    vec![
        damage(
            "the hold of a completed order was deleted",
            "DELETE FROM balance_transfers WHERE origin_kind = 'order' AND origin_id = 1 AND leg = 10",
            &[
                ("order 1", "says that it holds money, and none is booked"),
                ("order 1", "is completed and should have moved"),
                ("books", "user:2 USD: the balance is"),
            ],
        ),
        damage(
            "the withdrawal of a completed order was deleted",
            "DELETE FROM balance_transfers WHERE origin_kind = 'order' AND origin_id = 1 AND leg = 30",
            &[
                ("order 1", "is completed and should have moved"),
                ("books", "user:2 BTC"),
            ],
        ),
        damage(
            "the release of a failed order was deleted",
            "DELETE FROM balance_transfers WHERE origin_kind = 'order' AND origin_id = 3 AND leg = 50",
            &[
                ("order 3", "is failed and should have moved nothing"),
                ("books", "hot_wallet USD"),
            ],
        ),
        damage(
            "what a sell brought was raised",
            format!(
                "UPDATE balance_transfers SET amount = {} WHERE origin_kind = 'order' AND origin_id = 2 AND leg = 21",
                usd("99")
            ),
            &[
                (
                    "order 2",
                    "is completed and should have moved user:2 -1.5 BTC, user:2 +15 USD; it moved",
                ),
                ("books", "does not follow from the one before"),
            ],
        ),
        damage(
            "a transfer went to another account",
            format!(
                "UPDATE balance_transfers SET credit_account = {} WHERE origin_kind = 'order' AND origin_id = 2
                 AND leg = 21",
                account("treasury", "USD")
            ),
            &[
                ("order 2", "is completed and should have moved"),
                ("books", "treasury USD"),
            ],
        ),
    ]
}

fn of_thefts() -> Vec<Damage> {
    vec![
        damage(
            "money was moved for an order that does not exist",
            theft("order", 99, 50),
            &[
                ("order 99", "has bookings, but there is no such order"),
                (
                    "hot wallet",
                    "holds 1025 USD; funding, corrections and orders in flight come to 1030 USD",
                ),
            ],
        ),
        damage(
            "money was released a second time",
            theft("order", 2, 50),
            &[
                ("order 2", "is completed and should have moved"),
                ("order 2", "hot_wallet -5 USD"),
            ],
        ),
        damage(
            "money was released to an order that was refused",
            theft("order", 4, 50),
            &[
                ("order 4", "is failed and should have moved nothing"),
                ("order 4", "has bookings without a hold"),
            ],
        ),
        damage(
            "a deposit was booked from the hot wallet",
            theft("deposit", 7, 1),
            &[("deposit 7", "is booked, but there is no such deposit")],
        ),
        damage(
            "a correction was booked that nobody made",
            theft("adjustment", 9, 4),
            &[("books", "it belongs to an adjustment that is not there")],
        ),
        damage(
            "a correction was made to look as if it had no effect",
            "DELETE FROM balance_transfers WHERE origin_kind = 'adjustment'",
            &[("books", "adjustment 1 has no transfers")],
        ),
        damage(
            "a hold that is booked was declared refused",
            format!(
                "INSERT INTO balance_refusals (origin_kind, origin_id, leg, debit, credit, asset, amount, reason, actor,
                 refused_at) VALUES ('order', 1, 10, 'user:2', 'hot_wallet', 'USD', {}, 'r', 'wallet', 1)",
                usd("30")
            ),
            &[("books", "the hold of order 1 was refused for good and is booked")],
        ),
    ]
}

fn of_orders() -> Vec<Damage> {
    vec![
        damage(
            "a failed order was declared completed",
            "UPDATE wallet_orders SET state = 'completed' WHERE order_id = 3",
            &[
                ("order 3", "is completed, but its log leads to failed"),
                ("order 3", "is completed without a trade"),
            ],
        ),
        damage(
            "a completed order was declared failed",
            "UPDATE wallet_orders SET state = 'failed' WHERE order_id = 1",
            &[
                ("order 1", "is failed, but its log leads to completed"),
                (
                    "order 1",
                    "is failed and should have moved nothing; it moved user:2 +3 BTC, user:2 -30 USD",
                ),
            ],
        ),
        damage(
            "an order that had ended was opened again",
            "UPDATE wallet_orders SET state = 'exchanging' WHERE order_id = 3",
            &[("order 3", "is exchanging, but its log leads to failed")],
        ),
        damage(
            "an order was filled with more than was bought",
            format!("UPDATE wallet_orders SET filled = {} WHERE order_id = 1", btc("4")),
            &[
                ("order 1", "is not what its log leads to"),
                ("order 1", "is completed and should have moved user:2 +4 BTC"),
            ],
        ),
        damage(
            "an order holds more than was ordered",
            format!("UPDATE wallet_orders SET requested = {} WHERE order_id = 5", usd("300")),
            &[
                ("order 5", "holds 30, not what was ordered"),
                ("order 5", "is not what its log leads to"),
            ],
        ),
        damage(
            "an order went to another user",
            "UPDATE wallet_orders SET user_id = 3 WHERE order_id = 1",
            &[("order 1", "moved money of user:2, whose order it is not")],
        ),
        damage(
            "an order was deleted with its log",
            "DELETE FROM wallet_order_events WHERE order_id = 2; DELETE FROM wallet_orders WHERE order_id = 2;",
            &[("order 2", "has bookings, but there is no such order")],
        ),
        damage(
            "the last order was deleted, which is still in flight",
            "DELETE FROM wallet_order_events WHERE order_id = 5; DELETE FROM wallet_orders WHERE order_id = 5;",
            &[
                ("order 5", "has bookings, but there is no such order"),
                (
                    "hot wallet",
                    "holds 1030 USD; funding, corrections and orders in flight come to 1000 USD",
                ),
            ],
        ),
    ]
}

fn of_logs() -> Vec<Damage> {
    vec![
        damage(
            "an entry of a log was deleted",
            "DELETE FROM wallet_order_events WHERE order_id = 1 AND seq = 3",
            &[(
                "order 1",
                "has a log that explains nothing: entry 4 stands where 3 is due",
            )],
        ),
        damage(
            "the last entry of a log was deleted",
            "DELETE FROM wallet_order_events WHERE order_id = 1 AND seq = 4",
            &[("order 1", "is completed, but its log leads to withdrawing")],
        ),
        damage(
            "a whole log was deleted",
            "DELETE FROM wallet_order_events WHERE order_id = 1",
            &[("order 1", "has a log that explains nothing: the log is empty")],
        ),
        damage(
            "an entry names another state",
            "UPDATE wallet_order_events SET to_state = 'failed' WHERE order_id = 1 AND seq = 4",
            &[(
                "order 1",
                "has a log that explains nothing: entry 4 leads to completed, not to failed",
            )],
        ),
        damage(
            "an entry was made to tell of a better trade",
            "UPDATE wallet_order_events SET event = replace(event, '\"amount\":\"3\"', '\"amount\":\"2\"')
             WHERE order_id = 1 AND seq = 3",
            &[("order 1", "is not what its log leads to")],
        ),
        damage(
            "an entry was added after the end",
            "INSERT INTO wallet_order_events (order_id, seq, time, from_state, to_state, event, cause, actor)
             VALUES (1, 5, 1, 'completed', 'completed', '{\"fact\":\"released\"}', 'c', 'balance')",
            &[(
                "order 1",
                "has a log that explains nothing: entry 5 is no edge of the table",
            )],
        ),
        damage(
            "an order was smuggled in without a log",
            format!(
                "INSERT INTO wallet_orders (order_id, user_id, side, asset, currency, requested, definition, state,
                 revision, held, next_attempt_at, created_at, updated_at)
                 VALUES (6, 3, 'buy', 'BTC', 'USD', {}, 1, 'exchanging', 1, true, 0, 0, 0)",
                usd("5")
            ),
            &[
                ("order 6", "the log is empty"),
                ("order 6", "says that it holds money, and none is booked"),
            ],
        ),
    ]
}
