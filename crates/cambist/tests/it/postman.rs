//! The Postman collections at `tests/`, run by newman as their readers run them: on a running program, more than once,
//! whether it is one process or ten.
//!
//! They are what somebody tries first, so each operation that the program documents is in one of them, and the books are clean
//! after them.

use std::collections::BTreeSet;
use std::fs;

use reqwest::Method;
use serde_json::Value;
use test_servers::cluster::{OPERATOR_TOKEN, Service, Setup, token_of};
use tokio::process::Command;

use crate::black_box::world::{self, World};
use crate::openapi::workspace;

/// What a user of the public side may do.
const PUBLIC: &str = "tests/prj_final.postman_collection.json";

/// What services and operators may do.
const INTERNAL: &str = "tests/prj_internal.postman_collection.json";

/// Runs a collection with these variables; fails with newman's report.
///
/// # Panics
/// When newman is not installed, saying what to run, and when an assertion of the collection fails.
async fn newman(collection: &str, variables: &[(String, String)]) {
    let path = workspace("target/tools/npm/node_modules/.bin/newman");
    assert!(
        path.exists(),
        "{} is not there; run `cargo xtask test --only tools`, which installs what the tests call",
        path.display()
    );
    let mut command = Command::new(path);
    command.args(["run", "--color", "off", "--reporter-cli-no-success-assertions"]);
    for (name, value) in variables {
        command.args(["--env-var", &format!("{name}={value}")]);
    }
    let output = command.arg(workspace(collection)).kill_on_drop(true).output().await;
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs both collections, twice, in a world of this kind; proves its books.
async fn passes_again_and_again(setup: Setup) {
    let world = World::begin(setup.with("requests_per_minute", "0"));
    let (public, internal) = (
        |service| world.cluster.public(service),
        |service| world.cluster.internal(service),
    );
    let of_public = [
        ("auth_host".to_owned(), public(Service::Auth)),
        ("wallet_host".to_owned(), public(Service::Wallet)),
    ];
    let mut of_internal = vec![
        ("public_auth".to_owned(), public(Service::Auth)),
        ("public_wallet".to_owned(), public(Service::Wallet)),
        ("operator_token".to_owned(), OPERATOR_TOKEN.to_owned()),
        ("wallet_token".to_owned(), token_of(Service::Wallet)),
    ];
    for service in Service::ALL {
        let listener = internal(service);
        // In one process each service lies under its name.
        let host = listener
            .strip_suffix(&format!("/{}", service.name()))
            .unwrap_or(&listener);
        of_internal.push((format!("{}_host", service.name()), host.to_owned()));
        of_internal.push((service.name().to_owned(), listener));
    }
    for _ in 0..2 {
        newman(PUBLIC, &of_public).await;
        newman(INTERNAL, &of_internal).await;
    }
    world.audited().await;
    world.assert_no_panic();
}

#[tokio::test]
async fn both_collections_pass_again_and_again_in_one_process() {
    passes_again_and_again(world::one_process_on_a_file()).await;
}

#[tokio::test]
async fn both_collections_pass_again_and_again_in_ten_processes() {
    passes_again_and_again(world::ten_processes()).await;
}

/// The collection's requests: their names, methods, and addresses without their queries.
fn requests(collection: &str) -> Vec<(String, Method, String)> {
    fn walk(items: &Value, found: &mut Vec<(String, Method, String)>) {
        for item in items.as_array().unwrap() {
            if item["item"].is_array() {
                walk(&item["item"], found);
                continue;
            }
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let url = text(&item["request"]["url"]["raw"]);
            let url = url.split('?').next().unwrap().to_owned();
            let method = text(&item["request"]["method"]).parse().unwrap();
            found.push((text(&item["name"]), method, url));
        }
    }
    let text = fs::read_to_string(workspace(collection)).unwrap();
    let collection: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    walk(&collection["item"], &mut found);
    found
}

/// Whether an address of a collection is at a path of a document: `{{balance}}/wallet/{{ada_id}}` at
/// `/balance/wallet/{user_id}`, `{{wallet_host}}/livez` at `/livez`.
fn is_at(url: &str, path: &str) -> bool {
    let (host, rest) = url.split_once("}}").unwrap();
    let service = host.trim_start_matches("{{");
    let rest = if service.ends_with("_host") || service.starts_with("public") {
        rest.to_owned()
    } else {
        format!("/{service}{rest}")
    };
    let (asked, documented): (Vec<_>, Vec<_>) = (rest.split('/').collect(), path.split('/').collect());
    let fits = |(asked, documented): (&&str, &&str)| asked == documented || documented.starts_with('{');
    asked.len() == documented.len() && asked.iter().zip(&documented).all(fits)
}

#[test]
fn every_documented_operation_is_in_a_collection() {
    for (collection, document) in [
        (PUBLIC, "docs/openapi-public.json"),
        (INTERNAL, "docs/openapi-internal.json"),
    ] {
        let requests = requests(collection);
        let document: Value = serde_json::from_str(&fs::read_to_string(workspace(document)).unwrap()).unwrap();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                let method: Method = method.to_uppercase().parse().unwrap();
                let asked = requests
                    .iter()
                    .any(|(_, asked, url)| *asked == method && is_at(url, path));
                assert!(asked, "{collection} has no {method} {path}");
            }
        }
    }
}

/// A request that asks again goes to the first of its name.
#[test]
fn no_two_requests_of_a_collection_have_the_same_name() {
    for collection in [PUBLIC, INTERNAL] {
        let mut names = BTreeSet::new();
        for (name, _, _) in requests(collection) {
            assert!(names.insert(name.clone()), "{collection}: {name}");
        }
    }
}
