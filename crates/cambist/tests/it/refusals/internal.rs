//! The internal listener: nothing without a token, each caller only what it needs, and none of it on the public side.

use contracts::ServiceName;
use reqwest::Method;
use test_kit::api::{Answer, Api};
use test_kit::system::{OPERATOR_TOKEN, TestSystem, service_token};

use super::{given_ada_and_bob, snapshot};

use ServiceName::{BcGateway, Exchanger, Wallet};

/// Every internal route, with the services it is for. Operators may call all of them. The bodies make no sense, so that
/// whoever gets through changes nothing.
static ROUTES: [(Method, &str, &str, &[ServiceName]); 32] = [
    (Method::GET, "/auth/user/2", "", &[Wallet]),
    (Method::GET, "/auth/.well-known/jwks.json", "", &[Wallet]),
    (Method::GET, "/balance/wallet/2", "", &[Wallet, Exchanger, BcGateway]),
    (Method::POST, "/balance/wallet/2", "{}", &[Wallet]),
    (Method::PATCH, "/balance/wallet/2", "{}", &[Wallet]),
    (Method::GET, "/balance/wallet/2/transactions", "", &[Wallet]),
    (
        Method::POST,
        "/balance/transfers",
        "{}",
        &[Wallet, Exchanger, BcGateway],
    ),
    (Method::POST, "/exchanger/buy/1", "{}", &[Wallet]),
    (Method::POST, "/exchanger/sell/1", "{}", &[Wallet]),
    (Method::POST, "/exchanger/buy", "{}", &[Wallet]),
    (Method::POST, "/exchanger/sell", "{}", &[Wallet]),
    (Method::POST, "/bc_gateway/withdraw/2", "{}", &[Wallet]),
    (Method::POST, "/bc_gateway/withdraw", "{}", &[Wallet]),
    (Method::POST, "/notification/send/99", "{}", &[Wallet]),
    (Method::POST, "/notification/send", "{}", &[Wallet]),
    (Method::GET, "/wallet/sagas", "", &[]),
    (Method::GET, "/wallet/sagas?state=stuck", "", &[]),
    (Method::POST, "/wallet/sagas/1/retry", "{}", &[]),
    (Method::POST, "/wallet/sagas/1/resolve", "{}", &[]),
    (Method::GET, "/wallet/freezes", "", &[]),
    (Method::GET, "/wallet/freezes/2", "", &[]),
    (Method::POST, "/wallet/freezes/2", "{}", &[]),
    (Method::POST, "/wallet/freezes/2/lift", "{}", &[]),
    (Method::POST, "/wallet/deposits/2", "{}", &[]),
    (Method::GET, "/wallet/dead_letters", "", &[]),
    (Method::POST, "/wallet/dead_letters/1/replay", "{}", &[]),
    (Method::GET, "/exchanger/dead_letters", "", &[]),
    (Method::POST, "/exchanger/dead_letters/1/replay", "{}", &[]),
    (Method::GET, "/bc_gateway/dead_letters", "", &[]),
    (Method::POST, "/bc_gateway/dead_letters/1/replay", "{}", &[]),
    (Method::GET, "/notification/dead_letters", "", &[]),
    (Method::POST, "/notification/dead_letters/1/replay", "{}", &[]),
];

async fn ask(base: &str, (method, path, body): (&Method, &str, &str), token: Option<&str>) -> Answer {
    let api = Api::new(base);
    let request = api
        .request(method.clone(), path)
        .header("content-type", "application/json");
    let request = match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    api.send(request.body(body.to_owned())).await.unwrap()
}

#[tokio::test]
async fn nothing_internal_opens_without_a_token_of_its_own_kind() {
    let system = TestSystem::start().await;
    let (ada, _) = given_ada_and_bob(&system).await;
    let before = snapshot(&system);
    for (method, path, body, _) in &ROUTES {
        let route = (method, *path, *body);
        for token in [None, Some("a guess"), Some(ada.token.as_str())] {
            let answer = ask(&system.internal, route, token).await;
            answer.assert_problem(401, "unauthorized");
        }
    }
    assert_eq!(snapshot(&system), before);
    let unknown = ask(&system.internal, (&Method::GET, "/nothing", ""), None).await;
    unknown.assert_problem(404, "not_found");
}

#[tokio::test]
async fn each_caller_gets_what_it_needs_and_nothing_else() {
    let system = TestSystem::start().await;
    given_ada_and_bob(&system).await;
    let before = snapshot(&system);
    for (method, path, body, callers) in &ROUTES {
        let route = (method, *path, *body);
        for service in ServiceName::ALL {
            let answer = ask(&system.internal, route, Some(&service_token(service))).await;
            if callers.contains(&service) {
                assert!(![401, 403].contains(&answer.status), "{service} {path}: {answer:?}");
            } else {
                assert_eq!(answer.status, 403, "{service} {path}: {answer:?}");
                answer.assert_problem(403, "forbidden");
            }
        }
        let answer = ask(&system.internal, route, Some(OPERATOR_TOKEN)).await;
        assert!(![401, 403, 404, 405].contains(&answer.status), "{path}: {answer:?}");
    }
    assert_eq!(snapshot(&system), before, "the bodies made no sense");
}

/// A ruling or a retry at the service of a step names the operator in its body, so only the wallet, which has seen their
/// token, may hand it over.
#[tokio::test]
async fn nobody_but_the_wallet_speaks_for_an_operator() {
    let system = TestSystem::start().await;
    let routes = [
        (Method::POST, "/exchanger/rulings"),
        (Method::POST, "/exchanger/retries"),
        (Method::GET, "/exchanger/steps/1?step=exchange"),
        (Method::POST, "/bc_gateway/rulings"),
        (Method::POST, "/bc_gateway/retries"),
        (Method::GET, "/bc_gateway/steps/1"),
    ];
    for (method, path) in &routes {
        let route = (method, *path, "{}");
        ask(&system.internal, route, Some(OPERATOR_TOKEN))
            .await
            .assert_problem(403, "forbidden");
        ask(&system.internal, route, Some(&service_token(ServiceName::Balance)))
            .await
            .assert_problem(403, "forbidden");
        let wallet = ask(&system.internal, route, Some(&service_token(Wallet))).await;
        assert!([404, 422].contains(&wallet.status), "{path}: {wallet:?}");
    }
}

#[tokio::test]
async fn what_auth_tells_of_a_user_is_never_a_credential() {
    let system = TestSystem::start().await;
    given_ada_and_bob(&system).await;
    let user = system.operator(Method::GET, "/auth/user/2", None).await;
    assert_eq!(user.body["username"], "ada");
    assert_eq!(user.body["email"], "ada@example.com");
    for credential in ["password", "hash", "argon2"] {
        assert!(!user.text.contains(credential), "{}", user.text);
    }
    let unknown = system.operator(Method::GET, "/auth/user/99", None).await;
    unknown.assert_problem(404, "not_found");
}

#[tokio::test]
async fn none_of_it_is_on_the_public_side() {
    let system = TestSystem::start().await;
    let (ada, _) = given_ada_and_bob(&system).await;
    let before = snapshot(&system);
    let base = system.api.request(Method::GET, "").build().unwrap().url().to_string();
    let base = base.trim_end_matches('/');
    let bare = ROUTES.iter().map(|(method, path, body, _)| {
        let path = path.split_at(path[1..].find('/').unwrap() + 1).1;
        (method.clone(), path.to_owned(), *body)
    });
    let nested = ROUTES
        .iter()
        .map(|(method, path, body, _)| (method.clone(), (*path).to_owned(), *body));
    // Where a service has a public route of the same path, that one answers: as to any user.
    let public = ["/wallet/", "/buy/", "/sell/", "/.well-known/"];
    for (method, path, body) in nested.chain(bare) {
        for token in [OPERATOR_TOKEN, &service_token(Wallet)] {
            let answer = ask(base, (&method, &path, body), Some(token)).await;
            let operators = ["sagas", "freezes", "deposits", "dead_letters"];
            let below = |room: &&str| path.starts_with(&format!("/wallet/{room}/"));
            if public.iter().any(|prefix| path.starts_with(prefix)) && !operators.iter().any(below) {
                let key_set = path == "/.well-known/jwks.json";
                assert_eq!(answer.status, if key_set { 200 } else { 401 }, "{path}: {answer:?}");
            } else {
                answer.assert_problem(404, "not_found");
            }
        }
    }
    let as_a_user = ada.get("/wallet/sagas").await;
    as_a_user.assert_problem(403, "forbidden");
    for probe in ["/livez", "/readyz", "/health", "/metrics"] {
        ask(base, (&Method::GET, probe, ""), None)
            .await
            .assert_problem(404, "not_found");
    }
    assert_eq!(snapshot(&system), before);
}
