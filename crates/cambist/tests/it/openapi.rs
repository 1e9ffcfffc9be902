//! The OpenAPI documents say what the program does: they are valid, they are the copies in `docs/`, they name every
//! route and no other, and what they show as an example is accepted.

mod fuzz;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use contracts::ServiceName;
use reqwest::Method;
use serde_json::Value;
use test_kit::api::{Answer, Api, User, placed};
use test_kit::system::{OPERATOR_TOKEN, TestSystem, service_token};
use tokio::process::Command;

/// The methods that an operation may have.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// A folder of the workspace.
pub(crate) fn workspace(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// A program of the tests' Python environment.
///
/// # Panics
/// When it is not installed, saying what to run: a check that does not run must not look like one that found nothing.
fn tool(name: &str) -> Command {
    let path = workspace("target/tools/venv/bin").join(name);
    assert!(
        path.exists(),
        "{} is not there; run `cargo xtask test --only tools`, which installs what the tests call",
        path.display()
    );
    let mut command = Command::new(path);
    command.kill_on_drop(true);
    command
}

async fn document(base: &str) -> Value {
    let api = Api::new(base);
    let answer = api.send(api.request(Method::GET, "/openapi.json")).await.unwrap();
    assert_eq!(answer.status, 200, "no token is needed: {answer:?}");
    assert_eq!(answer.headers["content-type"], "application/json");
    answer.body
}

/// The public and the internal document of a running system, with the addresses they are served at.
async fn documents(system: &TestSystem) -> [(&'static str, String, Value); 2] {
    let (public, internal) = (system.api.address().to_owned(), system.internal.clone());
    let documents = [document(&public).await, document(&internal).await];
    let [of_public, of_internal] = documents;
    [("public", public, of_public), ("internal", internal, of_internal)]
}

/// Every operation: path, method, what is said of it.
fn operations(document: &Value) -> impl Iterator<Item = (&String, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    paths.iter().flat_map(|(path, item)| {
        METHODS
            .into_iter()
            .filter_map(move |method| Some((path, method, item.get(method)?)))
    })
}

/// The path with ids in it: those that it shows, else those of the first user and their first order.
fn concrete(path: &str, operation: &Value) -> String {
    let shown = |name: &str| {
        let parameters = operation["parameters"].as_array()?;
        let found = parameters.iter().find(|it| it["name"] == name)?;
        found["example"].as_i64()
    };
    let ids = [("user_id", 2), ("order_id", 1), ("letter_id", 1)];
    ids.into_iter().fold(path.to_owned(), |path, (name, id)| {
        path.replace(&format!("{{{name}}}"), &shown(name).unwrap_or(id).to_string())
    })
}

#[tokio::test]
async fn the_documents_in_docs_are_what_the_program_serves() {
    let system = TestSystem::start().await;
    for (name, _, document) in documents(&system).await {
        let path = workspace("docs").join(format!("openapi-{name}.json"));
        let generated = serde_json::to_string_pretty(&document).unwrap() + "\n";
        if std::env::var_os("UPDATE_REFERENCES").is_some() {
            std::fs::write(&path, &generated).unwrap();
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == generated,
            "docs/openapi-{name}.json is not what the code says; run UPDATE_REFERENCES=1 cargo test -p cambist openapi"
        );
    }
}

#[tokio::test]
async fn the_documents_are_valid_and_their_examples_satisfy_their_schemas() {
    let system = TestSystem::start().await;
    for (name, _, document) in documents(&system).await {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), document.to_string()).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi/check.py");
        let output = tool("python").arg(script).arg(file.path()).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
    }
}

#[tokio::test]
async fn every_operation_says_what_it_is_and_what_can_go_wrong() {
    let system = TestSystem::start().await;
    for (name, _, document) in documents(&system).await {
        assert_eq!(document["openapi"], "3.1.0");
        let mut ids = BTreeSet::new();
        for (path, method, operation) in operations(&document) {
            let what = format!("{name}: {method} {path}");
            for field in ["operationId", "summary"] {
                let text = operation[field].as_str().unwrap_or_default();
                assert!(!text.is_empty(), "{what} has no {field}");
            }
            assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{what}: one tag");
            assert!(
                ids.insert(operation["operationId"].to_string()),
                "{what}: its id is another's too"
            );
            let answers = operation["responses"].as_object().unwrap();
            assert!(
                answers.keys().any(|status| status.starts_with('2')),
                "{what}: never succeeds"
            );
            for (status, answer) in answers.iter().filter(|(status, _)| is_refusal(status)) {
                let problem = &answer["content"]["application/problem+json"];
                let probe = path.ends_with("readyz") || path.ends_with("health");
                assert!(
                    probe || problem["examples"].is_object(),
                    "{what}: {status} shows no problem"
                );
            }
            let body = operation.get("requestBody");
            for content in body
                .into_iter()
                .flat_map(|body| body["content"].as_object().unwrap().values())
            {
                assert!(content.get("example").is_some(), "{what}: its body has no example");
            }
        }
    }
}

fn is_refusal(status: &str) -> bool {
    status.starts_with('4') || status.starts_with('5')
}

/// What is not in the document is not there: every path answers 405 to exactly the methods that it does not document.
#[tokio::test]
async fn a_path_has_the_methods_that_the_document_names_and_no_other() {
    let system = TestSystem::start().await;
    system.api.given_a_user("ada").await;
    for (name, base, document) in documents(&system).await {
        let api = Api::new(base);
        let mut documented: BTreeMap<&String, BTreeSet<&str>> = BTreeMap::new();
        for (path, method, _) in operations(&document) {
            documented.entry(path).or_default().insert(method);
        }
        for (path, methods) in documented {
            for method in METHODS {
                let request = method.to_uppercase().parse().unwrap();
                let answer = api
                    .send(api.request(request, &concrete(path, &Value::Null)))
                    .await
                    .unwrap();
                let there = answer.status != 405;
                assert_eq!(there, methods.contains(method), "{name}: {method} {path}: {answer:?}");
            }
        }
    }
}

/// [`service_kit::openapi::Routes`] takes no route without its documentation; nobody may go past it.
#[test]
fn no_service_makes_a_route_past_its_documentation() {
    let mut found = Vec::new();
    let services = ServiceName::ALL.map(|service| service.as_str().replace('_', "-"));
    for crate_name in services.iter().map(String::as_str).chain(["cambist"]) {
        visit(&workspace("crates").join(crate_name).join("src"), &mut found);
    }
    assert_eq!(found, Vec::<String>::new(), "use service_kit::openapi::Routes");
}

fn visit(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            visit(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let past = text.contains(".route(") || text.contains("Router::new(");
            found.extend(past.then(|| path.display().to_string()));
        }
    }
}

/// Those that come before others, because the others need them; the rest follows in any order.
const FIRST: [&str; 5] = ["register", "log_in", "open_wallet", "deposit", "buy"];

#[tokio::test]
async fn every_example_is_accepted() {
    let system = TestSystem::start().await;
    let documents = documents(&system).await;
    let mut token = None;
    let mut sent = 0;
    for (name, base, document) in &documents {
        let api = Api::new(base.clone());
        let mut all: Vec<_> = operations(document)
            .filter(|(_, _, it)| it.get("requestBody").is_some())
            .collect();
        let rank = |it: &Value| {
            FIRST
                .iter()
                .position(|id| it["operationId"] == **id)
                .unwrap_or(FIRST.len())
        };
        all.sort_by_key(|(_, _, it)| rank(it));
        for (path, method, operation) in all {
            let example = &operation["requestBody"]["content"]["application/json"]["example"];
            let tokens = match (*name, &token) {
                ("public", token) => vec![Option::<String>::clone(token)],
                // Some routes are for operators, some for services only.
                (_, _) => vec![
                    Some(OPERATOR_TOKEN.to_owned()),
                    Some(service_token(ServiceName::Wallet)),
                ],
            };
            let answer = send(&api, method, &concrete(path, operation), example, &tokens).await;
            // What is sound may still be refused for what is there already, or is not there yet.
            let sound = answer.status < 300 || [404, 409, 423].contains(&answer.status);
            let sound = sound && (*name == "internal" || answer.status < 300);
            assert!(sound, "{name}: {method} {path} {example}: {answer:?}");
            sent += 1;
            match operation["operationId"].as_str() {
                Some("log_in") => token = answer.body["token"].as_str().map(str::to_owned),
                // What is bought can be sold once it is there.
                Some("buy") => {
                    let user = User {
                        api: api.clone(),
                        id: 2,
                        token: token.clone().expect("somebody is logged in"),
                    };
                    user.order_at_its_end(placed(&answer)).await;
                }
                _ => {}
            }
        }
    }
    assert!(sent > 20, "only {sent} examples were found");
}

/// The answer to the first of the tokens for which the route is.
async fn send(api: &Api, method: &str, path: &str, body: &Value, tokens: &[Option<String>]) -> Answer {
    let mut last = None;
    for token in tokens {
        let mut request = api.request(method.to_uppercase().parse().unwrap(), path).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = api.send(request).await.unwrap();
        if answer.status != 403 {
            return answer;
        }
        last = Some(answer);
    }
    last.expect("at least one token")
}
