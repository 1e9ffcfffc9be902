//! What every store of the books must do: one suite, written against the port, run on each adapter. Whatever a test
//! did, the books are checked after it.

macro_rules! conformance {
    ($($test:ident;)*) => {
        mod sqlite {
            use crate::given::fresh_books;

            $(#[tokio::test]
            async fn $test() {
                let given = fresh_books();
                super::$test(&*given.ledger).await;
                let report = given.ledger.check_books().await.unwrap();
                assert!(report.is_sound(), "{:?}", report.violations);
            })*
        }

        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                let given = crate::given::postgres::fresh_books().await;
                super::$test(&*given.ledger).await;
                let report = given.ledger.check_books().await.unwrap();
                assert!(report.is_sound(), "{:?}", report.violations);
            })*
        }
    };
}

mod corrections;

use balance::ports::{LedgerStore, MAX_LINES};
use contracts::clients::Opened;
use contracts::ledger::{Leg, Owner, Posting};
use contracts::{Amount, Asset, UserId};

use crate::given::{
    POSTED, REPLAYED, at, btc, conflict, deposit, eth, hold, insufficient, is_invalid, no_wallet, order, pay_in,
    transfer, usd, user, wallet_of,
};

conformance! {
    a_wallet_opens_once;
    a_wallet_shows_btc_and_usd_always_and_others_once_used;
    who_has_no_wallet_has_no_balances_and_gets_no_money;
    a_transfer_is_booked_once_however_often_it_is_sent;
    a_transfer_of_the_same_name_with_other_content_is_refused;
    a_reason_may_hold_any_character;
    a_refusal_does_not_undo_its_neighbours;
    later_postings_of_a_batch_see_the_earlier_ones;
    linked_transfers_are_booked_all_or_none;
    linked_transfers_do_not_lend_to_each_other;
    a_refused_hold_stays_refused_when_money_arrives;
    other_legs_may_succeed_later;
    the_house_accounts_may_go_below_zero;
    what_does_not_fit_128_bits_is_refused;
    a_statement_goes_from_the_newest_to_the_oldest;
    a_statement_is_bounded;
}

async fn post(ledger: &dyn LedgerStore, posting: Posting) -> contracts::ledger::PostingOutcome {
    ledger.post(at(1), vec![posting]).await.unwrap().remove(0)
}

async fn balances(ledger: &dyn LedgerStore, number: i64) -> Vec<Amount> {
    ledger.wallet(user(number)).await.unwrap().unwrap().balances
}

/// User 2 with this much.
async fn rich(ledger: &dyn LedgerStore, money: &str) {
    assert_eq!(ledger.open_wallet(at(0), user(2)).await.unwrap(), Opened::Now);
    assert_eq!(post(ledger, pay_in(900, 2, usd(money))).await, POSTED);
}

async fn a_wallet_opens_once(ledger: &dyn LedgerStore) {
    assert_eq!(ledger.open_wallet(at(0), user(2)).await.unwrap(), Opened::Now);
    assert_eq!(ledger.open_wallet(at(1), user(2)).await.unwrap(), Opened::Before);
    assert_eq!(
        ledger.open_wallet(at(1), UserId::HOT_WALLET).await.unwrap(),
        Opened::Before
    );
}

async fn a_wallet_shows_btc_and_usd_always_and_others_once_used(ledger: &dyn LedgerStore) {
    ledger.open_wallet(at(0), user(2)).await.unwrap();
    assert_eq!(balances(ledger, 2).await, [btc("0"), usd("0")]);
    assert_eq!(balances(ledger, 1).await, [btc("0"), usd("0")]);
    assert_eq!(post(ledger, pay_in(1, 2, eth("0.000000000000000001"))).await, POSTED);
    assert_eq!(post(ledger, hold(1, 2, eth("0.000000000000000001"))).await, POSTED);
    assert_eq!(balances(ledger, 2).await, [btc("0"), eth("0"), usd("0")]);
    assert_eq!(
        balances(ledger, 1).await,
        [btc("0"), eth("0.000000000000000001"), usd("0")]
    );
}

async fn who_has_no_wallet_has_no_balances_and_gets_no_money(ledger: &dyn LedgerStore) {
    assert_eq!(ledger.wallet(user(2)).await.unwrap(), None);
    assert_eq!(ledger.statement(user(2), None, 10).await.unwrap(), None);
    assert_eq!(post(ledger, pay_in(1, 2, usd("1"))).await, no_wallet(2));
    assert_eq!(post(ledger, hold(1, 2, usd("1"))).await, no_wallet(2));
    ledger.open_wallet(at(0), user(2)).await.unwrap();
    assert_eq!(post(ledger, pay_in(1, 2, usd("1"))).await, POSTED);
    // A missing wallet is not a lack of funds: the hold was not refused for good.
    assert_eq!(post(ledger, hold(1, 2, usd("1"))).await, POSTED);
}

async fn a_transfer_is_booked_once_however_often_it_is_sent(ledger: &dyn LedgerStore) {
    rich(ledger, "600").await;
    assert_eq!(post(ledger, hold(1, 2, usd("30"))).await, POSTED);
    for _ in 0..3 {
        assert_eq!(post(ledger, hold(1, 2, usd("30"))).await, REPLAYED);
    }
    assert_eq!(balances(ledger, 2).await, [btc("0"), usd("570")]);
    assert_eq!(balances(ledger, 1).await, [btc("0"), usd("30")]);
}

async fn a_transfer_of_the_same_name_with_other_content_is_refused(ledger: &dyn LedgerStore) {
    rich(ledger, "600").await;
    ledger.open_wallet(at(0), user(3)).await.unwrap();
    let first = transfer(order(1), Leg::Hold, wallet_of(2), Owner::HotWallet, usd("30"));
    assert_eq!(post(ledger, Posting::single(first.clone())).await, POSTED);
    let mut others = vec![first; 6];
    others[0].debit = wallet_of(3);
    others[1].credit = Owner::Treasury;
    others[2].amount = usd("30.01");
    others[3].amount = Amount::new(3_000, Asset::EUR);
    others[4].reason.push('.');
    others[5].actor.push('2');
    for other in others {
        assert_eq!(
            post(ledger, Posting::single(other)).await,
            conflict(order(1), Leg::Hold)
        );
    }
    assert_eq!(balances(ledger, 2).await, [btc("0"), usd("570")]);
}

async fn a_reason_may_hold_any_character(ledger: &dyn LedgerStore) {
    rich(ledger, "600").await;
    let mut odd = hold(1, 2, usd("30"));
    odd.transfers[0].reason = "NUL \0, quote ', {braces}, \u{10ffff}".to_owned();
    assert_eq!(post(ledger, odd.clone()).await, POSTED);
    assert_eq!(post(ledger, odd).await, REPLAYED);
}

async fn a_refusal_does_not_undo_its_neighbours(ledger: &dyn LedgerStore) {
    rich(ledger, "600").await;
    let batch = vec![
        hold(1, 2, usd("500")),
        hold(2, 2, usd("500")),
        hold(3, 2, usd("100")),
        Posting { transfers: vec![] },
        pay_in(4, 3, usd("1")),
        pay_in(900, 2, usd("601")),
        pay_in(5, 2, usd("1")),
    ];
    let outcomes = ledger.post(at(1), batch).await.unwrap();
    let too_little = insufficient(wallet_of(2), Asset::USD);
    assert_eq!(outcomes[..3], [POSTED, too_little, POSTED]);
    assert!(is_invalid(&outcomes[3]));
    assert_eq!(
        outcomes[4..],
        [no_wallet(3), conflict(deposit(900), Leg::Deposit), POSTED]
    );
    assert_eq!(balances(ledger, 2).await, [btc("0"), usd("1")]);
    assert_eq!(ledger.post(at(1), vec![]).await.unwrap(), []);
}

async fn later_postings_of_a_batch_see_the_earlier_ones(ledger: &dyn LedgerStore) {
    ledger.open_wallet(at(0), user(2)).await.unwrap();
    let batch = vec![
        hold(1, 2, usd("5")),
        pay_in(1, 2, usd("10")),
        pay_in(1, 2, usd("10")),
        pay_in(1, 2, usd("11")),
        hold(1, 2, usd("5")),
        hold(1, 2, usd("6")),
        hold(2, 2, usd("10")),
    ];
    let too_little = insufficient(wallet_of(2), Asset::USD);
    let outcomes = ledger.post(at(1), batch).await.unwrap();
    let known = conflict(deposit(1), Leg::Deposit);
    let other = conflict(order(1), Leg::Hold);
    assert_eq!(
        outcomes,
        [too_little.clone(), POSTED, REPLAYED, known, too_little, other, POSTED]
    );
    assert_eq!(balances(ledger, 2).await, [btc("0"), usd("0")]);
}

/// What the exchanger books for a buy: the house pays the venue, the venue delivers, and the rest goes back.
fn trade(number: i64, paid: &str, got: &str, rest: &str) -> Posting {
    let venue = || Owner::Venue("sim".to_owned());
    let id = order(number);
    Posting {
        transfers: vec![
            transfer(id, Leg::TradePay, Owner::HotWallet, venue(), usd(paid)),
            transfer(id, Leg::TradeReceive, venue(), Owner::HotWallet, btc(got)),
            transfer(id, Leg::TradeReturn, Owner::HotWallet, wallet_of(2), usd(rest)),
        ],
    }
}

async fn linked_transfers_are_booked_all_or_none(ledger: &dyn LedgerStore) {
    rich(ledger, "600").await;
    assert_eq!(post(ledger, hold(1, 2, usd("30"))).await, POSTED);
    // The last of the three does not fit: the first two are not booked either.
    assert_eq!(
        post(ledger, trade(1, "29", "2.9", "1.01")).await,
        insufficient(Owner::HotWallet, Asset::USD)
    );
    assert_eq!(balances(ledger, 1).await, [btc("0"), usd("30")]);
    assert_eq!(post(ledger, trade(1, "29", "2.9", "1")).await, POSTED);
    assert_eq!(post(ledger, trade(1, "29", "2.9", "1")).await, REPLAYED);
    assert_eq!(balances(ledger, 1).await, [btc("2.9"), usd("0")]);
    assert_eq!(balances(ledger, 2).await, [btc("0"), usd("571")]);
    // A group of which a part is known with this content is neither new nor a replay.
    let mut longer = trade(1, "29", "2.9", "1");
    let fee = transfer(order(1), Leg::TradeFee, wallet_of(2), Owner::Fees, usd("1"));
    longer.transfers.push(fee);
    assert!(is_invalid(&post(ledger, longer).await));
    let mut shorter = trade(1, "29", "2.9", "1");
    shorter.transfers.truncate(1);
    assert_eq!(post(ledger, shorter).await, REPLAYED);
    assert_eq!(
        post(ledger, trade(1, "29", "2.8", "1")).await,
        conflict(order(1), Leg::TradeReceive)
    );
}

async fn linked_transfers_do_not_lend_to_each_other(ledger: &dyn LedgerStore) {
    rich(ledger, "10").await;
    let there = transfer(order(1), Leg::TradeReturn, Owner::HotWallet, wallet_of(2), usd("5"));
    let back = transfer(order(1), Leg::Hold, wallet_of(2), Owner::HotWallet, usd("5"));
    let overdrawn = Posting {
        transfers: vec![there.clone(), back.clone()],
    };
    assert_eq!(
        post(ledger, overdrawn).await,
        insufficient(Owner::HotWallet, Asset::USD)
    );
    // It was not the hold that found too little, so the hold is not refused for good.
    let covered = Posting {
        transfers: vec![back, there],
    };
    assert_eq!(post(ledger, covered).await, POSTED);
}

async fn a_refused_hold_stays_refused_when_money_arrives(ledger: &dyn LedgerStore) {
    rich(ledger, "10").await;
    let too_little = insufficient(wallet_of(2), Asset::USD);
    assert_eq!(post(ledger, hold(1, 2, usd("30"))).await, too_little);
    assert_eq!(post(ledger, pay_in(1, 2, usd("100"))).await, POSTED);
    assert_eq!(post(ledger, hold(1, 2, usd("30"))).await, too_little);
    assert_eq!(post(ledger, hold(1, 2, usd("3"))).await, conflict(order(1), Leg::Hold));
    let fee = transfer(order(1), Leg::TradeFee, wallet_of(2), Owner::Fees, usd("1"));
    let linked = Posting {
        transfers: vec![fee, hold(1, 2, usd("30")).transfers.remove(0)],
    };
    assert_eq!(post(ledger, linked).await, too_little);
    assert_eq!(post(ledger, hold(2, 2, usd("30"))).await, POSTED);
    assert_eq!(balances(ledger, 2).await, [btc("0"), usd("80")]);
}

async fn other_legs_may_succeed_later(ledger: &dyn LedgerStore) {
    rich(ledger, "10").await;
    let release = || {
        let (from, to) = (Owner::HotWallet, wallet_of(2));
        Posting::single(transfer(order(1), Leg::Release, from, to, usd("10")))
    };
    assert_eq!(
        post(ledger, release()).await,
        insufficient(Owner::HotWallet, Asset::USD)
    );
    assert_eq!(post(ledger, hold(1, 2, usd("10"))).await, POSTED);
    assert_eq!(post(ledger, release()).await, POSTED);
    assert_eq!(balances(ledger, 2).await, [btc("0"), usd("10")]);
}

async fn the_house_accounts_may_go_below_zero(ledger: &dyn LedgerStore) {
    let system = [
        Owner::ExternalBank,
        Owner::ExternalChain,
        Owner::Venue("sim".to_owned()),
        Owner::Treasury,
        Owner::Fees,
        Owner::Rounding,
    ];
    let batch = (1..).zip(system).map(|(number, from)| {
        let leg = Leg::ReverseResult;
        Posting::single(transfer(order(number), leg, from, Owner::HotWallet, usd("1")))
    });
    let outcomes = ledger.post(at(1), batch.collect()).await.unwrap();
    assert_eq!(outcomes, vec![POSTED; 6]);
    assert_eq!(balances(ledger, 1).await, [btc("0"), usd("6")]);
}

async fn what_does_not_fit_128_bits_is_refused(ledger: &dyn LedgerStore) {
    ledger.open_wallet(at(0), user(2)).await.unwrap();
    let all = Amount::new(i128::MAX, Asset::ETH);
    let wei = Amount::new(1, Asset::ETH);
    assert_eq!(post(ledger, pay_in(1, 2, all)).await, POSTED);
    assert!(is_invalid(&post(ledger, pay_in(2, 2, wei)).await));
    // The bank is at −(2¹²⁷−1): one more is −2¹²⁷, which fits; two more do not.
    assert_eq!(post(ledger, pay_in(3, 1, wei)).await, POSTED);
    assert!(is_invalid(&post(ledger, pay_in(4, 1, wei)).await));
    assert_eq!(balances(ledger, 2).await[1], all);
    assert_eq!(
        post(ledger, hold(1, 2, eth("18446744073709551616.000000000000000001"))).await,
        POSTED
    );
    assert_eq!(
        balances(ledger, 1).await[1],
        eth("18446744073709551616.000000000000000002")
    );
}

async fn a_statement_goes_from_the_newest_to_the_oldest(ledger: &dyn LedgerStore) {
    rich(ledger, "600").await;
    assert_eq!(ledger.post(at(5), vec![hold(1, 2, usd("30"))]).await.unwrap(), [POSTED]);
    assert_eq!(
        ledger.post(at(6), vec![trade(1, "29", "2.9", "1")]).await.unwrap(),
        [POSTED]
    );
    let withdraw = transfer(order(1), Leg::Withdraw, Owner::HotWallet, wallet_of(2), btc("2.9"));
    assert_eq!(
        ledger.post(at(7), vec![Posting::single(withdraw)]).await.unwrap(),
        [POSTED]
    );
    let lines = ledger.statement(user(2), None, 100).await.unwrap().unwrap();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line.time,
                line.origin,
                line.leg,
                line.amount,
                line.counter_account.clone(),
                line.balance_after,
            )
        })
        .collect();
    let hot = || Owner::HotWallet;
    assert_eq!(
        told,
        [
            (at(7), order(1), Leg::Withdraw, btc("2.9"), hot(), btc("2.9")),
            (at(6), order(1), Leg::TradeReturn, usd("1"), hot(), usd("571")),
            (at(5), order(1), Leg::Hold, usd("-30"), hot(), usd("570")),
            (
                at(1),
                deposit(900),
                Leg::Deposit,
                usd("600"),
                Owner::ExternalBank,
                usd("600")
            ),
        ]
    );
    assert_eq!(lines[2].reason, "hold of a test");
    let hot_lines = ledger.statement(UserId::HOT_WALLET, None, 100).await.unwrap().unwrap();
    assert_eq!(hot_lines.len(), 5);
}

async fn a_statement_is_bounded(ledger: &dyn LedgerStore) {
    rich(ledger, "600").await;
    let holds = || (1..=60).map(|number| hold(number, 2, usd("1"))).collect();
    ledger.post(at(1), holds()).await.unwrap();
    let backs = (1..=60).map(|number| {
        let (from, to) = (Owner::HotWallet, wallet_of(2));
        Posting::single(transfer(order(number), Leg::Release, from, to, usd("1")))
    });
    ledger.post(at(2), backs.collect()).await.unwrap();
    let page = |before, limit| async move { ledger.statement(user(2), before, limit).await.unwrap().unwrap() };
    assert_eq!(page(None, usize::MAX).await.len(), MAX_LINES);
    assert_eq!(page(None, 0).await.len(), 1);
    let mut seen = Vec::new();
    let mut before = None;
    loop {
        let lines = page(before, 17).await;
        let Some(last) = lines.last() else { break };
        before = Some(last.entry_id);
        seen.extend(lines.into_iter().map(|line| line.entry_id));
    }
    assert_eq!(seen.len(), 121);
    assert!(seen.is_sorted_by(|a, b| a > b));
    assert!(page(Some(i64::MIN), 10).await.is_empty());
}
