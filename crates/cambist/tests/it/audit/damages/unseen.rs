//! Damages that leave every sum right: only what an order must have moved, and between whom, tells that they are some.

use super::{Damage, account, btc, damage, theft, usd};

/// Books a leg of an order without a thought for balances.
fn leg(order: i64, leg: i64, debit: &str, credit: &str, amount: &str) -> String {
    format!(
        "INSERT INTO balance_transfers (origin_kind, origin_id, leg, debit_account, credit_account, amount,
             debit_balance_after, credit_balance_after, reason, actor, posted_at)
         VALUES ('order', {order}, {leg}, {debit}, {credit}, {amount}, {amount}, {amount}, 'r', 'wallet', 1);"
    )
}

pub(super) fn unseen() -> Vec<Damage> {
    vec![
        damage(
            "a part of what an order in flight holds was given away",
            theft("order", 5, 50),
            &[
                (
                    "order 5",
                    "is exchanging and should have moved user:2 -30 USD, hot_wallet +30 USD; it moved user:2 -25 USD, \
                     hot_wallet +25 USD",
                ),
                (
                    "hot wallet",
                    "holds 1025 USD; funding, corrections and orders in flight come to 1030 USD",
                ),
            ],
        ),
        damage(
            "an order in flight paid for nothing",
            leg(
                5,
                20,
                &account("hot_wallet", "USD"),
                &account("venue:sim", "USD"),
                &usd("30"),
            ),
            &[
                ("order 5", "has a trade in which nothing was filled"),
                ("order 5", "it moved user:2 -30 USD"),
            ],
        ),
        damage(
            "what the venue was paid went to the house",
            format!(
                "UPDATE balance_transfers SET credit_account = {} WHERE origin_kind = 'order' AND origin_id = 1
                 AND leg = 20",
                account("treasury", "USD")
            ),
            &[("order 1", "has a leg trade_pay from hot_wallet to treasury")],
        ),
        damage(
            "a withdrawal was taken back for which nobody asked",
            leg(
                1,
                31,
                &account("user:2", "BTC"),
                &account("hot_wallet", "BTC"),
                &btc("3"),
            ),
            &[(
                "order 1",
                "is completed and should have moved user:2 +3 BTC, user:2 -30 USD; it moved user:2 -30 USD, hot_wallet \
                 +3 BTC",
            )],
        ),
        damage(
            "a step on the chain died and was made illegible",
            "UPDATE bc_gateway_commands SET state = 'dead', result = NULL, content = 'it was like this'
             WHERE order_id = 1",
            &[("order 1", "has a withdraw that cannot be read, its command:")],
        ),
        damage(
            "coins left an address at which none had arrived",
            "UPDATE bc_gateway_transfers SET from_user = 3 WHERE order_id = 1",
            &[("address of user 3", "has sent more than it ever got: -3 BTC")],
        ),
    ]
}
