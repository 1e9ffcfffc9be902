//! The booking of a trade, for any fills at any price and fee: the books balance, the hot wallet keeps nothing it should
//! not, the user never gets more than the exact value, and no residue is larger than a unit.

use std::collections::BTreeMap;

use contracts::clients::{ExchangeCommand, Side};
use contracts::ledger::{MAX_LINKED, Owner, Posting};
use contracts::messages::{StepResult, Trade};
use contracts::money::{average_price, value_of};
use contracts::{Amount, Asset, Price, Rounding};
use exchanger::domain::booking::book;
use exchanger::domain::progress::Progress;
use exchanger::domain::totals::{Totals, Violation, check};
use exchanger::ports::{Fill, Limit};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::Config;

use crate::scene::{INSTALLATION, btc, buy, command, name, order, price, sell, undo, usd, user};

/// Few by default, many on demand.
pub(crate) fn cases(few: u32) -> Config {
    let full = std::env::var("CAMBIST_TEST_FULL").is_ok_and(|value| value == "1");
    Config::with_cases(if full { few * 40 } else { few })
}

fn pairs() -> impl Strategy<Value = (Asset, Asset)> {
    let crypto = select(vec![Asset::BTC, Asset::ETH, Asset::SOL, Asset::XRP]);
    (crypto, select(vec![Asset::USD, Asset::JPY, Asset::CHF]))
}

/// From dust to beyond 2⁶⁴ atomic units, at prices from a billionth to a billion.
fn fills(base: Asset, quote: Asset) -> impl Strategy<Value = Vec<Fill>> {
    let quantity = prop_oneof![1..1_000_i128, 1..10_i128.pow(12), 1..10_i128.pow(24)];
    let price = (1..10_u128.pow(12), 0..=12_u8);
    let fee = prop_oneof![Just(0_i128), 0..10_000_i128];
    let fill = (quantity, price, fee).prop_map(move |(quantity, (mantissa, scale), fee)| Fill {
        quantity: Amount::new(quantity, base),
        price: Price::from_units(mantissa, scale).unwrap(),
        fee: Amount::new(fee, quote),
    });
    prop::collection::vec(fill, 1..6)
}

#[derive(Debug, Clone)]
struct Traded {
    base: Asset,
    quote: Asset,
    fills: Vec<Fill>,
    /// What was held beyond what is needed.
    spare: i128,
}

fn trades() -> impl Strategy<Value = Traded> {
    (pairs(), prop_oneof![Just(0_i128), 0..1_000_000_i128]).prop_flat_map(|((base, quote), spare)| {
        fills(base, quote).prop_map(move |fills| Traded {
            base,
            quote,
            fills,
            spare,
        })
    })
}

fn progress(command: &ExchangeCommand, fills: &[Fill], owed: Option<Amount>) -> Progress {
    let mut progress = Progress::new(command, INSTALLATION, Timestamp::UNIX_EPOCH, owed);
    progress.fills = fills.to_vec();
    progress
}

/// What a posting changes, account by account.
fn nets(posting: &Posting) -> BTreeMap<(Owner, Asset), i128> {
    let mut nets = BTreeMap::new();
    for transfer in &posting.transfers {
        assert!(transfer.amount.is_positive());
        assert_ne!(transfer.debit, transfer.credit);
        let (asset, units) = (transfer.amount.asset(), transfer.amount.units());
        *nets.entry((transfer.debit.clone(), asset)).or_default() -= units;
        *nets.entry((transfer.credit.clone(), asset)).or_default() += units;
    }
    let mut legs: Vec<_> = posting.transfers.iter().map(|transfer| transfer.id.leg).collect();
    legs.dedup();
    assert_eq!(legs.len(), posting.transfers.len(), "a leg twice");
    assert!(posting.transfers.len() <= MAX_LINKED);
    nets
}

fn net(nets: &BTreeMap<(Owner, Asset), i128>, owner: &Owner, asset: Asset) -> i128 {
    nets.get(&(owner.clone(), asset)).copied().unwrap_or(0)
}

fn traded(command: &ExchangeCommand, fills: &[Fill]) -> (Posting, Trade) {
    let booking = book(command, &progress(command, fills, None), &name()).unwrap();
    let StepResult::Traded(trade) = booking.result else {
        panic!("{:?}", booking.result);
    };
    (booking.posting, trade)
}

fn value(fills: &[Fill], quote: Asset, rounding: Rounding) -> i128 {
    let priced = fills.iter().map(|fill| (fill.quantity, fill.price));
    value_of(priced, quote, rounding).unwrap().units()
}

fn sum(amounts: impl Iterator<Item = Amount>) -> i128 {
    amounts.map(Amount::units).sum()
}

/// The same fills with fees that a sell can pay: up to what it brings, rounded up.
fn affordable(fills: Vec<Fill>, quote: Asset) -> Vec<Fill> {
    let mut left = value(&fills, quote, Rounding::Up);
    let mut afford = |fee: Amount| {
        let fee = fee.units().min(left);
        left -= fee;
        Amount::new(fee, quote)
    };
    let afford = |fill: Fill| Fill {
        fee: afford(fill.fee),
        ..fill
    };
    fills.into_iter().map(afford).collect()
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_buy_is_booked_exactly(Traded { base, quote, fills, spare } in trades()) {
        let (floor, ceiling) = (value(&fills, quote, Rounding::Down), value(&fills, quote, Rounding::Up));
        let (fee, filled) = (sum(fills.iter().map(|fill| fill.fee)), sum(fills.iter().map(|fill| fill.quantity)));
        let hold = Amount::new(ceiling + fee + spare, quote);
        let command = ExchangeCommand { asset: base, currency: quote, ..command(1, Side::Buy, hold, false) };
        prop_assert!(check(&fills, Limit::Spend(hold), base, quote).is_ok());
        let (posting, trade) = traded(&command, &fills);
        let nets = nets(&posting);
        let (hot, customer) = (Owner::HotWallet, Owner::User(user()));
        // Nothing of the hold is left; what is to be withdrawn is there.
        prop_assert_eq!(net(&nets, &hot, quote), -hold.units());
        prop_assert_eq!(net(&nets, &hot, base), filled);
        prop_assert_eq!(net(&nets, &customer, quote), spare);
        prop_assert_eq!(net(&nets, &customer, base), 0);
        prop_assert_eq!(net(&nets, name().account(), quote), floor);
        prop_assert_eq!(net(&nets, &Owner::Fees, quote), fee);
        prop_assert_eq!(net(&nets, &Owner::Rounding, quote), ceiling - floor);
        prop_assert!(ceiling - floor <= 1);
        // The saga hears of the same amounts.
        prop_assert_eq!(trade.returned.units(), spare);
        prop_assert_eq!(trade.value.units() + trade.fee.units() + trade.returned.units(), hold.units());
        prop_assert_eq!(trade.filled.units(), filled);
        let between = fills.iter().map(|fill| fill.price);
        prop_assert!(trade.price >= between.clone().min().unwrap() && trade.price <= between.max().unwrap());
    }

    #[test]
    fn a_sell_is_booked_exactly(Traded { base, quote, fills, spare } in trades()) {
        let (floor, ceiling) = (value(&fills, quote, Rounding::Down), value(&fills, quote, Rounding::Up));
        let filled = sum(fills.iter().map(|fill| fill.quantity));
        let asked = Amount::new(filled + spare, base);
        let command = ExchangeCommand { asset: base, currency: quote, ..command(1, Side::Sell, asked, false) };
        let greedy = sum(fills.iter().map(|fill| fill.fee)) > ceiling;
        prop_assert_eq!(check(&fills, Limit::Quantity(asked), base, quote).is_err(), greedy);
        let fills = affordable(fills, quote);
        let fee = sum(fills.iter().map(|fill| fill.fee));
        let charged = fee.min(floor);
        let (posting, trade) = traded(&command, &fills);
        let nets = nets(&posting);
        let (hot, customer) = (Owner::HotWallet, Owner::User(user()));
        prop_assert_eq!(net(&nets, &hot, quote), 0);
        prop_assert_eq!(net(&nets, &hot, base), -asked.units());
        prop_assert_eq!(net(&nets, &customer, quote), floor - charged);
        prop_assert_eq!(net(&nets, &customer, base), spare);
        prop_assert_eq!(net(&nets, name().account(), quote), -ceiling);
        prop_assert_eq!(net(&nets, name().account(), base), filled);
        prop_assert_eq!(net(&nets, &Owner::Fees, quote), charged);
        prop_assert_eq!(net(&nets, &Owner::Rounding, quote), ceiling - floor);
        prop_assert_eq!(trade.value.units() - trade.fee.units(), floor - charged);
        prop_assert_eq!(trade.returned.units(), spare);
    }

    #[test]
    fn a_reversal_leaves_exactly_what_will_be_released(
        Traded { base, quote, fills, .. } in trades(),
        owed in 0..10_i128.pow(15),
    ) {
        let filled = Amount::new(sum(fills.iter().map(|fill| fill.quantity)), base);
        let command = ExchangeCommand { asset: base, currency: quote, ..command(1, Side::Buy, filled, true) };
        let fills = affordable(fills, quote);
        prop_assert!(check(&fills, Limit::Quantity(filled), base, quote).is_ok());
        let owed = Amount::new(owed, quote);
        let booking = book(&command, &progress(&command, &fills, Some(owed)), &name()).unwrap();
        prop_assert_eq!(booking.result, StepResult::Reversed);
        let nets = nets(&booking.posting);
        prop_assert_eq!(net(&nets, &Owner::HotWallet, quote), owed.units());
        prop_assert_eq!(net(&nets, &Owner::HotWallet, base), -filled.units());
        prop_assert!(!nets.keys().any(|(owner, _)| *owner == Owner::User(user())), "the user has no part in it");
        let gain = net(&nets, &Owner::Treasury, quote);
        let charged = net(&nets, &Owner::Fees, quote);
        prop_assert_eq!(gain, value(&fills, quote, Rounding::Down) - charged - owed.units());
    }

    #[test]
    fn how_the_venue_cut_the_order_up_makes_no_difference(
        Traded { base, quote, fills, spare } in trades(),
    ) {
        let hold = Amount::new(value(&fills, quote, Rounding::Up) + sum(fills.iter().map(|fill| fill.fee)) + spare, quote);
        let command = ExchangeCommand { asset: base, currency: quote, ..command(1, Side::Buy, hold, false) };
        let mut cut: Vec<Fill> = Vec::new();
        for fill in fills.iter().rev() {
            let part = fill.quantity.units() / 3;
            let pieces = [(part, 0), (fill.quantity.units() - part, fill.fee.units())];
            cut.extend(pieces.into_iter().filter(|(units, _)| *units > 0).map(|(units, fee)| Fill {
                quantity: Amount::new(units, base),
                price: fill.price,
                fee: Amount::new(fee, quote),
            }));
        }
        prop_assert_eq!(traded(&command, &cut), traded(&command, &fills));
    }
}

fn fill(quantity: &str, at: &str, fee: &str) -> Fill {
    Fill {
        quantity: btc(quantity),
        price: price(at),
        fee: usd(fee),
    }
}

#[test]
fn thirty_dollars_at_ten_buy_three_and_nothing_is_left_over() {
    let (posting, trade) = traded(&buy(1, "30"), &[fill("3", "10", "0")]);
    assert_eq!(posting.transfers.len(), 2);
    assert_eq!(trade.price, price("10"));
    let origin = contracts::ledger::Origin::Order(order(1));
    assert!(
        posting
            .transfers
            .iter()
            .all(|transfer| transfer.id.origin == origin && transfer.actor == "exchanger")
    );
}

#[test]
fn the_price_of_a_trade_is_the_average_of_its_fills() {
    let (_, trade) = traded(&buy(1, "100"), &[fill("1", "10", "0"), fill("2", "11.5", "0.01")]);
    assert_eq!(trade.price, price("11"));
    let fills = [(btc("1"), price("10")), (btc("2"), price("10.5"))];
    let (_, trade) = traded(&sell(1, "3"), &[fill("1", "10", "0"), fill("2", "10.5", "0")]);
    assert_eq!(Ok(trade.price), average_price(fills, Rounding::Down));
}

#[test]
fn a_venue_that_breaks_its_word_is_not_booked() {
    let spend = |ceiling| Limit::Spend(usd(ceiling));
    let quantity = |asked| Limit::Quantity(btc(asked));
    let try_ = |fills: &[Fill], limit| check(fills, limit, Asset::BTC, Asset::USD).unwrap_err();
    assert!(matches!(
        try_(&[fill("3", "10", "0.01")], spend("30")),
        Violation::Overspent { .. }
    ));
    assert!(matches!(
        try_(&[fill("3", "10.00000001", "0")], spend("30")),
        Violation::Overspent { .. }
    ));
    assert!(matches!(
        try_(&[fill("1", "10", "0"), fill("0.50000001", "1", "0")], quantity("1.5")),
        Violation::Oversold { .. }
    ));
    assert!(matches!(
        try_(&[fill("1", "10", "10.01")], quantity("1")),
        Violation::FeeAboveProceeds { .. }
    ));
    assert!(matches!(
        try_(&[fill("0", "10", "0")], spend("30")),
        Violation::EmptyFill(_)
    ));
    assert!(matches!(
        try_(&[fill("-1", "10", "0")], quantity("1")),
        Violation::EmptyFill(_)
    ));
    assert!(matches!(
        try_(&[fill("1", "10", "-0.01")], quantity("1")),
        Violation::NegativeFee(_)
    ));
    let foreign = Fill {
        fee: btc("0.1"),
        ..fill("1", "10", "0")
    };
    assert!(matches!(
        try_(&[foreign], quantity("1")),
        Violation::ForeignAsset { .. }
    ));
    let endless = Fill {
        quantity: Amount::new(i128::MAX, Asset::BTC),
        ..fill("1", "10", "0")
    };
    assert!(matches!(try_(&[endless, endless], spend("30")), Violation::Money(_)));
    assert_eq!(
        check(&[], spend("30"), Asset::BTC, Asset::USD),
        Totals::of(&[], Asset::BTC, Asset::USD)
    );
}

#[test]
fn a_reversal_without_a_debt_is_not_booked() {
    let record = progress(&undo(1, "3"), &[fill("3", "10", "0")], None);
    assert_eq!(book(&undo(1, "3"), &record, &name()), Err(Violation::IncompleteRecord));
}
