//! Who may do what: every operation with every kind of token, each cell of the table on its own.
//!
//! Each request is nonsense besides: its body is not what is wanted, and order 999 does not exist. So each cell shows that
//! who you are (401) is asked before whose it is (403), and both before anything else.

use std::collections::BTreeSet;

use contracts::ServiceName;
use test_kit::api::{Answer, User};
use test_kit::system::{OPERATOR_TOKEN, Scene, service_token};

use super::books::Books;
use super::document::{Needs, Operation};
use super::{Request, Stage, assert_one_of};

mod forgeries;

use forgeries::forgeries;

/// `forged`: each token of [`forgeries`]; `alien`: the tokens of services and operators; `other's`: a sound token, on
/// another user's path.
const PUBLIC: &str = "
    operation                                     none  forged  alien  other's  own   frozen
    GET    /.well-known/jwks.json                 200   200     200    200      200   200
    GET    /openapi.json                          200   200     200    200      200   200
    POST   /register                              422   422     422    422      422   422
    POST   /login                                 422   422     422    422      422   422
    GET    /wallet/{user_id}                      401   401     401    403      200   frozen
    POST   /wallet/{user_id}                      401   401     401    403      422   frozen
    PATCH  /wallet/{user_id}                      401   401     401    403      422   frozen
    GET    /wallet/{user_id}/transactions         401   401     401    403      200   frozen
    POST   /buy/{user_id}                         401   401     401    403      422   frozen
    POST   /sell/{user_id}                        401   401     401    403      422   frozen
    GET    /orders/{user_id}                      401   401     401    403      200   frozen
    GET    /orders/{user_id}/{order_id}           401   401     401    403      404   frozen
    GET    /orders/{user_id}/{order_id}/events    401   401     401    403      404   frozen
";

/// `alien`: a user's token, and one that nobody has. Then each service's own, and an operator's.
const INTERNAL: &str = "
    operation                                     none  alien  auth  balance  exchanger  bc_gateway  notification  wallet  operator
    GET    /livez                                 200   200    200   200      200        200         200           200     200
    GET    /readyz                                200   200    200   200      200        200         200           200     200
    GET    /health                                200   200    200   200      200        200         200           200     200
    GET    /metrics                               200   200    200   200      200        200         200           200     200
    GET    /openapi.json                          200   200    200   200      200        200         200           200     200
    GET    /auth/user/{user_id}                   401   401    403   403      403        403         403           200     200
    GET    /auth/.well-known/jwks.json            401   401    403   403      403        403         403           200     200
    GET    /balance/wallet/{user_id}              401   401    403   403      200        200         403           200     200
    POST   /balance/wallet/{user_id}              401   401    403   403      403        403         403           422     422
    PATCH  /balance/wallet/{user_id}              401   401    403   403      403        403         403           422     422
    GET    /balance/wallet/{user_id}/transactions 401   401    403   403      403        403         403           200     200
    POST   /balance/transfers                     401   401    403   403      422        422         403           422     422
    POST   /exchanger/buy                         401   401    403   403      403        403         403           422     422
    POST   /exchanger/buy/{order_id}              401   401    403   403      403        403         403           422     422
    POST   /exchanger/sell                        401   401    403   403      403        403         403           422     422
    POST   /exchanger/sell/{order_id}             401   401    403   403      403        403         403           422     422
    POST   /exchanger/commands                    401   401    403   403      403        403         403           422     403
    POST   /exchanger/rulings                     401   401    403   403      403        403         403           422     403
    POST   /exchanger/retries                     401   401    403   403      403        403         403           422     403
    GET    /exchanger/steps/{order_id}            401   401    403   403      403        403         403           query   403
    GET    /exchanger/dead_letters                401   401    403   403      403        403         403           403     200
    POST   /exchanger/dead_letters/{letter_id}/replay   401 401 403  403      403        403         403           403     422
    POST   /bc_gateway/withdraw                   401   401    403   403      403        403         403           422     422
    POST   /bc_gateway/withdraw/{user_id}         401   401    403   403      403        403         403           422     422
    POST   /bc_gateway/commands                   401   401    403   403      403        403         403           422     403
    POST   /bc_gateway/rulings                    401   401    403   403      403        403         403           422     403
    POST   /bc_gateway/retries                    401   401    403   403      403        403         403           422     403
    GET    /bc_gateway/steps/{order_id}           401   401    403   403      403        403         403           query   403
    GET    /bc_gateway/transfers                  401   401    403   403      403        403         403           403     200
    GET    /bc_gateway/transfers/{order_id}       401   401    403   403      403        403         403           403     query
    POST   /bc_gateway/transfers/{order_id}/retry 401   401    403   403      403        403         403           403     422
    POST   /bc_gateway/transfers/{order_id}/resolve     401 401 403  403      403        403         403           403     422
    GET    /bc_gateway/dead_letters               401   401    403   403      403        403         403           403     200
    POST   /bc_gateway/dead_letters/{letter_id}/replay  401 401 403  403      403        403         403           403     422
    POST   /notification/send                     401   401    403   403      403        403         403           422     422
    POST   /notification/send/{order_id}          401   401    403   403      403        403         403           422     422
    POST   /notification/commands                 401   401    403   403      403        403         403           422     403
    GET    /notification/dead_letters             401   401    403   403      403        403         403           403     200
    POST   /notification/dead_letters/{letter_id}/replay 401 401 403 403      403        403         403           403     422
    GET    /wallet/sagas                          401   401    403   403      403        403         403           403     200
    GET    /wallet/sagas/{order_id}               401   401    403   403      403        403         403           403     404
    POST   /wallet/sagas/{order_id}/retry         401   401    403   403      403        403         403           403     422
    POST   /wallet/sagas/{order_id}/resolve       401   401    403   403      403        403         403           403     422
    GET    /wallet/freezes                        401   401    403   403      403        403         403           403     200
    GET    /wallet/freezes/{user_id}              401   401    403   403      403        403         403           403     200
    POST   /wallet/freezes/{user_id}              401   401    403   403      403        403         403           403     422
    POST   /wallet/freezes/{user_id}/lift         401   401    403   403      403        403         403           403     422
    POST   /wallet/deposits/{user_id}             401   401    403   403      403        403         403           403     422
    GET    /wallet/dead_letters                   401   401    403   403      403        403         403           403     200
    POST   /wallet/dead_letters/{letter_id}/replay 401  401    403   403      403        403         403           403     422
";

/// A table's rows, each with what is expected in each column.
fn rows(table: &'static str) -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    let lines = table.lines().filter(|line| !line.trim().is_empty()).skip(1);
    let row = |line: &'static str| {
        let mut words = line.split_whitespace();
        let (method, template) = (words.next().unwrap(), words.next().unwrap());
        (method, template, words.collect())
    };
    lines.map(row).collect()
}

#[track_caller]
fn assert_cell(answer: &Answer, cell: &str, what: &str) {
    match cell {
        "200" => assert_eq!(answer.status, 200, "{what}: {answer:?}"),
        "401" => {
            assert_one_of(answer, &[(401, "unauthorized")], what);
            assert_eq!(answer.headers["www-authenticate"], "Bearer", "{what}");
        }
        "403" => assert_one_of(answer, &[(403, "forbidden")], what),
        "frozen" => assert_one_of(answer, &[(403, "user_frozen")], what),
        "404" => assert_one_of(answer, &[(404, "not_found")], what),
        "query" => assert_one_of(answer, &[(400, "malformed_query")], what),
        "422" => assert_one_of(answer, &[(422, "invalid")], what),
        cell => panic!("{what}: nobody knows what {cell} means"),
    }
}

/// What is asked: of what there is, but for the order; with a body that is not wanted anywhere.
fn asked(method: &str, template: &str, user: i64) -> Request {
    let path = template.replace("{user_id}", &user.to_string());
    let path = path.replace("{order_id}", "999").replace("{letter_id}", "999");
    let request = Request::new(method, &path);
    if method == "GET" {
        request
    } else {
        request.json(r#"{"nonsense": true}"#)
    }
}

/// The table has exactly the operations there are, and is right about which need no token.
fn assert_complete(table: &'static str, operations: &[Operation]) {
    let listed: BTreeSet<String> = rows(table)
        .iter()
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    let there: BTreeSet<String> = operations.iter().map(ToString::to_string).collect();
    assert_eq!(listed, there, "the table of who may do what and the document differ");
    for (method, path, cells) in rows(table) {
        let operation = operations
            .iter()
            .find(|one| one.method == method && one.template == path)
            .unwrap();
        let open = cells.first() != Some(&"401");
        assert_eq!(open, operation.needs == Needs::Nothing, "{operation}");
        assert!(
            open || operation.documents(401, "unauthorized") && operation.documents(403, "forbidden"),
            "{operation}"
        );
        let frozen = cells.last() == Some(&"frozen");
        assert_eq!(frozen, operation.documents(403, "user_frozen"), "{operation}");
    }
}

#[tokio::test]
async fn of_what_is_public_everybody_gets_what_is_theirs() {
    let stage = Stage::set(Scene::default()).await;
    let [(base, operations), _] = &stage.listeners;
    assert_complete(PUBLIC, operations);
    let bob = stage.system.api.given_a_user("bob").await;
    let carol = stage.system.api.given_a_user("carol").await;
    freeze(&stage, &carol).await;
    let forgeries = forgeries(&stage.system, &stage.ada).await;
    let alien: Vec<String> = ServiceName::ALL
        .map(service_token)
        .into_iter()
        .chain([OPERATOR_TOKEN.to_owned()])
        .collect();
    let before = Books::at_rest(&stage.system).await;

    for (method, template, cells) in rows(PUBLIC) {
        let [none, forged, aliens, others, own, frozen] = cells[..] else {
            panic!("{method} {template}: a row has six cells")
        };
        let request = asked(method, template, stage.ada.id);
        let what = |who: &str| format!("{method} {template}, {who}");
        assert_cell(&request.answered(base).await, none, &what("no token"));
        for (why, header) in &forgeries {
            let answer = request.clone().header("authorization", header).answered(base).await;
            assert_cell(&answer, forged, &what(why));
        }
        for token in &alien {
            assert_cell(
                &request.clone().bearer(token).answered(base).await,
                aliens,
                &what(token),
            );
        }
        // Ada's, the hot wallet's, nobody's: whether there is such a user is not told.
        for owner in [stage.ada.id, 1, 99] {
            let request = asked(method, template, owner);
            for (who, user) in [("another user", &bob), ("a frozen user", &carol)] {
                assert_cell(
                    &request.clone().bearer(&user.token).answered(base).await,
                    others,
                    &what(who),
                );
            }
        }
        assert_cell(
            &request.bearer(&stage.ada.token).answered(base).await,
            own,
            &what("her own"),
        );
        let request = asked(method, template, carol.id).bearer(&carol.token);
        assert_cell(&request.answered(base).await, frozen, &what("frozen"));
    }
    before.assert_unchanged(&stage.system, "who has no business here");
}

async fn freeze(stage: &Stage, user: &User) {
    let path = format!("/wallet/freezes/{}", user.id);
    let frozen = stage
        .system
        .operator(http::Method::POST, &path, Some(r#"{"reason": "a test"}"#))
        .await;
    assert_eq!(frozen.status, 201, "{frozen:?}");
}

#[tokio::test]
async fn of_what_is_internal_each_caller_gets_what_it_needs() {
    let stage = Stage::set(Scene::default()).await;
    let [_, (base, operations)] = &stage.listeners;
    assert_complete(INTERNAL, operations);
    let before = Books::at_rest(&stage.system).await;
    let services = [
        ServiceName::Auth,
        ServiceName::Balance,
        ServiceName::Exchanger,
        ServiceName::BcGateway,
        ServiceName::Notification,
        ServiceName::Wallet,
    ];
    for (method, template, cells) in rows(INTERNAL) {
        let [none, alien, services_cells @ .., operator] = &cells[..] else {
            panic!("{method} {template}: a row has nine cells")
        };
        assert_eq!(services_cells.len(), services.len(), "{method} {template}");
        let request = asked(method, template, stage.ada.id);
        let what = |who: &str| format!("{method} {template}, {who}");
        assert_cell(&request.answered(base).await, none, &what("no token"));
        let (prefix, longer) = (
            &OPERATOR_TOKEN[..OPERATOR_TOKEN.len() - 1],
            format!("{OPERATOR_TOKEN}x"),
        );
        for token in [&stage.ada.token, "a-token-that-nobody-has", prefix, &longer] {
            assert_cell(&request.clone().bearer(token).answered(base).await, alien, &what(token));
        }
        let twice = request.clone().bearer(OPERATOR_TOKEN).bearer(OPERATOR_TOKEN);
        assert_cell(&twice.answered(base).await, alien, &what("two tokens"));
        for (service, cell) in services.into_iter().zip(services_cells) {
            let answer = request.clone().bearer(&service_token(service)).answered(base).await;
            assert_cell(&answer, cell, &what(service.as_str()));
        }
        assert_cell(
            &request.bearer(OPERATOR_TOKEN).answered(base).await,
            operator,
            &what("an operator"),
        );
    }
    before.assert_unchanged(&stage.system, "who has no business here");
}

/// Whether a path leads to one of these operations, whatever the method.
fn leads_to<'a>(path: &str, operations: &'a [Operation]) -> Option<&'a Operation> {
    let fits = |operation: &&Operation| {
        let mut there = operation.template.split('/');
        let mut asked = path.split('/');
        let parts = there.by_ref().zip(asked.by_ref());
        let alike = parts
            .into_iter()
            .all(|(there, asked)| there == asked || there.starts_with('{'));
        alike && operation.template.split('/').count() == path.split('/').count()
    };
    operations.iter().find(fits)
}

#[tokio::test]
async fn neither_side_leads_to_the_other() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    let [public, internal] = &stage.listeners;
    let mut tried = 0;
    for ((base, here), (_, there)) in [(public, internal), (internal, public)] {
        for operation in there {
            let whole = asked(&operation.method, &operation.template, stage.ada.id);
            // Within its service, too, as where that has a listener of its own.
            let bare = operation.template[1..]
                .find('/')
                .map(|at| &operation.template[at + 1..]);
            let bare = bare.map(|template| asked(&operation.method, template, stage.ada.id));
            for request in [Some(whole), bare].into_iter().flatten() {
                if leads_to(request.target(), here).is_some() {
                    continue;
                }
                for token in [OPERATOR_TOKEN, &service_token(ServiceName::Wallet), &stage.ada.token] {
                    let answer = request.clone().bearer(token).answered(base).await;
                    assert_one_of(&answer, &[(404, "not_found")], &format!("{operation} at {base}"));
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 100, "only {tried} were tried");
    before.assert_unchanged(&stage.system, "asking at the wrong door");
}
