//! Who may call which internal route.

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, patch, post};
use contracts::{OrderId, ServiceName, SystemClock, SystemEntropy, traces};
use service_kit::internal::{Allowed, Caller, InternalTokens, allow};
use service_kit::settings::{CallerTokens, Secret, Value as _};

use crate::support::{Server, client};

const LEDGER: &[Allowed] = &[
    Allowed::Service(ServiceName::Wallet),
    Allowed::Service(ServiceName::Exchanger),
    Allowed::Operator,
];
const WITHDRAW: &[Allowed] = &[Allowed::Service(ServiceName::Wallet)];
const SAGAS: &[Allowed] = &[Allowed::Operator];

async fn server() -> Server {
    let text = "wallet=wallet-token-123456,exchanger=exchanger-token-1,notification=notification-token,\
                operator:ann=operator-token-ann";
    let tokens = Arc::new(InternalTokens::try_new(CallerTokens::parse(text).unwrap().0).unwrap());
    let who = |caller: Caller| async move { caller.to_string() };
    let ledger = allow(
        Router::new().route("/wallet/{user_id}", patch(who).get(who)),
        &tokens,
        LEDGER,
    );
    let withdraw = allow(Router::new().route("/withdraw/{user_id}", post(who)), &tokens, WITHDRAW);
    let sagas = allow(Router::new().route("/sagas", get(who)), &tokens, SAGAS);
    Server::start(
        ledger
            .merge(withdraw)
            .merge(sagas)
            .route("/livez", get(|| async { "alive" })),
    )
    .await
}

#[tokio::test]
async fn each_route_is_for_its_callers_and_nobody_else() {
    let server = server().await;
    let callers = [
        ("wallet-token-123456", "wallet"),
        ("exchanger-token-1", "exchanger"),
        ("notification-token", "notification"),
        ("operator-token-ann", "operator:ann"),
    ];
    let routes = [
        ("PATCH", "/wallet/2", [200, 200, 403, 200]),
        ("GET", "/wallet/2", [200, 200, 403, 200]),
        ("POST", "/withdraw/2", [200, 403, 403, 403]),
        ("GET", "/sagas", [403, 403, 403, 200]),
    ];
    for (method, path, expected) in routes {
        for ((token, name), status) in callers.into_iter().zip(expected) {
            let request = client()
                .request(method.parse().unwrap(), server.url(path))
                .bearer_auth(token);
            let answer = crate::support::Answer::of(request.send().await.unwrap()).await;
            assert_eq!(answer.status, status, "{name} {method} {path}");
            if status == 200 {
                assert_eq!(answer.text, name);
            } else {
                assert_eq!(answer.problem(), "forbidden");
            }
        }
    }
}

struct Nobody;

impl traces::Collector for Nobody {
    fn take(&self, _: traces::Ended) {}
}

#[tokio::test]
async fn the_causes_of_orders_are_learnt_from_those_who_may_call_and_from_nobody_else() {
    traces::collect(Nobody, Arc::new(SystemClock), Arc::new(SystemEntropy));
    let server = server().await;
    let cause = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let order = |number| OrderId::try_new(number).unwrap();
    let tell = async |token: &str, causes: String| {
        let request = client().post(server.url("/withdraw/2")).bearer_auth(token);
        let request = request.header(traces::CAUSES_HEADER, causes);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(tell("exchanger-token-1", format!("901={cause}")).await, 403);
    assert_eq!(tell("nobody", format!("902={cause}")).await, 401);
    let several = format!("903={cause},904=nonsense,905={cause}");
    assert_eq!(tell("wallet-token-123456", several).await, 200);
    let known = [901, 902, 903, 904, 905].map(|number| traces::cause_of(order(number)).is_some());
    assert_eq!(known, [false, false, true, false, true]);
}

#[tokio::test]
async fn without_a_known_token_nothing_opens_but_the_probes() {
    let server = server().await;
    assert_eq!(server.get("/livez").await.text, "alive");
    assert_eq!(server.get("/sagas").await.problem(), "unauthorized");
    for token in [
        "",
        "wallet",
        "wallet-token-123457",
        "wallet-token-12345",
        "WALLET-TOKEN-123456",
    ] {
        let answer = server.get_with_token("/sagas", token).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (401, "unauthorized"),
            "{token:?}"
        );
    }
    let basic = client()
        .get(server.url("/sagas"))
        .header("authorization", "Basic operator-token-ann");
    assert_eq!(basic.send().await.unwrap().status(), 401);
}

#[test]
fn two_callers_never_share_a_token_and_one_may_have_two() {
    let ann = || "operator:ann".parse::<Caller>().unwrap();
    let bob = "operator:bob".parse::<Caller>().unwrap();
    let shared = InternalTokens::try_new([
        (ann(), Secret::new("one-token-for-two")),
        (bob, Secret::new("one-token-for-two")),
    ]);
    assert_eq!(
        shared.unwrap_err().to_string(),
        "internal_tokens: operator:ann and operator:bob have the same token; give each its own"
    );
    let both = InternalTokens::try_new([(ann(), Secret::new("old")), (ann(), Secret::new("new"))]).unwrap();
    assert_eq!((both.caller("old"), both.caller("new")), (Some(&ann()), Some(&ann())));
    assert_eq!(both.caller("older"), None);
    assert_eq!(InternalTokens::try_new([]).unwrap().caller(""), None);
    assert!(!format!("{both:?}").contains("old"));
}

#[test]
fn callers_have_names_that_can_stand_in_an_audit_log() {
    for name in ["wallet", "bc_gateway", "operator:ann", "operator:ann.lee@example.com"] {
        assert_eq!(name.parse::<Caller>().unwrap().to_string(), name);
    }
    for name in [
        "",
        "bank",
        "operator:",
        "operator:Ann",
        "operator:a b",
        "operator:a\nb",
        "wallet ",
    ] {
        assert!(name.parse::<Caller>().is_err(), "{name:?}");
    }
}
