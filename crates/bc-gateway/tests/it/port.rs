//! `bc_gateway` as other services see it, through both adapters of its port: plain calls, and HTTP through its real routes on
//! a real socket. `local::name` and `http::name` are one story.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bc_gateway::{Dependencies, Service};
use contracts::clients::{BcGateway, ClientError, MAX_COMMANDS, Submission, WithdrawCommand};
use contracts::messages::Step;
use contracts::operators::{ChainRuling, ChainVerdict, Instruction, Retried, RulingOutcome};
use contracts::{SeededEntropy, ServiceName};
use service_kit::http::{ServeLimits, serve};
use service_kit::internal::InternalTokens;
use service_kit::problem::with_fallbacks;
use service_kit::settings::Secret;
use service_kit::shutdown::Shutdown;
use tokio::net::TcpListener;
use transport::http::{HttpBcGateway, Options, Peer};

use crate::world::{World, btc, key, onward, order, taken_back, withdrawal};

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
    a_full_call_is_one
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
    Peer::try_new(ServiceName::BcGateway, address, token, Options::default(), entropy).unwrap()
}

fn service(world: &World) -> Service {
    let callers = ["wallet", "exchanger", "operator:ann"];
    let tokens = callers.map(|name| (name.parse().unwrap(), Secret::new(&format!("token-of-{name}"))));
    Service::new(Dependencies {
        internal_tokens: Arc::new(InternalTokens::try_new(tokens).unwrap()),
        ..world.dependencies()
    })
}

async fn client_of(world: &World, adapter: Adapter) -> Arc<dyn BcGateway> {
    let service = service(world);
    match adapter {
        Adapter::Local => service.client(),
        Adapter::Http => Arc::new(HttpBcGateway(way_to(&served(&service).await, "token-of-wallet"))),
    }
}

fn instruction() -> Instruction {
    Instruction {
        operator: "operator:ann".to_owned(),
        reason: "the node says so".to_owned(),
    }
}

async fn commands_are_accepted_once_and_each_has_its_outcome(adapter: Adapter) {
    let world = World::new();
    let client = client_of(&world, adapter).await;
    assert_eq!(client.submit(vec![]).await.unwrap(), []);
    let nothing = WithdrawCommand {
        amount: btc(0),
        ..withdrawal(3)
    };
    let other = WithdrawCommand {
        amount: btc(1),
        ..withdrawal(1)
    };
    let batch = vec![
        withdrawal(1),
        nothing,
        onward(2),
        withdrawal(1),
        other,
        taken_back(onward(1)),
    ];
    let outcomes = client.submit(batch).await.unwrap();
    assert_eq!(outcomes[0], NEW);
    assert!(matches!(&outcomes[1], Submission::Invalid { detail } if !detail.is_empty()));
    assert_eq!(outcomes[2..5], [NEW, AGAIN, Submission::Conflict]);
    // What it takes back was stored by the same call, so it is known only to the next one.
    let after = client.submit(vec![taken_back(onward(1)), onward(2)]).await.unwrap();
    assert_eq!(after, [Submission::Conflict, AGAIN]);
    assert_eq!(world.commands.record(key(3, Step::Withdraw)).await.unwrap(), None);
}

async fn a_full_call_is_one(adapter: Adapter) {
    let world = World::new();
    let client = client_of(&world, adapter).await;
    let commands = (1..=MAX_COMMANDS).map(|number| withdrawal(i64::try_from(number).unwrap()));
    assert_eq!(
        client.submit(commands.collect()).await.unwrap(),
        vec![NEW; MAX_COMMANDS]
    );
    assert_eq!(world.commands.open_count().await.unwrap(), 100);
}

async fn a_step_is_shown_as_it_stands(adapter: Adapter) {
    let world = World::new();
    let client = client_of(&world, adapter).await;
    assert_eq!(client.view(order(1), Step::Withdraw).await, Ok(None));
    assert_eq!(client.submit(vec![withdrawal(1)]).await.unwrap(), [NEW]);
    let open = client.view(order(1), Step::Withdraw).await.unwrap().unwrap();
    assert_eq!(
        (open.step, open.state.as_str(), open.result),
        (Step::Withdraw, "open", None)
    );
    assert_eq!(client.view(order(1), Step::WithdrawBack).await, Ok(None));
    world.clock.advance(Duration::from_secs(10));
    world.finish().await;
    let done = client.view(order(1), Step::Withdraw).await.unwrap().unwrap();
    assert_eq!(done.state, "done");
    assert!(done.result.is_some() && done.attempt.is_some());
}

async fn a_step_is_tried_again_when_somebody_wishes(adapter: Adapter) {
    let world = World::new();
    let client = client_of(&world, adapter).await;
    let wish = || client.retry(order(1), Step::Withdraw, instruction());
    assert_eq!(wish().await, Ok(Retried::Unknown));
    assert_eq!(client.submit(vec![withdrawal(1)]).await.unwrap(), [NEW]);
    assert_eq!(wish().await, Ok(Retried::Nudged));
    let acts = client.view(order(1), Step::Withdraw).await.unwrap().unwrap().acts;
    assert_eq!((acts.len(), acts[0].operator.as_str()), (1, "operator:ann"));
}

async fn a_ruling_is_recorded_once_and_never_against_what_is_known(adapter: Adapter) {
    let world = World::new();
    let client = client_of(&world, adapter).await;
    let rule = |verdict| {
        let ruling = ChainRuling {
            order_id: order(1),
            step: Step::Withdraw,
            verdict,
            instruction: instruction(),
        };
        let client = Arc::clone(&client);
        async move { client.rule(ruling).await.unwrap() }
    };
    assert_eq!(rule(ChainVerdict::NeverConfirms {}).await, RulingOutcome::Unknown);
    assert_eq!(client.submit(vec![withdrawal(1)]).await.unwrap(), [NEW]);
    let early = rule(ChainVerdict::NeverConfirms {}).await;
    assert!(matches!(early, RulingOutcome::Contradicted { .. }), "{early:?}");
    world.manners.silence(true);
    for _ in 0..30 {
        world.try_all().await;
        world.clock.advance(Duration::from_secs(7));
    }
    world.manners.silence(false);
    let recorded = |replayed| RulingOutcome::Recorded { replayed };
    assert_eq!(rule(ChainVerdict::NeverConfirms {}).await, recorded(false));
    assert_eq!(rule(ChainVerdict::NeverConfirms {}).await, recorded(true));
    let transaction = "ab".repeat(32);
    let against = rule(ChainVerdict::Confirmed { transaction }).await;
    assert!(matches!(against, RulingOutcome::Contradicted { .. }), "{against:?}");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_which_setting_to_change_and_has_done_nothing() {
    let world = World::new();
    let right = served(&service(&world)).await;
    let elsewhere = format!("{right}/bc_gateway");
    for (address, token, setting) in [
        (&right, "nobodys-token", "CAMBIST_INTERNAL_TOKEN)"),
        (&right, "token-of-exchanger", "is not for exchanger"),
        (&right, "token-of-operator:ann", "is not for operator:ann"),
        (&elsewhere, "token-of-wallet", "CAMBIST_BC_GATEWAY_URL"),
    ] {
        let client = HttpBcGateway(way_to(address, token));
        let denied = |error: Option<ClientError>| match error {
            Some(ClientError::Denied(detail)) => assert!(detail.contains(setting), "{detail}"),
            other => panic!("{token} at {address}: {other:?}"),
        };
        denied(client.submit(vec![withdrawal(1)]).await.err());
        denied(client.retry(order(1), Step::Withdraw, instruction()).await.err());
        denied(client.view(order(1), Step::Withdraw).await.err());
    }
    assert_eq!(world.commands.record(key(1, Step::Withdraw)).await.unwrap(), None);
}
