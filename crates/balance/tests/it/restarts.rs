//! What was answered is still true after the process ended and another one opened the books.

use contracts::Asset;

use crate::given::{POSTED, REPLAYED, at, btc, fresh_books, hold, insufficient, pay_in, usd, user, wallet_of};

#[tokio::test]
async fn every_answer_is_the_same_after_a_restart() {
    let given = fresh_books();
    given.ledger.open_wallet(at(0), user(2)).await.unwrap();
    let batch = || vec![hold(1, 2, usd("30")), pay_in(1, 2, usd("600")), hold(2, 2, usd("30"))];
    let too_little = insufficient(wallet_of(2), Asset::USD);
    let first = given.ledger.post(at(1), batch()).await.unwrap();
    assert_eq!(first, [too_little.clone(), POSTED, POSTED]);
    let given = given.restarted();
    // The money has come, but the hold that was refused stays refused, whoever asks.
    let again = given.ledger.post(at(2), batch()).await.unwrap();
    assert_eq!(again, [too_little, REPLAYED, REPLAYED]);
    let wallet = given.ledger.wallet(user(2)).await.unwrap().unwrap();
    assert_eq!(wallet.balances, [btc("0"), usd("570")]);
    let lines = given.ledger.statement(user(2), None, 10).await.unwrap().unwrap();
    assert_eq!(lines.iter().map(|line| line.time).collect::<Vec<_>>(), [at(1), at(1)]);
    let report = given.ledger.check_books().await.unwrap();
    assert!(report.is_sound(), "{:?}", report.violations);
}
