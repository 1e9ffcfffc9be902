//! What is sent: where to, under whose name, with which cause; and what an address may be.

use contracts::clients::{Auth as _, Balance as _, ClientError, Exchanger as _, Notification as _, NotifyCommand};
use contracts::messages::Step;
use contracts::traces::{self, TraceContext, within};
use contracts::{OrderId, ServiceName, operators::Instruction};
use transport::http::{HttpAuth, HttpExchanger, HttpNotification, InvalidPeer, Options, Peer};

use super::peer::{Manner, Scripted, json, problem};
use super::{WALLET, balance_at, brisk, user, way_to};
use crate::given::{entropy, soon};

const CAUSE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test]
async fn a_request_says_who_asks_and_what_caused_it() {
    let peer = Scripted::new(|_, _| Manner::Says(json("200 OK", WALLET))).await;
    let balance = balance_at(&format!("{}/balance/", peer.address), brisk());
    soon(balance.wallet(user())).await.unwrap();
    let cause = TraceContext::parse(CAUSE);
    soon(within(cause, balance.wallet(user()))).await.unwrap();
    let seen = peer.seen();
    assert_eq!(seen[0].line(), "GET /balance/wallet/2 HTTP/1.1");
    assert_eq!(seen[0].header("authorization"), Some("Bearer token-of-wallet"));
    assert_eq!(
        (seen[0].header("traceparent"), seen[1].header("traceparent")),
        (None, Some(CAUSE))
    );
}

#[tokio::test]
async fn what_caused_each_order_travels_with_its_command() {
    crate::spans::collected();
    let accepted = r#"[{"outcome": "accepted", "replayed": false}, {"outcome": "accepted", "replayed": false}]"#;
    let peer = Scripted::new(move |_, _| Manner::Says(json("202 Accepted", accepted))).await;
    let notification = HttpNotification(way_to(&peer.address, brisk()));
    let order = |number| OrderId::try_new(number).unwrap();
    traces::note(order(801), TraceContext::parse(CAUSE).unwrap());
    let commands = [801, 802].map(|number| NotifyCommand {
        order_id: order(number),
        email: "ada@example.com".to_owned(),
        payload: "Done".to_owned(),
    });
    soon(notification.submit(commands.to_vec())).await.unwrap();
    let expected = format!("801={CAUSE}");
    assert_eq!(peer.seen()[0].header(traces::CAUSES_HEADER), Some(&*expected));
}

#[tokio::test]
async fn a_step_is_asked_for_by_its_name() {
    let peer = Scripted::new(|_, _| Manner::Says(problem(404, "not_found", ""))).await;
    let exchanger = HttpExchanger(way_to(&peer.address, brisk()));
    let order = OrderId::try_new(7).unwrap();
    assert_eq!(soon(exchanger.view(order, Step::Reverse)).await, Ok(None));
    assert_eq!(peer.seen()[0].line(), "GET /steps/7?step=reverse HTTP/1.1");
}

#[tokio::test]
async fn a_wish_to_try_again_is_not_sent_twice() {
    let peer = Scripted::new(|_, _| Manner::SaysAndCloses(String::new())).await;
    let exchanger = HttpExchanger(way_to(&peer.address, brisk()));
    let instruction = Instruction {
        operator: "operator:ann".to_owned(),
        reason: "the venue is back".to_owned(),
    };
    let answer = soon(exchanger.retry(OrderId::FIRST, Step::Exchange, instruction)).await;
    assert!(matches!(answer, Err(ClientError::Unavailable(_))), "{answer:?}");
    assert_eq!(peer.seen().len(), 1);
}

#[tokio::test]
async fn somebody_elses_answer_is_not_this_users() {
    let stranger = r#"{"id": 3, "username": "bob", "first_name": "B", "last_name": "B", "email": "b@example.com"}"#;
    let peer = Scripted::new(move |_, _| Manner::Says(json("200 OK", stranger))).await;
    let answer = soon(HttpAuth(way_to(&peer.address, brisk())).user(user())).await;
    assert!(matches!(answer, Err(ClientError::Unavailable(_))), "{answer:?}");
}

#[test]
fn an_address_that_makes_no_sense_is_refused_with_the_reason() {
    let refused = |address: &str| {
        let peer = Peer::try_new(ServiceName::Balance, address, "t", Options::default(), entropy());
        peer.map(drop).unwrap_err().to_string()
    };
    assert!(refused("10.0.0.7:8001").contains("written like http://"));
    assert!(refused("https://balance").contains("speak http"));
    assert!(refused("http://user:pass@balance").contains("token is a setting of its own"));
    assert!(refused("http://balance/?a=b").contains("ends with its path"));
}

#[test]
fn a_token_is_neither_sent_broken_nor_shown() {
    let with = |token: &str| {
        let address = "http://127.0.0.1:1";
        Peer::try_new(ServiceName::Balance, address, token, Options::default(), entropy())
    };
    for wrong in ["", "two words", "line\nbreak", &"x".repeat(4_097)] {
        assert!(matches!(with(wrong), Err(InvalidPeer::Token)));
    }
    assert!(!format!("{:?}", with("secret-token").unwrap()).contains("secret-token"));
}
