//! `exchanger` as other services see it, through both adapters of its port: plain calls, and HTTP through its real routes on a real
//! socket. `local::name` and `http::name` are one story.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use contracts::clients::{ClientError, ExchangeCommand, Exchanger, MAX_COMMANDS, Submission};
use contracts::messages::Step;
use contracts::operators::{ReportedFill, Retried, RulingOutcome, VenueRuling, VenueVerdict};
use contracts::{Asset, SeededEntropy, ServiceName, UserId};
use exchanger::Service;
use service_kit::http::{ServeLimits, serve};
use service_kit::problem::with_fallbacks;
use service_kit::shutdown::Shutdown;
use tokio::net::TcpListener;
use transport::http::{HttpExchanger, Options, Peer};

use crate::rulings::{instruction, until_in_doubt};
use crate::scene::{
    BALANCE_TOKEN, OPERATOR_TOKEN, Scene, WALLET_TOKEN, btc, buy, exchange, order, price, sell, undo, usd,
};

/// How the port is reached.
#[derive(Debug, Clone, Copy)]
enum Adapter {
    Local,
    Http,
}

macro_rules! on_both {
    ($($story:ident)*) => {
        mod local {
            $(#[tokio::test] async fn $story() { super::$story(super::Adapter::Local).await; })*
        }
        mod http {
            $(#[tokio::test] async fn $story() { super::$story(super::Adapter::Http).await; })*
        }
    };
}

on_both! {
    commands_are_accepted_once_and_each_has_its_outcome
    what_makes_no_sense_is_refused_for_its_reason
    a_full_call_of_buys_and_sells_is_one
    a_step_is_shown_as_it_stands
    a_step_is_tried_again_when_somebody_wishes
    a_ruling_is_recorded_once_and_never_against_what_is_known
}

const NEW: Submission = Submission::Accepted { replayed: false };
const AGAIN: Submission = Submission::Accepted { replayed: true };

/// The address of the service's internal listener, until the test ends.
async fn served(service: &Service) -> String {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", socket.local_addr().unwrap());
    let limits = ServeLimits {
        max_connections: NonZeroUsize::new(100).unwrap(),
        header_timeout: Duration::from_secs(15),
        drain_timeout: Duration::ZERO,
    };
    let router = with_fallbacks(service.internal_routes().into());
    tokio::spawn(serve(socket, router, limits, Shutdown::new().token()));
    address
}

fn way_to(address: &str, token: &str) -> Peer {
    let entropy = Arc::new(SeededEntropy::new(7));
    Peer::try_new(ServiceName::Exchanger, address, token, Options::default(), entropy).unwrap()
}

async fn begin(adapter: Adapter) -> (Scene, Arc<dyn Exchanger>) {
    let scene = Scene::new();
    let client: Arc<dyn Exchanger> = match adapter {
        Adapter::Local => scene.client(),
        Adapter::Http => Arc::new(HttpExchanger(way_to(&served(&scene.service).await, WALLET_TOKEN))),
    };
    (scene, client)
}

async fn commands_are_accepted_once_and_each_has_its_outcome(adapter: Adapter) {
    let (scene, client) = begin(adapter).await;
    assert_eq!(client.submit(vec![]).await.unwrap(), []);
    let batch = vec![buy(1, "30"), sell(2, "1.5"), buy(1, "30"), buy(1, "31"), sell(1, "3")];
    let outcomes = client.submit(batch).await.unwrap();
    assert_eq!(outcomes, [NEW, NEW, AGAIN, Submission::Conflict, Submission::Conflict]);
    let stored: ExchangeCommand = serde_json::from_str(&scene.record(exchange(2)).await.content).unwrap();
    assert_eq!(stored, sell(2, "1.5"));
}

async fn what_makes_no_sense_is_refused_for_its_reason(adapter: Adapter) {
    let (scene, client) = begin(adapter).await;
    let with = |change: fn(&mut ExchangeCommand)| {
        let mut command = buy(1, "30");
        change(&mut command);
        command
    };
    let batch = vec![
        with(|command| command.asset = Asset::USD),
        with(|command| command.currency = Asset::ETH),
        with(|command| command.amount = btc("30")),
        with(|command| command.amount = usd("0")),
        with(|command| command.acquirer_user_id = UserId::HOT_WALLET),
        undo(1, "3"),
        buy(2, "30"),
    ];
    let outcomes = client.submit(batch).await.unwrap();
    let reasons = [
        "the asset must be a crypto asset; USD is none",
        "the currency must be a fiat currency; ETH is none",
        "the amount must be in USD",
        "the amount must be greater than zero",
        "the hot wallet does not trade with itself",
        "the order has no trade that could be undone",
    ];
    let invalid = reasons.map(|reason| Submission::Invalid {
        detail: reason.to_owned(),
    });
    assert_eq!(outcomes[..6], invalid);
    assert_eq!(outcomes[6], NEW);
    assert_eq!(scene.store.record(exchange(1)).await.unwrap(), None);
}

async fn a_full_call_of_buys_and_sells_is_one(adapter: Adapter) {
    let (scene, client) = begin(adapter).await;
    let one = |number: usize| {
        let id = i64::try_from(number).unwrap();
        if number.is_multiple_of(2) {
            buy(id, "30")
        } else {
            sell(id, "0.00000001")
        }
    };
    let commands = (1..=MAX_COMMANDS).map(one).collect();
    assert_eq!(client.submit(commands).await.unwrap(), vec![NEW; MAX_COMMANDS]);
    assert_eq!(scene.store.open_count().await.unwrap(), 100);
}

async fn a_step_is_shown_as_it_stands(adapter: Adapter) {
    let (scene, client) = begin(adapter).await;
    assert_eq!(client.view(order(1), Step::Exchange).await, Ok(None));
    scene.order(buy(1, "30")).await;
    let open = client.view(order(1), Step::Exchange).await.unwrap().unwrap();
    assert_eq!(
        (open.step, open.state.as_str(), open.result),
        (Step::Exchange, "open", None)
    );
    let result = scene.finish(exchange(1)).await;
    let done = client.view(order(1), Step::Exchange).await.unwrap().unwrap();
    assert_eq!((done.state.as_str(), done.result), ("done", Some(result)));
    assert_eq!(client.view(order(1), Step::Reverse).await, Ok(None));
}

async fn a_step_is_tried_again_when_somebody_wishes(adapter: Adapter) {
    let (scene, client) = begin(adapter).await;
    let wish = || client.retry(order(1), Step::Exchange, instruction());
    assert_eq!(wish().await, Ok(Retried::Unknown));
    scene.order(buy(1, "30")).await;
    assert_eq!(wish().await, Ok(Retried::Nudged));
    let acts = client.view(order(1), Step::Exchange).await.unwrap().unwrap().acts;
    assert_eq!(
        (acts.len(), acts[0].operator.as_str(), acts[0].verb.as_str()),
        (1, "operator:ann", "retry")
    );
}

async fn a_ruling_is_recorded_once_and_never_against_what_is_known(adapter: Adapter) {
    let (scene, client) = begin(adapter).await;
    let rule = |attempt: &str, verdict| {
        let ruling = VenueRuling {
            order_id: order(1),
            attempt: attempt.to_owned(),
            verdict,
            instruction: instruction(),
        };
        let client = Arc::clone(&client);
        async move { client.rule(ruling).await.unwrap() }
    };
    let executed = VenueVerdict::Executed {
        fills: vec![ReportedFill {
            quantity: btc("2.9"),
            price: price("10"),
            fee: usd("0.1"),
        }],
        venue_reference: "V-1".to_owned(),
    };
    let nameless = rule("cambist-5eed0001-1-exchange-1", VenueVerdict::NotExecuted {}).await;
    assert_eq!(nameless, RulingOutcome::Unknown);
    scene.order(buy(1, "30")).await;
    let attempt = until_in_doubt(&scene, exchange(1)).await;
    let senseless = VenueVerdict::Executed {
        fills: Vec::new(),
        venue_reference: "V-1".to_owned(),
    };
    let refused = rule(&attempt, senseless).await;
    assert!(matches!(refused, RulingOutcome::Invalid { .. }), "{refused:?}");
    let recorded = |replayed| RulingOutcome::Recorded { replayed };
    assert_eq!(rule(&attempt, executed.clone()).await, recorded(false));
    assert_eq!(rule(&attempt, executed).await, recorded(true));
    let against = rule(&attempt, VenueVerdict::NotExecuted {}).await;
    assert!(matches!(against, RulingOutcome::Contradicted { .. }), "{against:?}");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_which_setting_to_change_and_has_done_nothing() {
    let scene = Scene::new();
    let right = served(&scene.service).await;
    let elsewhere = format!("{right}/exchanger");
    for (address, token, setting) in [
        (&right, "nobodys-token", "CAMBIST_INTERNAL_TOKEN)"),
        (&right, BALANCE_TOKEN, "is not for balance"),
        (&right, OPERATOR_TOKEN, "is not for operator:ann"),
        (&elsewhere, WALLET_TOKEN, "CAMBIST_EXCHANGER_URL"),
    ] {
        let client = HttpExchanger(way_to(address, token));
        let denied = |error: Option<ClientError>| match error {
            Some(ClientError::Denied(detail)) => assert!(detail.contains(setting), "{detail}"),
            other => panic!("{token} at {address}: {other:?}"),
        };
        denied(client.submit(vec![buy(1, "30")]).await.err());
        denied(client.retry(order(1), Step::Exchange, instruction()).await.err());
        denied(client.view(order(1), Step::Exchange).await.err());
    }
    assert_eq!(scene.store.record(exchange(1)).await.unwrap(), None);
}
