//! One trace for each order, from the request to the notification; and a collector that does not answer costs nobody
//! anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use test_kit::api::{Answer, Api, User, placed};
use test_kit::process::{Program, Running};
use test_kit::traces::Collector;
use test_kit::waiting::{PATIENCE, eventually};
use tokio::time::Instant;

use crate::black_box::world::{World, ten_processes};
use crate::program::cambist;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
/// What a completed buy does, in one process.
const DONE: &[&str] = &[
    "POST /buy/{user_id}",
    "balance/post",
    "exchanger/submit",
    "process exchange_orders",
    "publish saga_steps",
    "process saga_steps",
    "bc_gateway/submit",
    "process bcgateway_orders",
    "notification/submit",
    "process notifications",
];

fn traced(folder: &tempfile::TempDir, collector: &Collector) -> Program {
    cambist(folder).with("CAMBIST_OTLP_ENDPOINT", &collector.endpoint)
}

async fn buy_because_of(user: &User, cause: &str) -> Answer {
    let path = format!("/buy/{}", user.id);
    let request = user.api.request(Method::POST, &path).bearer_auth(&user.token);
    let request = request.header("traceparent", cause).json(&json!({"fiat_amount": 30}));
    user.api.send(request).await.unwrap()
}

#[tokio::test]
async fn an_order_is_one_trace_from_the_request_to_the_notification() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let running = traced(&folder, &collector).up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    let first = placed(&buy_because_of(&user, &format!("00-{TRACE}-{CALLER}-01")).await);
    let second = placed(&user.buy("31", None).await);
    let nonsense = placed(&buy_because_of(&user, &format!("00-{TRACE}-{CALLER}-01-more")).await);
    for order in [first, second, nonsense] {
        user.order_at_its_end(order).await;
    }

    let trace = collector.trace_of(first, DONE).await;
    assert!(trace.iter().all(|span| span.trace == TRACE), "the caller's goes on");
    let request = trace.iter().find(|span| span.name == DONE[0]).unwrap();
    assert_eq!(request.parent, CALLER);
    assert_eq!(request.attributes["http.response.status_code"], "202");
    for other in [second, nonsense] {
        let trace = collector.trace_of(other, DONE).await;
        let beginnings: Vec<_> = trace.iter().filter(|span| span.parent.is_empty()).collect();
        assert_eq!(beginnings.len(), 1, "{trace:?}");
        assert_eq!(beginnings[0].name, DONE[0]);
    }

    let steps = |name: &str| -> BTreeSet<&str> {
        let named = trace.iter().filter(|span| span.name == name);
        named.map(|span| &*span.attributes["step"]).collect()
    };
    assert_eq!(steps("balance/post"), BTreeSet::from(["hold"]));
    assert_eq!(steps("process saga_steps"), BTreeSet::from(["exchange", "withdraw"]));
    assert_eq!(steps("process bcgateway_orders"), BTreeSet::from(["withdraw"]));
    assert_eq!(running.terminate().await, Some(0));
}

#[tokio::test]
async fn an_order_is_one_trace_over_ten_processes() {
    let collector = Collector::start().await;
    let world = World::begin(ten_processes().with("otlp_endpoint", &collector.endpoint));
    let user = world.api().given_a_user_with("ada", "600").await;
    let order = placed(&buy_because_of(&user, &format!("00-{TRACE}-{CALLER}-01")).await);
    user.order_at_its_end(order).await;
    let over_queues = [
        "publish exchange_orders",
        "publish bcgateway_orders",
        "publish notifications",
    ];
    let trace = collector.trace_of(order, &[DONE, &over_queues].concat()).await;
    assert!(trace.iter().all(|span| span.trace == TRACE), "the caller's goes on");
    let processes: BTreeSet<&str> = trace.iter().map(|span| &*span.process).collect();
    for process in [
        "cambist-serve-wallet",
        "cambist-serve-exchanger",
        "cambist-work-exchanger",
        "cambist-work-wallet",
        "cambist-serve-bc_gateway",
        "cambist-work-bc_gateway",
        "cambist-serve-notification",
        "cambist-work-notification",
    ] {
        assert!(processes.contains(process), "{process} is not among {processes:?}");
    }
    world.audited().await;
}

#[tokio::test]
async fn what_a_trace_says_is_what_the_program_does_and_nothing_that_a_customer_wrote() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let running = traced(&folder, &collector).with("OTEL_SERVICE_NAME", "desk").up().await;
    let user = running.api.given_a_user_with("ada", "612.34").await;
    let order = placed(&user.buy("612.34", Some("a-key-of-ada")).await);
    user.order_at_its_end(order).await;
    let unknown = user.get("/a-secret-path?token=hunter2").await;
    assert_eq!(unknown.status, 404);
    collector.trace_of(order, DONE).await;
    assert_eq!(running.terminate().await, Some(0));

    let spans = collector.spans();
    let known: BTreeSet<&str> = BTreeSet::from([
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "messaging.destination.name",
        "messaging.operation.name",
        "messaging.operation.type",
        "messaging.system",
        "order_id",
        "outcome",
        "rpc.method",
        "rpc.service",
        "rpc.system",
        "step",
    ]);
    let said: BTreeMap<&str, &str> = spans
        .iter()
        .flat_map(|span| &span.attributes)
        .map(|(key, value)| (&**key, &**value))
        .collect();
    assert_eq!(said.keys().copied().collect::<BTreeSet<_>>(), known);
    // Ids are random, and may look like anything.
    let words = spans.iter().map(|span| (&span.name, &span.attributes, &span.process));
    let text = format!("{:?}", words.collect::<Vec<_>>());
    for secret in ["612", "61.2", "ada", "hunter2", "secret", user.token.as_str()] {
        assert!(!text.contains(secret), "{secret} is said: {text}");
    }
    assert!(spans.iter().all(|span| span.process == "desk"), "{text}");
    assert!(
        spans.iter().any(|span| span.name == "GET"),
        "what has no route has no name of its own"
    );
}

#[tokio::test]
async fn no_caller_keeps_an_order_out_of_the_traces() {
    let collector = Collector::start().await;
    let folder = tempfile::tempdir().unwrap();
    let running = traced(&folder, &collector).up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    let quiet = placed(&buy_because_of(&user, &format!("00-{TRACE}-{CALLER}-00")).await);
    user.order_at_its_end(quiet).await;
    let trace = collector.trace_of(quiet, DONE).await;
    assert!(
        trace.iter().all(|span| span.trace != TRACE),
        "one of its own: {trace:?}"
    );
    assert_eq!(running.terminate().await, Some(0), "with all that waited sent");
}

/// How many spans were dropped.
async fn dropped(running: &Running) -> u64 {
    let internal = Api::new(running.internal.clone());
    let page = internal
        .send(internal.request(Method::GET, "/metrics"))
        .await
        .unwrap()
        .text;
    let name = r#"cambist_trace_spans_total{outcome="dropped"} "#;
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

#[tokio::test]
async fn a_collector_that_never_answers_slows_neither_orders_nor_the_end() {
    let collector = Collector::silent().await;
    let folder = tempfile::tempdir().unwrap();
    let running = traced(&folder, &collector).up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    for _ in 0..5 {
        let began = Instant::now();
        user.order_at_its_end(placed(&user.buy("30", None).await)).await;
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    }
    eventually(
        PATIENCE,
        "spans that nobody takes are dropped",
        async || match dropped(&running).await {
            0 => Err("none"),
            _ => Ok(()),
        },
    )
    .await;
    let began = Instant::now();
    assert_eq!(running.terminate().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let (code, out, _) = cambist(&folder).run(&["audit"]).await;
    assert_eq!(code, Some(0), "{out}");
}
