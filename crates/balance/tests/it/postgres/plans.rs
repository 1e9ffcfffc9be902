//! Plans that were made while the tables were empty: they must do when these are full.

use balance::domain::{Adjusted, Adjustment, RequestKey};
use balance::ports::LedgerStore as _;
use balance::store::postgres::PostgresLedger;
use contracts::UserId;
use storage::postgres::Options;
use test_servers::plans::that_read_everything;

use crate::given::postgres::fresh_books;
use crate::given::{POSTED, at, hold, pay_in, usd, user};

/// Enough for a statement to have a generic plan.
const ROUNDS: i64 = 8;
const FULL: &str = "
    INSERT INTO balance.wallets (user_id, opened_at) SELECT number, 0 FROM generate_series(1000, 5000) AS number;
    INSERT INTO balance.accounts (owner, asset, balance)
    SELECT 'user:' || number, 'USD', 0 FROM generate_series(1000, 5000) AS number;
    INSERT INTO balance.transfers (origin_kind, origin_id, leg, debit_account, credit_account, amount,
        debit_balance_after, credit_balance_after, reason, actor, posted_at)
    SELECT 'order', number, 10, 1, 2, 1, 1, 1, '', '', 0 FROM generate_series(1000, 5000) AS number";

#[tokio::test]
async fn what_was_planned_while_a_table_was_empty_does_not_read_all_of_it_when_it_is_full() {
    let given = fresh_books().await;
    let one_connection = Options {
        connections: 1,
        ..Options::default()
    };
    let database = given.connected(one_connection).await;
    let ledger = PostgresLedger::new(database.clone());
    for round in 1..=ROUNDS {
        ledger.open_wallet(at(0), user(1 + round)).await.unwrap();
        let postings = vec![pay_in(round, 1 + round, usd("5")), hold(round, 1 + round, usd("3"))];
        assert_eq!(ledger.post(at(1), postings).await, Ok(vec![POSTED, POSTED]));
        let refused = vec![hold(100 + round, 1 + round, usd("3"))];
        ledger.post(at(1), refused).await.unwrap();
        ledger.wallet(user(1 + round)).await.unwrap().unwrap();
        ledger.statement(UserId::HOT_WALLET, None, 10).await.unwrap().unwrap();
        let adjustment = Adjustment {
            user: user(2),
            fiat: Some(usd("1")),
            crypto: None,
            reason: "goodwill".to_owned(),
            actor: "operator:ann".to_owned(),
            request: Some(RequestKey {
                key: format!("k{round}"),
                fingerprint: [1; 32],
            }),
        };
        let adjusted = ledger.adjust(at(2), adjustment).await.unwrap();
        assert!(matches!(adjusted, Adjusted::Booked { .. }), "{adjusted:?}");
    }
    given.owner().await.batch_execute(FULL).await.unwrap();
    let ask = async |sql: String| -> Vec<String> {
        let rows = database.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let (seen, found) = that_read_everything("balance.", ask).await;
    assert!(seen >= 10, "{seen}");
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
