//! Paths, queries and methods that nobody can mean, on every operation.

use std::collections::{BTreeMap, BTreeSet};

use test_kit::system::Scene;

use super::books::Books;
use super::document::{Needs, Schema};
use super::{Request, Stage, assert_one_of, what_there_is};

/// What is no id, in a path.
const NO_IDS: [&str; 20] = [
    "0",
    "-1",
    "+1",
    "01",
    "1.0",
    "1e0",
    "0x1",
    "abc",
    "null",
    "9223372036854775808",
    "999999999999999999999999999999999999999999",
    "%00",
    "%ff",
    "%zz",
    "%",
    "%2e%2e",
    "1%2f2",
    "1%202",
    "%D9%A1",
    "1;DROP%20TABLE%20wallet_orders",
];

/// Longer than any id, and shorter than what a header may be.
fn long_id() -> String {
    "9".repeat(20_000)
}

#[tokio::test]
async fn what_is_no_id_is_malformed_and_nobodys() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    let long = long_id();
    for (base, operation) in stage.operations() {
        for name in operation.names() {
            for id in NO_IDS.into_iter().chain([long.as_str()]) {
                let value = |other: &str| {
                    if other == name {
                        id.to_owned()
                    } else {
                        what_there_is(other)
                    }
                };
                let target = operation.path(value);
                let request = stage.opened(base, operation, &target).await.json("}{");
                let answer = request.answered(base).await;
                // Whose a path is, is asked before what it names; one that is no text is nobody's.
                let of_users = operation.needs == Needs::UserToken;
                let whose = of_users && (name == "user_id" || id == "%ff");
                let expected = if whose {
                    (403, "forbidden")
                } else {
                    (400, "malformed_path")
                };
                let what: String = format!("{operation} as {target}").chars().take(200).collect();
                assert_one_of(&answer, &[expected], &what);
                assert!(operation.documents(expected.0, expected.1), "{what}: undocumented");
            }
        }
    }
    before.assert_unchanged(&stage.system, "what is no id");
}

#[tokio::test]
async fn what_no_path_leads_to_is_not_found() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    for (base, operation) in stage.operations() {
        let path = operation.path(what_there_is);
        for wrong in [
            format!("{path}/"),
            format!("/{path}"),
            format!("{path}//"),
            format!("{path}%2f"),
            format!("{path}%00"),
        ] {
            let request = Request::new(&operation.method, &wrong)
                .bearer(&stage.ada.token)
                .json("{}");
            let answer = request.answered(base).await;
            // What is appended to an id makes it another path's, or none.
            let expected = [
                (404, "not_found"),
                (401, "unauthorized"),
                (403, "forbidden"),
                (400, "malformed_path"),
            ];
            assert_one_of(&answer, &expected, &format!("{} {wrong}", operation.method));
            assert!(
                wrong.ends_with("%00") || wrong.ends_with("%2f") || answer.status == 404,
                "{wrong}: {answer:?}"
            );
        }
    }
    for (base, _) in &stage.listeners {
        for path in [
            "/",
            "//",
            "/.",
            "/..",
            "/../../etc/passwd",
            "/%2e%2e/%2e%2e/etc/passwd",
            "/openapi.json/",
            "/a%ffb",
        ] {
            let answer = Request::new("GET", path).answered(base).await;
            assert_one_of(&answer, &[(404, "not_found")], path);
        }
    }
    before.assert_unchanged(&stage.system, "what no path leads to");
}

#[tokio::test]
async fn a_method_that_is_not_there_is_not_allowed_with_any_token_or_none() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    for (base, operations) in &stage.listeners {
        let mut methods: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for operation in operations {
            methods
                .entry(&operation.template)
                .or_default()
                .insert(&operation.method);
        }
        for operation in operations {
            let path = operation.path(what_there_is);
            let there = &methods[operation.template.as_str()];
            for method in [
                "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY", "get", "BREW",
            ] {
                if there.contains(method) {
                    continue;
                }
                for request in [
                    Request::new(method, &path).json("{}"),
                    stage
                        .opened(base, operation, &path)
                        .await
                        .with_method(method)
                        .json("{}"),
                ] {
                    let answer = request.answered(base).await;
                    assert_one_of(&answer, &[(405, "method_not_allowed")], &format!("{method} {path}"));
                    let allow = answer.headers["allow"].to_str().unwrap();
                    let named: BTreeSet<&str> =
                        allow.split(',').map(str::trim).filter(|name| *name != "HEAD").collect();
                    assert_eq!(&named, there, "{method} {path}");
                }
            }
        }
    }
    before.assert_unchanged(&stage.system, "what is not allowed");
}

#[tokio::test]
async fn the_head_of_an_answer_says_what_the_answer_would() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    for (base, operation) in stage.operations().filter(|(_, operation)| operation.method == "GET") {
        let get = stage.opened(base, operation, &operation.path(what_there_is)).await;
        let (head, get) = (
            get.clone().with_method("HEAD").answered(base).await,
            get.answered(base).await,
        );
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{operation}");
        assert!(get.status < 500, "{operation}: {get:?}");
    }
    before.assert_unchanged(&stage.system, "looking");
}

#[tokio::test]
async fn a_query_that_makes_no_sense_is_malformed() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    let mut tried = 0;
    for (base, operation) in stage.operations() {
        let path = operation.path(what_there_is);
        let ask = async |query: &str| {
            let request = stage.opened(base, operation, &format!("{path}?{query}")).await;
            request.json("}{").answered(base).await
        };
        let mut queries: Vec<String> = Vec::new();
        for (name, schema) in &operation.query {
            queries.extend(nonsense(schema).into_iter().map(|value| format!("{name}={value}")));
            queries.push(format!("{name}=1&{name}=1"));
        }
        if operation.query.is_empty() {
            // Nobody reads it, so it changes nothing; and it opens nothing.
            let (with, without) = (ask("surprise=1&token=x&user_id=1").await, ask("").await);
            assert_eq!(
                (with.status, with.code()),
                (without.status, without.code()),
                "{operation}"
            );
            continue;
        }
        queries.extend(["surprise=1", "limit[]=1", "=", "surprise", "%zz=1", "%00=1"].map(str::to_owned));
        queries.push(format!("surprise={}", "x".repeat(20_000)));
        for query in queries {
            let answer = ask(&query).await;
            let what: String = format!("{operation}?{query}").chars().take(200).collect();
            assert_one_of(&answer, &[(400, "malformed_query")], &what);
            assert!(operation.documents(400, "malformed_query"), "{what}: undocumented");
            tried += 1;
        }
    }
    assert!(tried > 50, "only {tried} queries were tried");
    before.assert_unchanged(&stage.system, "a query");
}

/// Values that a parameter of this schema cannot have.
fn nonsense(schema: &Schema) -> Vec<String> {
    if !schema.types().contains("integer") {
        let long = schema
            .bound("string", "maxLength")
            .map(|most| usize::try_from(most).unwrap() + 1);
        return long.map(|long| "x".repeat(long)).into_iter().collect();
    }
    let mut values = vec![
        "x",
        "1.0",
        "1e0",
        "0x1",
        "%ff",
        "%00",
        "1%20",
        "\u{661}",
        "99999999999999999999",
        "-99999999999999999999",
        "null",
    ];
    // The bounds of a page.
    if schema.bound("integer", "maximum") == Some(100) {
        values.extend(["0", "-1", "101", "65536", "65537", ""]);
    }
    values
        .into_iter()
        .map(|value| value.replace('\u{661}', "%D9%A1"))
        .collect()
}
