//! A venue keeps the promises of the port: once per name, within the limit, not after the expiry, and for ever. Told of the
//! simulated venue itself, and of the same one at the far end of a wire: `itself::name` and `remote::name` are one story.

use std::sync::Arc;
use std::time::Duration;

use contracts::clients::Side;
use contracts::messages::Step;
use contracts::time::later;
use contracts::{Amount, Asset, Clock, ManualClock, Price};
use exchanger::domain::totals::check;
use exchanger::ports::{Answer, ClientOrderId, Limit, Venue, VenueName, VenueOrder};
use exchanger::venue::simulated::{Conduct, Market, ScriptedManners, SimulatedVenue};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::booking::cases;
use crate::listener::{EXCHANGER_TOKEN, Listener};
use crate::scene::{basis_points, btc, client_order_id, name, order, price, usd};

/// Which venue is asked.
#[derive(Debug, Clone, Copy)]
enum Adapter {
    Itself,
    Remote,
}

macro_rules! on_both {
    ($($story:ident)*) => {
        mod itself {
            $(#[tokio::test] async fn $story() { super::$story(super::Adapter::Itself).await; })*
        }
        mod remote {
            $(#[tokio::test] async fn $story() { super::$story(super::Adapter::Remote).await; })*
        }
    };
}

on_both! {
    a_name_is_executed_once_and_answers_for_ever
    an_expired_order_is_not_executed_and_leaves_no_trace
    orders_that_come_together_are_each_met_as_if_alone
    a_refusal_is_for_ever_too
    every_conduct_is_what_it_says
    spread_and_fee_are_the_users
}

struct Given {
    folder: TempDir,
    clock: Arc<ManualClock>,
    manners: Arc<ScriptedManners>,
    simulated: SimulatedVenue,
    venue: Arc<dyn Venue>,
    listener: Option<Listener>,
}

fn open(folder: &TempDir, manners: &Arc<ScriptedManners>, clock: &Arc<ManualClock>) -> SimulatedVenue {
    let path = folder.path().join("venue.db");
    SimulatedVenue::try_open(&path, name(), Market::default(), manners.clone(), clock.clone()).unwrap()
}

async fn a_venue(adapter: Adapter) -> Given {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new("2026-01-01T12:00:00Z".parse().unwrap()));
    let manners = Arc::new(ScriptedManners::new(Conduct::Fill));
    opened(adapter, folder, clock, manners).await
}

async fn opened(adapter: Adapter, folder: TempDir, clock: Arc<ManualClock>, manners: Arc<ScriptedManners>) -> Given {
    let simulated = open(&folder, &manners, &clock);
    let served: Arc<dyn Venue> = Arc::new(simulated.clone());
    let (venue, listener) = match adapter {
        Adapter::Itself => (served, None),
        Adapter::Remote => {
            let listener = Listener::of(served).await;
            let venue: Arc<dyn Venue> = Arc::new(listener.venue(EXCHANGER_TOKEN));
            (venue, Some(listener))
        }
    };
    Given {
        folder,
        clock,
        manners,
        simulated,
        venue,
        listener,
    }
}

fn id(number: i64) -> ClientOrderId {
    client_order_id(number, Step::Exchange, 1)
}

fn is_missing(answer: &Answer) -> bool {
    matches!(answer, Answer::NotFound { .. })
}

impl Given {
    /// The same venue after its process came back.
    async fn reopened(self, adapter: Adapter) -> Self {
        let Self {
            folder,
            clock,
            manners,
            simulated,
            venue,
            listener,
        } = self;
        if let Some(listener) = listener {
            listener.close().await;
        }
        // The file is released once the writer of the venue that goes has ended, which dropping it begins.
        drop((simulated, venue));
        opened(adapter, folder, clock, manners).await
    }

    fn buy(&self, number: i64, ceiling: Amount) -> VenueOrder {
        VenueOrder {
            client_order_id: id(number),
            side: Side::Buy,
            base: Asset::BTC,
            quote: Asset::USD,
            limit: Limit::Spend(ceiling),
            expires_at: later(self.clock.now(), Duration::from_secs(5)),
        }
    }

    fn sell(&self, number: i64, quantity: Amount) -> VenueOrder {
        VenueOrder {
            side: Side::Sell,
            limit: Limit::Quantity(quantity),
            ..self.buy(number, usd("1"))
        }
    }
}

fn quantity(answer: &Answer) -> Amount {
    let Answer::Done(fills) = answer else {
        panic!("{answer:?}");
    };
    fills
        .iter()
        .fold(btc("0"), |sum, fill| sum.checked_add(fill.quantity).unwrap())
}

async fn a_name_is_executed_once_and_answers_for_ever(adapter: Adapter) {
    let given = a_venue(adapter).await;
    let first = given.venue.place(&given.buy(1, usd("30"))).await;
    assert_eq!(quantity(&first), btc("3"));
    // Twice, with other content, after its expiry, and after a restart: the order that has the name.
    assert_eq!(given.venue.place(&given.buy(1, usd("600"))).await, first);
    given.clock.advance(Duration::from_secs(3_600));
    assert_eq!(given.venue.place(&given.sell(1, btc("1"))).await, first);
    let given = given.reopened(adapter).await;
    assert_eq!(given.venue.find(&id(1)).await, first);
    assert_eq!(given.simulated.executions(0, 10).await.unwrap().len(), 1);
    assert_eq!(given.simulated.executions(1, 10).await.unwrap(), []);
}

async fn an_expired_order_is_not_executed_and_leaves_no_trace(adapter: Adapter) {
    let given = a_venue(adapter).await;
    let order = given.buy(1, usd("30"));
    given.clock.advance(Duration::from_secs(5));
    assert!(matches!(given.venue.place(&order).await, Answer::Rejected { .. }));
    assert!(is_missing(&given.venue.find(&id(1)).await));
}

async fn orders_that_come_together_are_each_met_as_if_alone(adapter: Adapter) {
    let given = a_venue(adapter).await;
    let late = VenueOrder {
        expires_at: given.clock.now(),
        ..given.buy(2, usd("30"))
    };
    given.manners.set(order(3), Step::Exchange, 1, Conduct::Refuse);
    let orders = [
        given.buy(1, usd("30")),
        late,
        given.buy(1, usd("60")),
        given.buy(3, usd("30")),
        given.sell(4, btc("1")),
    ];
    let [first, late, again, refused, sold] = orders.each_ref().map(|order| given.venue.place(order));
    let (first, late, again, refused, sold) = tokio::join!(first, late, again, refused, sold);
    assert_eq!(quantity(&first), btc("3"));
    assert_eq!(first, again, "one name, one order");
    assert!(matches!(late, Answer::Rejected { .. }) && is_missing(&given.venue.find(&id(2)).await));
    assert!(matches!(refused, Answer::Rejected { .. }));
    assert_eq!(quantity(&sold), btc("1"));
    assert_eq!(given.simulated.executions(0, 10).await.unwrap().len(), 2);
}

async fn a_refusal_is_for_ever_too(adapter: Adapter) {
    let given = a_venue(adapter).await;
    given.manners.set_default(Conduct::Refuse);
    let refused = given.venue.place(&given.buy(1, usd("30"))).await;
    assert!(matches!(refused, Answer::Rejected { .. }));
    given.manners.set_default(Conduct::Fill);
    assert_eq!(given.venue.place(&given.buy(1, usd("30"))).await, refused);
    assert_eq!(given.venue.find(&id(1)).await, refused);
    let nonsense = VenueOrder {
        side: Side::Sell,
        ..given.buy(2, usd("30"))
    };
    assert!(matches!(given.venue.place(&nonsense).await, Answer::Rejected { .. }));
}

async fn every_conduct_is_what_it_says(adapter: Adapter) {
    let given = a_venue(adapter).await;
    let behaving = |number, conduct| {
        given.manners.set(order(number), Step::Exchange, 1, conduct);
        given.buy(number, usd("30"))
    };
    let unknown = |answer: &Answer| matches!(answer, Answer::Unknown { .. });
    let hidden = Duration::from_secs(4);

    let partial = given
        .venue
        .place(&behaving(1, Conduct::Partial(basis_points(2_500))))
        .await;
    assert_eq!(quantity(&partial), btc("0.75"));
    assert_eq!(
        given.venue.place(&behaving(2, Conduct::FillNothing)).await,
        Answer::Done(Vec::new())
    );
    assert!(unknown(
        &given.venue.place(&behaving(3, Conduct::ExecuteThenTimeOut)).await
    ));
    assert_eq!(quantity(&given.venue.find(&id(3)).await), btc("3"));
    assert!(unknown(
        &given.venue.place(&behaving(4, Conduct::TimeOutWithoutExecuting)).await
    ));
    assert!(is_missing(&given.venue.find(&id(4)).await));
    assert!(unknown(
        &given.venue.place(&behaving(5, Conduct::NotYetVisible(hidden))).await
    ));
    assert!(is_missing(&given.venue.find(&id(5)).await));
    given.clock.advance(hidden);
    assert_eq!(quantity(&given.venue.find(&id(5)).await), btc("3"));
    assert_eq!(
        quantity(
            &given
                .venue
                .place(&behaving(6, Conduct::Slow(Duration::from_millis(1))))
                .await
        ),
        btc("3")
    );

    given.manners.set_silent(true);
    assert!(unknown(&given.venue.find(&id(1)).await));
    assert!(unknown(&given.venue.place(&behaving(7, Conduct::Fill)).await));
    given.manners.set_silent(false);
    assert!(is_missing(&given.venue.find(&id(7)).await));
}

async fn spread_and_fee_are_the_users(adapter: Adapter) {
    let given = a_venue(adapter).await;
    given.simulated.set_market(Market {
        price: price("10"),
        spread: basis_points(100),
        fee: basis_points(50),
    });
    let Answer::Done(bought) = given.venue.place(&given.buy(1, usd("30"))).await else {
        panic!("a buy is filled");
    };
    assert_eq!((bought[0].price, bought[0].fee), (price("10.1"), usd("0.15")));
    let Answer::Done(sold) = given.venue.place(&given.sell(2, btc("1.5"))).await else {
        panic!("a sell is filled");
    };
    assert_eq!((sold[0].price, sold[0].fee), (price("9.9"), usd("0.08")));
}

#[test]
fn a_venue_is_called_what_the_books_can_hold() {
    assert_eq!(VenueName::try_new("sim").unwrap().to_string(), "venue:sim");
    for wrong in ["", "Sim", "s im", "a:b", &"x".repeat(33)] {
        assert!(VenueName::try_new(wrong).is_err(), "{wrong}");
    }
}

proptest! {
    #![proptest_config(cases(60))]

    /// Whatever the market and the budget: within the limit, and no more than a few units of the budget are left over
    /// when the price allows to spend them.
    #[test]
    fn an_order_is_filled_within_its_limit_and_nearly_up_to_it(
        (mantissa, scale) in (1..10_u128.pow(9), 0..=6_u8),
        (spread, fee, share) in (0..=2_000_u32, 0..=1_000_u32, 1..=10_000_u32),
        units in prop_oneof![1..1_000_i128, 1..10_i128.pow(20)],
        side in prop_oneof![Just(Side::Buy), Just(Side::Sell)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let given = a_venue(Adapter::Itself).await;
            let market = Market {
                price: Price::from_units(mantissa, scale).unwrap(),
                spread: basis_points(spread),
                fee: basis_points(fee),
            };
            given.simulated.set_market(market);
            given.manners.set_default(Conduct::Partial(basis_points(share)));
            let order = match side {
                Side::Buy => given.buy(1, Amount::new(units, Asset::USD)),
                Side::Sell => given.sell(1, Amount::new(units, Asset::BTC)),
            };
            let Answer::Done(fills) = given.venue.place(&order).await else {
                panic!("a market without limits fills everything");
            };
            let totals = check(&fills, order.limit, Asset::BTC, Asset::USD).unwrap();
            if side == Side::Sell {
                assert_eq!(totals.filled.units(), units * i128::from(share) / 10_000);
            } else if share == 10_000 && !fills.is_empty() {
                let unspent = units - totals.cost().unwrap().units();
                // A satoshi's worth, where that is more than a cent.
                let grain = i128::try_from(mantissa).unwrap() * 3 / 10_i128.pow(u32::from(scale)) / 1_000_000;
                assert!(unspent <= 4 + grain, "{unspent} of {units} not spent");
            }
        });
    }
}
