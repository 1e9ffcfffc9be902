//! What lies between us and a venue elsewhere: wires that break, strangers that answer, clocks that differ. Whatever happens
//! there is unknown, and asking tells the truth.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use contracts::clients::Side;
use contracts::messages::Step;
use contracts::time::later;
use contracts::{Asset, Clock, ManualClock};
use exchanger::ports::{Answer, ClientOrderId, Limit, Venue, VenueName, VenueOrder};
use exchanger::venue::simulated::{Conduct, Market, ScriptedManners, SimulatedVenue};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::listener::{ANNS_TOKEN, Cut, EXCHANGER_TOKEN, GATEWAY_TOKEN, Listener, Wire, patient_way_to, way_to};
use crate::scene::{client_order_id, name, usd};

struct Given {
    clock: Arc<ManualClock>,
    manners: Arc<ScriptedManners>,
    simulated: SimulatedVenue,
    listener: Listener,
    _folder: TempDir,
}

async fn a_venue() -> Given {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new("2026-01-01T12:00:00Z".parse().unwrap()));
    let manners = Arc::new(ScriptedManners::new(Conduct::Fill));
    let path = folder.path().join("venue.db");
    let simulated = SimulatedVenue::try_open(&path, name(), Market::default(), manners.clone(), clock.clone()).unwrap();
    let listener = Listener::of(Arc::new(simulated.clone())).await;
    Given {
        clock,
        manners,
        simulated,
        listener,
        _folder: folder,
    }
}

impl Given {
    fn buy(&self, number: i64) -> VenueOrder {
        VenueOrder {
            client_order_id: client_order_id(number, Step::Exchange, 1),
            side: Side::Buy,
            base: Asset::BTC,
            quote: Asset::USD,
            limit: Limit::Spend(usd("30")),
            expires_at: later(self.clock.now(), Duration::from_secs(5)),
        }
    }

    async fn executed(&self) -> usize {
        self.simulated.executions(0, 1_000).await.unwrap().len()
    }
}

#[track_caller]
fn reason(answer: &Answer) -> &str {
    match answer {
        Answer::Unknown { reason } => reason,
        other @ (Answer::Done(_) | Answer::Open | Answer::Rejected { .. } | Answer::NotFound { .. }) => {
            panic!("{other:?} is no answer that anybody gave")
        }
    }
}

#[tokio::test]
async fn what_was_executed_before_the_answer_got_lost_is_unknown_sent_once_and_found_by_asking() {
    let given = a_venue().await;
    for (number, cut) in [(1, Cut::Before), (2, Cut::Within)] {
        let wire = Wire::to(&given.listener, cut).await;
        let order = given.buy(number);
        reason(&way_to(&wire.address, EXCHANGER_TOKEN).place(&order).await);
        assert_eq!(wire.requests(), 1, "an order is not repeated");
        let found = given.listener.venue(EXCHANGER_TOKEN).find(&order.client_order_id).await;
        assert!(matches!(&found, Answer::Done(fills) if fills.len() == 1), "{found:?}");
    }
    assert_eq!(given.executed().await, 2);
}

#[tokio::test]
async fn questions_are_asked_again_when_their_answers_get_lost() {
    let given = a_venue().await;
    let wire = Wire::to(&given.listener, Cut::Before).await;
    let order = given.buy(1);
    reason(
        &way_to(&wire.address, EXCHANGER_TOKEN)
            .find(&order.client_order_id)
            .await,
    );
    assert_eq!(wire.requests(), 3);
}

#[tokio::test]
async fn a_venue_that_is_gone_or_says_nothing_has_refused_nothing() {
    let given = a_venue().await;
    let order = given.buy(1);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = |socket: &TcpListener| format!("http://{}", socket.local_addr().unwrap());
    let closed = address(&TcpListener::bind("127.0.0.1:0").await.unwrap());
    for address in [address(&silent), closed] {
        let venue = patient_way_to(&address, EXCHANGER_TOKEN, Duration::from_millis(200));
        let (placed, found) = tokio::join!(venue.place(&order), venue.find(&order.client_order_id));
        reason(&placed);
        reason(&found);
    }
}

#[tokio::test]
async fn absence_has_the_venues_own_time_however_wrong_ours_is() {
    let given = a_venue().await;
    let venue = given.listener.venue(EXCHANGER_TOKEN);
    let id = given.buy(1).client_order_id;
    for _ in 0..3 {
        assert_eq!(venue.find(&id).await, Answer::NotFound { at: given.clock.now() });
        given.clock.advance(Duration::from_micros(3_600_000_001));
    }
}

#[tokio::test]
async fn an_order_that_arrives_after_its_expiry_by_the_venues_clock_is_not_executed() {
    let given = a_venue().await;
    let order = given.buy(1);
    given.clock.advance(Duration::from_secs(5));
    let late = given.listener.venue(EXCHANGER_TOKEN).place(&order).await;
    assert!(matches!(late, Answer::Rejected { .. }), "{late:?}");
    assert_eq!(given.executed().await, 0);
}

#[tokio::test]
async fn who_is_not_let_in_has_placed_nothing_and_was_refused_nothing() {
    let given = a_venue().await;
    let elsewhere = format!("{}/exchanger", given.listener.address);
    for (address, token, words) in [
        (&given.listener.address, "nobodys-token", "CAMBIST_INTERNAL_TOKEN)"),
        (&given.listener.address, GATEWAY_TOKEN, "is not for bc_gateway"),
        (&elsewhere, EXCHANGER_TOKEN, "CAMBIST_VENUE_URL"),
    ] {
        let venue = way_to(address, token);
        let order = given.buy(1);
        for answer in [venue.place(&order).await, venue.find(&order.client_order_id).await] {
            assert!(reason(&answer).contains(words), "{answer:?}");
        }
    }
    assert_eq!(given.executed().await, 0);
    let by_hand = given.listener.venue(ANNS_TOKEN).place(&given.buy(1)).await;
    assert!(matches!(by_hand, Answer::Done(_)), "operators may look for themselves");
}

#[tokio::test]
async fn many_orders_are_each_answered_for_themselves() {
    let given = a_venue().await;
    for number in (5..=250).step_by(5) {
        given
            .manners
            .set(crate::scene::order(number), Step::Exchange, 1, Conduct::Refuse);
    }
    let venue = given.listener.venue(EXCHANGER_TOKEN);
    let orders: Vec<_> = (1..=250).map(|number| given.buy(number)).collect();
    let answers = futures::future::join_all(orders.iter().map(|order| venue.place(order))).await;
    for (number, answer) in (1..).zip(&answers) {
        match number % 5 {
            0 => assert!(matches!(answer, Answer::Rejected { .. }), "{number}: {answer:?}"),
            _ => assert!(matches!(answer, Answer::Done(_)), "{number}: {answer:?}"),
        }
    }
    let found = futures::future::join_all(orders.iter().map(|order| venue.find(&order.client_order_id))).await;
    assert_eq!(found, answers);
}

/// A venue that has executed everything and never says what became of one order.
struct SilentAbout(VenueName, ClientOrderId);

#[async_trait]
impl Venue for SilentAbout {
    fn name(&self) -> &VenueName {
        &self.0
    }

    async fn place(&self, order: &VenueOrder) -> Answer {
        self.find(&order.client_order_id).await
    }

    async fn find(&self, id: &ClientOrderId) -> Answer {
        if *id == self.1 {
            std::future::pending::<()>().await;
        }
        Answer::Done(Vec::new())
    }
}

#[tokio::test]
async fn one_order_that_is_not_answered_makes_none_unknown_that_travels_with_it() {
    let given = a_venue().await;
    let orders: Vec<_> = (1..=100).map(|number| given.buy(number)).collect();
    let silent = SilentAbout(name(), orders[6].client_order_id);
    let listener = Listener::bounded(Arc::new(silent), Duration::from_millis(100)).await;
    let venue = listener.venue(EXCHANGER_TOKEN);
    let placed = futures::future::join_all(orders.iter().map(|order| venue.place(order))).await;
    let found = futures::future::join_all(orders.iter().map(|order| venue.find(&order.client_order_id))).await;
    for answers in [placed, found] {
        for (number, answer) in (1..).zip(answers) {
            match number {
                7 => assert!(reason(&answer).contains("did not answer within 100 ms"), "{answer:?}"),
                _ => assert_eq!(answer, Answer::Done(Vec::new()), "{number}"),
            }
        }
    }
}

#[test]
fn what_a_later_venue_may_say_is_not_half_understood() {
    let read = |text: &str| serde_json::from_str::<Answer>(text);
    let fill = r#"{"quantity": {"amount": "3", "asset": "BTC"}, "price": "10", "fee": {"amount": "0", "asset": "USD"}"#;
    assert!(read(&format!(r#"{{"done": [{fill}}}]}}"#)).is_ok());
    for strange in [
        &format!(r#"{{"done": [{fill}, "fee_in": "crypto"}}]}}"#),
        r#"{"done": [], "more_to_come": true}"#,
        r#"{"rejected": {"reason": "busy", "try_again": true}}"#,
        r#"{"not_found": {}}"#,
        r#""settling""#,
    ] {
        assert!(read(strange).is_err(), "{strange}");
    }
}
