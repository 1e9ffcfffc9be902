//! What whoever watches is told of the books: the same of both databases.

use std::sync::Arc;

use balance::ports::LedgerStore;
use contracts::{ManualClock, UserId};
use service_kit::metrics::{Registry, Survey};

use crate::given::{at, btc, fresh_books, hold, pay_in, usd, user};

/// A user with 600 dollars of which 30 are held, and 2 bitcoin.
async fn told(ledger: &dyn LedgerStore, survey: Arc<dyn Survey>) -> Vec<String> {
    for id in [user(2), UserId::HOT_WALLET] {
        ledger.open_wallet(at(1), id).await.unwrap();
    }
    let postings = vec![pay_in(1, 2, usd("600")), pay_in(2, 2, btc("2")), hold(1, 2, usd("30"))];
    ledger.post(at(2), postings).await.unwrap();
    let mut registry = Registry::new();
    registry.survey(survey);
    let text = registry
        .into_scrape(Arc::new(ManualClock::new(at(3))))
        .text()
        .await
        .unwrap();
    let of_the_ledger = |line: &&str| line.starts_with("cambist_ledger_") || line.starts_with("cambist_asset_");
    text.lines().filter(of_the_ledger).map(str::to_owned).collect()
}

#[tokio::test]
async fn both_databases_tell_whose_the_money_is_and_that_it_adds_up() {
    let file = fresh_books();
    let told_by_file = told(&*file.ledger, Arc::clone(&file.survey)).await;
    for expected in [
        r#"cambist_ledger_balance_atomic_units{asset="USD",class="users"} 57000"#,
        r#"cambist_ledger_balance_atomic_units{asset="USD",class="hot_wallet"} 3000"#,
        r#"cambist_ledger_balance_atomic_units{asset="USD",class="bank"} -60000"#,
        r#"cambist_ledger_balance_atomic_units{asset="BTC",class="users"} 200000000"#,
        r#"cambist_ledger_imbalance_atomic_units{asset="USD"} 0"#,
        "cambist_ledger_unreadable_accounts 0",
    ] {
        assert!(
            told_by_file.iter().any(|line| line == expected),
            "{expected}: {told_by_file:#?}"
        );
    }
    let server = crate::given::postgres::fresh_books().await;
    assert_eq!(told(&*server.ledger, Arc::clone(&server.survey)).await, told_by_file);
}
