//! Legs that fit together and legs that do not.

use contracts::ledger::{Origin, TransferId};
use contracts::{OrderId, UserId};
use jiff::Timestamp;

use super::*;

fn usd(text: &str) -> Amount {
    Amount::parse(text, Asset::USD).unwrap()
}

fn btc(text: &str) -> Amount {
    Amount::parse(text, Asset::BTC).unwrap()
}

fn ada() -> Owner {
    Owner::wallet(UserId::try_new(2).unwrap())
}

fn venue() -> Owner {
    Owner::Venue("sim".to_owned())
}

fn posted(leg: Leg, debit: Owner, credit: Owner, amount: Amount) -> PostedTransfer {
    PostedTransfer {
        entry_id: 1,
        transfer: Transfer {
            id: TransferId {
                origin: Origin::Order(OrderId::FIRST),
                leg,
            },
            debit,
            credit,
            amount,
            reason: "r".to_owned(),
            actor: "a".to_owned(),
        },
        debit_balance_after: amount,
        credit_balance_after: amount,
        posted_at: Timestamp::UNIX_EPOCH,
    }
}

fn terms(side: Side) -> Terms {
    Terms {
        side,
        asset: Asset::BTC,
        currency: Asset::USD,
        hold: match side {
            Side::Buy => usd("30"),
            Side::Sell => btc("1.5"),
        },
    }
}

/// A buy of 30: 24.99 to the venue, a cent rounded, a fee of 1, 4 not spent.
fn bought() -> Vec<PostedTransfer> {
    let hot = || Owner::HotWallet;
    vec![
        posted(Leg::Hold, ada(), hot(), usd("30")),
        posted(Leg::TradePay, hot(), venue(), usd("24.99")),
        posted(Leg::TradeRounding, hot(), Owner::Rounding, usd("0.01")),
        posted(Leg::TradeFee, hot(), Owner::Fees, usd("1")),
        posted(Leg::TradeReceive, venue(), hot(), btc("2.5")),
        posted(Leg::TradeReturn, hot(), ada(), usd("4")),
    ]
}

/// A sell of 1.5, of which 1 is sold: 9 to the user, a fee of 1.
fn sold() -> Vec<PostedTransfer> {
    vec![
        posted(Leg::Hold, ada(), Owner::HotWallet, btc("1.5")),
        posted(Leg::TradePay, Owner::HotWallet, venue(), btc("1")),
        posted(Leg::TradeReceive, venue(), ada(), usd("9")),
        posted(Leg::TradeFee, venue(), Owner::Fees, usd("1")),
        posted(Leg::TradeReturn, Owner::HotWallet, ada(), btc("0.5")),
    ]
}

#[test]
fn the_legs_of_a_trade_come_to_that_trade() {
    let buy = Traded {
        filled: btc("2.5"),
        value: usd("25"),
        fee: usd("1"),
        returned: usd("4"),
    };
    assert_eq!(traded(&bought(), &terms(Side::Buy)), Ok(Some(buy)));
    let sell = Traded {
        filled: btc("1"),
        value: usd("10"),
        fee: usd("1"),
        returned: btc("0.5"),
    };
    assert_eq!(traded(&sold(), &terms(Side::Sell)), Ok(Some(sell)));
    assert_eq!(traded(&bought()[..1], &terms(Side::Buy)), Ok(None));
    assert!(misplaced(&bought(), Side::Buy, &ada()).is_empty());
    assert!(misplaced(&sold(), Side::Sell, &ada()).is_empty());
}

#[test]
fn a_trade_that_lacks_a_leg_does_not_account_for_the_hold() {
    for missing in [1, 2, 3, 5] {
        let mut legs = bought();
        legs.remove(missing);
        let problem = traded(&legs, &terms(Side::Buy)).unwrap_err();
        assert!(problem.contains("of the 30 USD that were held"), "{problem}");
    }
    let mut legs = bought();
    legs.remove(4);
    let problem = traded(&legs, &terms(Side::Buy)).unwrap_err();
    assert!(problem.contains("nothing was filled"), "{problem}");
    let mut legs = sold();
    legs.remove(4);
    let problem = traded(&legs, &terms(Side::Sell)).unwrap_err();
    assert!(problem.contains("accounts for 1 of the 1.5 BTC"), "{problem}");
}

#[test]
fn more_than_one_unit_is_never_rounded_and_no_leg_is_in_another_asset() {
    let mut legs = bought();
    legs[1].transfer.amount = usd("24.98");
    legs[2].transfer.amount = usd("0.02");
    let problem = traded(&legs, &terms(Side::Buy)).unwrap_err();
    assert!(problem.contains("0.02 USD was rounded"), "{problem}");
    let mut legs = bought();
    legs[3].transfer.amount = btc("1");
    let problem = traded(&legs, &terms(Side::Buy)).unwrap_err();
    assert_eq!(problem, "has a leg trade_fee in BTC, not in USD");
}

#[test]
fn a_leg_goes_between_the_accounts_it_is_for() {
    for place in 0..bought().len() {
        let mut legs = bought();
        legs[place].transfer.credit = Owner::Treasury;
        assert_eq!(misplaced(&legs, Side::Buy, &ada()).len(), 1, "{place}");
        let mut legs = bought();
        legs[place].transfer.debit = Owner::Treasury;
        assert_eq!(misplaced(&legs, Side::Buy, &ada()).len(), 1, "{place}");
    }
    let back = posted(Leg::WithdrawBack, ada(), Owner::HotWallet, btc("1"));
    assert!(misplaced(std::slice::from_ref(&back), Side::Buy, &ada()).is_empty());
    let transit = || Owner::ExternalChain;
    for (leg, debit, credit) in [
        (Leg::WithdrawUndone, Owner::HotWallet, ada()),
        (Leg::WithdrawBackSent, ada(), transit()),
        (Leg::WithdrawBack, transit(), Owner::HotWallet),
        (Leg::WithdrawBackUndone, transit(), ada()),
    ] {
        let there = posted(leg, debit.clone(), credit.clone(), btc("1"));
        assert!(misplaced(&[there], Side::Buy, &ada()).is_empty(), "{leg}");
        let elsewhere = posted(leg, credit, debit, btc("1"));
        assert_eq!(misplaced(&[elsewhere], Side::Buy, &ada()).len(), 1, "{leg}");
    }
    assert_eq!(
        misplaced(&[back], Side::Sell, &ada()),
        ["has a leg withdraw_back from user:2 to hot_wallet"]
    );
    let gain = posted(Leg::ReverseResult, Owner::HotWallet, Owner::Treasury, usd("1"));
    let loss = posted(Leg::ReverseResult, Owner::Treasury, Owner::HotWallet, usd("1"));
    assert!(misplaced(&[gain, loss], Side::Buy, &ada()).is_empty());
    let deposit = posted(Leg::Deposit, Owner::ExternalBank, ada(), usd("1"));
    assert_eq!(misplaced(&[deposit], Side::Buy, &ada()).len(), 1);
}
