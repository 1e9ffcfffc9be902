//! The reckoning: what customers were told against what the system says in the end, to the last unit.
//!
//! It reads what a customer can read (orders, statement, wallet, mail) and knows the venue's prices; it adds up with
//! arithmetic of its own. What it proves for each user:
//!
//! - one deposit or order for each deed, and none besides;
//! - a completed order changed them by exactly what was filled and charged, a failed one by nothing;
//! - each balance is what deposits and orders come to, and what the statement comes to, line by line, never below zero;
//! - one mail for each ended order but those that were refused to their user's face, to the right address, with the right
//!   outcome; no other mail.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use contracts::{Amount, Asset, Price};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::api::User;
use crate::customers::{Deed, Told, Wish};
use crate::letters::{Letter, all_told};

/// How often it is looked whether something has ended.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What is known about the venue.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// What a buyer pays for one unit.
    pub ask: Price,
    /// What a seller gets for one unit.
    pub bid: Price,
    /// The venue's fee, in hundredths of a percent of the value, rounded up.
    pub fee_bp: i128,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reckoning {
    /// Deposits.
    pub deposits: u64,
    /// Orders that completed.
    pub completed: u64,
    /// Those of them that were filled in part.
    pub partly: u64,
    /// Orders that failed after their hold, by their failure code.
    pub failed: BTreeMap<String, u64>,
    /// Orders refused at the hold.
    pub refused: u64,
    /// Mails.
    pub mails: u64,
    /// What all users own together, in units.
    pub owned: BTreeMap<Asset, i128>,
}

impl Reckoning {
    /// All orders.
    #[must_use]
    pub fn orders(&self) -> u64 {
        self.completed + self.refused + self.failed.values().sum::<u64>()
    }
}

/// How long it took until everything had ended.
#[derive(Debug, Clone)]
pub struct LastEnd {
    /// Since it was waited for.
    pub after: Duration,
    /// The order that kept everybody waiting longest, with its log; `None` when none did.
    pub order: Option<Value>,
}

/// Waits until every accepted order has ended and every deposit is booked.
///
/// # Panics
/// When it takes longer than `within`: with the orders that are still pending.
pub async fn all_ended(users: &BTreeMap<String, User>, deeds: &[Deed], within: Duration) -> LastEnd {
    let began = Instant::now();
    let mut last = None;
    for user in users.values() {
        let mut pending: Vec<i64> = user
            .orders()
            .await
            .iter()
            .filter(|order| is_pending(order))
            .map(id_of)
            .collect();
        let deposits: BTreeSet<i64> = deeds
            .iter()
            .filter(|deed| deed.user_id == user.id && matches!(deed.wish, Wish::Deposit(_)))
            .map(|deed| deed.number)
            .collect();
        loop {
            let mut still = Vec::new();
            for order in pending {
                let order = user.order(order).await;
                if is_pending(&order) {
                    still.push(order);
                } else {
                    last = Some(order);
                }
            }
            if still.is_empty() && booked(user).await == deposits {
                break;
            }
            assert!(
                began.elapsed() < within,
                "after {within:?} user {} has orders pending, or deposits not booked: {still:#?}",
                user.id
            );
            pending = still.iter().map(id_of).collect();
            // sleep: polling is what a customer's program does.
            sleep(ASK_AGAIN).await;
        }
    }
    LastEnd {
        after: began.elapsed(),
        order: last,
    }
}

/// The deposits in a user's statement.
async fn booked(user: &User) -> BTreeSet<i64> {
    let statement = user.statement().await;
    statement
        .iter()
        .filter_map(|line| line["deposit_id"].as_i64())
        .collect()
}

/// Compares everything, once everything has ended. `users` are named as they log in.
///
/// # Panics
/// At the first thing that is not as it must be.
pub async fn reckon(users: &BTreeMap<String, User>, deeds: &[Deed], terms: &Terms, mail: &Path) -> Reckoning {
    let mut sums = Reckoning::default();
    let mut numbers = BTreeSet::new();
    let mut to_be_told = BTreeMap::new();
    for (name, user) in users {
        let own: Vec<&Deed> = deeds.iter().filter(|deed| deed.user_id == user.id).collect();
        for deed in &own {
            let is_deposit = matches!(deed.wish, Wish::Deposit(_));
            assert!(
                numbers.insert((is_deposit, deed.number)),
                "two deeds have one number: {deed:?}"
            );
        }
        let mut account = Account::read(user).await;
        account.settle(&own, terms, &mut sums);
        for (asset, units) in account.balances {
            *sums.owned.entry(asset).or_default() += units;
        }
        for (order, subject) in account.to_be_told {
            let address = format!("{name}@example.com");
            to_be_told.insert(order, Letter { address, subject });
        }
    }
    sums.mails = u64::try_from(to_be_told.len()).expect("a count");
    all_told(mail, &to_be_told).await;
    sums
}

/// One user's side of the books.
struct Account {
    user_id: i64,
    orders: BTreeMap<i64, Value>,
    /// Net change by origin (kind, number) and asset.
    changes: BTreeMap<(String, i64), BTreeMap<Asset, i128>>,
    holds: BTreeMap<i64, Amount>,
    balances: BTreeMap<Asset, i128>,
    /// What the mail about an order has to say.
    to_be_told: BTreeMap<i64, String>,
}

impl Account {
    async fn read(user: &User) -> Self {
        let listed = user.orders().await;
        let orders: BTreeMap<i64, Value> = listed.iter().map(|order| (id_of(order), order.clone())).collect();
        assert_eq!(orders.len(), listed.len(), "an order is listed twice");
        let mut account = Self {
            user_id: user.id,
            orders,
            changes: BTreeMap::new(),
            holds: BTreeMap::new(),
            balances: BTreeMap::new(),
            to_be_told: BTreeMap::new(),
        };
        account.add_up(&user.statement().await);
        let wallet = user.get(&format!("/wallet/{}", user.id)).await;
        let told = wallet.body["balances"].as_array().expect("balances").iter();
        let told: BTreeMap<Asset, i128> = told
            .map(amount)
            .map(|amount| (amount.asset(), amount.units()))
            .collect();
        for asset in told.keys().chain(account.balances.keys()) {
            let of = |balances: &BTreeMap<Asset, i128>| balances.get(asset).copied().unwrap_or_default();
            assert_eq!(
                of(&told),
                of(&account.balances),
                "user {}: {asset} in wallet, in statement",
                user.id
            );
        }
        account
    }

    /// Follows the statement from its first line.
    fn add_up(&mut self, statement: &[Value]) {
        let mut seen = BTreeSet::new();
        for line in statement.iter().rev() {
            let (moved, after) = (amount(&line["amount"]), amount(&line["balance_after"]));
            let balance = self.balances.entry(moved.asset()).or_default();
            *balance += moved.units();
            assert_eq!((*balance, moved.asset()), (after.units(), after.asset()), "{line}");
            assert!(*balance >= 0, "below zero: {line}");
            let kind = line["kind"].as_str().expect("a kind").to_owned();
            let number = line[format!("{kind}_id")].as_i64().expect("a number");
            let origin = (kind, number);
            let leg = line["leg"].as_str().expect("a leg").to_owned();
            if leg == "hold" {
                self.holds.insert(origin.1, moved);
            }
            assert!(seen.insert((origin.clone(), leg)), "booked twice: {line}");
            let changes = self.changes.entry(origin).or_default();
            *changes.entry(moved.asset()).or_default() += moved.units();
        }
        for changes in self.changes.values_mut() {
            changes.retain(|_, units| *units != 0);
        }
    }

    /// Each deed has had exactly its effect, and there are no other effects.
    fn settle(&mut self, deeds: &[&Deed], terms: &Terms, sums: &mut Reckoning) {
        let mut expected = BTreeMap::new();
        for deed in deeds {
            let kind = match deed.wish {
                Wish::Deposit(fiat) => {
                    sums.deposits += 1;
                    let change = BTreeMap::from([(fiat.asset(), fiat.units())]);
                    expected.insert(("deposit".to_owned(), deed.number), change);
                    continue;
                }
                Wish::Buy(..) | Wish::Sell(_) => "order".to_owned(),
            };
            let order = self.orders.remove(&deed.number);
            let order = order.unwrap_or_else(|| panic!("told of an order that is not there: {deed:?}"));
            let change = self.settle_order(deed, &order, terms, sums);
            if self.holds.contains_key(&deed.number) {
                expected.insert((kind, deed.number), change);
            } else {
                assert!(change.is_empty(), "moved money without a hold: {order}");
            }
        }
        assert!(
            self.orders.is_empty(),
            "orders that nobody asked for: {:#?}",
            self.orders
        );
        for (origin, change) in &self.changes {
            assert_eq!(Some(change), expected.get(origin), "user {}: {origin:?}", self.user_id);
        }
        assert_eq!(
            self.changes.len(),
            expected.len(),
            "user {}: something is not booked",
            self.user_id
        );
    }

    /// What an order must have changed, by its own fields.
    fn settle_order(
        &mut self,
        deed: &Deed,
        order: &Value,
        terms: &Terms,
        sums: &mut Reckoning,
    ) -> BTreeMap<Asset, i128> {
        let (side, asset, requested) = match deed.wish {
            Wish::Buy(asset, fiat) => ("buy", asset, fiat),
            Wish::Sell(crypto) => ("sell", crypto.asset(), crypto),
            Wish::Deposit(_) => panic!("a deposit is no order: {deed:?}"),
        };
        assert_eq!(order["side"], side, "{order}");
        assert_eq!(order["asset"], asset.code(), "{order}");
        assert_eq!(amount(&order["requested"]), requested, "{order}");
        assert_eq!(order["client_reference"], *deed.key, "{order}");
        let hold = self.holds.get(&deed.number).copied();
        if let Some(hold) = hold {
            assert_eq!(hold.units(), -requested.units(), "{order}");
        }
        match (order["status"].as_str().expect("a status"), hold) {
            ("completed", Some(_)) => {
                assert_eq!(deed.told, Told::Accepted, "{order}");
                let filled = amount(&order["filled"]);
                sums.completed += 1;
                let trade = Trade::of(side, filled, amount(&order["fee"]), order, terms);
                sums.partly += u64::from(trade.is_partial(requested));
                self.to_be_told.insert(deed.number, trade.subject(side));
                trade.change(side)
            }
            ("failed", Some(_)) => {
                assert_eq!(deed.told, Told::Accepted, "{order}");
                let code = order["failure_code"].as_str().expect("a failure code").to_owned();
                *sums.failed.entry(code).or_default() += 1;
                self.to_be_told.insert(deed.number, not_carried_out(side, asset));
                BTreeMap::new()
            }
            ("failed", None) => {
                assert_eq!(order["failure_code"], "insufficient_funds", "{order}");
                sums.refused += 1;
                if deed.told == Told::Accepted {
                    // The hold took longer than the answer, which promised to try.
                    self.to_be_told.insert(deed.number, not_carried_out(side, asset));
                }
                BTreeMap::new()
            }
            _ => panic!("{deed:?} ended as {order}"),
        }
    }
}

/// What was traded, by the order's fields and the venue's terms.
struct Trade {
    filled: Amount,
    value: Amount,
    fee: Amount,
}

impl Trade {
    fn of(side: &str, filled: Amount, fee: Amount, order: &Value, terms: &Terms) -> Self {
        assert!(filled.is_positive(), "{order}");
        let price: Price = order["price"]["amount"]
            .as_str()
            .expect("a price")
            .parse()
            .expect("a price");
        let (fiat, agreed) = (fee.asset(), if side == "buy" { terms.ask } else { terms.bid });
        assert_eq!(price, agreed, "{order}");
        // Units of crypto × mantissa, in units of fiat: 10^(crypto's scale + price's scale − fiat's scale) of them are one.
        let mantissa = i128::try_from(price.mantissa()).expect("a price that people pay");
        let decimals = filled.asset().scale() + price.scale() - fiat.scale();
        let value = divide(filled.units() * mantissa, 10_i128.pow(decimals.into()), side == "buy");
        let of_value = divide(value * terms.fee_bp, 10_000, true);
        assert_eq!(fee.units(), of_value, "{order}");
        Self {
            filled,
            value: Amount::new(value, fiat),
            fee,
        }
    }

    /// Whether clearly less was traded than was asked for.
    fn is_partial(&self, requested: Amount) -> bool {
        let taken = if requested.asset() == self.filled.asset() {
            self.filled.units()
        } else {
            self.value.units() + self.fee.units() + 3
        };
        taken < requested.units()
    }

    fn change(&self, side: &str) -> BTreeMap<Asset, i128> {
        let (crypto, fiat) = match side {
            "buy" => (self.filled.units(), -self.value.units() - self.fee.units()),
            _ => (-self.filled.units(), self.value.units() - self.fee.units()),
        };
        let changes = [(self.filled.asset(), crypto), (self.value.asset(), fiat)];
        changes.into_iter().filter(|(_, units)| *units != 0).collect()
    }

    fn subject(&self, side: &str) -> String {
        let verb = if side == "buy" { "bought" } else { "sold" };
        let (filled, value) = (self.filled, self.value);
        format!("You {verb} {filled} {} for {value} {}", filled.asset(), value.asset())
    }
}

/// What a mail about a failed order is called.
fn not_carried_out(side: &str, asset: Asset) -> String {
    format!("Your order to {side} {asset} was not carried out")
}

/// Rounds in the house's favour: what users pay up, what they get down.
fn divide(numerator: i128, denominator: i128, up: bool) -> i128 {
    let more = i128::from(up && numerator % denominator != 0);
    numerator / denominator + more
}

fn is_pending(order: &Value) -> bool {
    order["status"] == "pending"
}

fn id_of(order: &Value) -> i64 {
    order["order_id"].as_i64().expect("an order's id")
}

fn amount(value: &Value) -> Amount {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}
