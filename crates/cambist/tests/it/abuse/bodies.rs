//! Bodies of every kind of nonsense, to every operation that takes one.

use test_kit::api::Answer;
use test_kit::system::Scene;

use super::books::Books;
use super::document::Operation;
use super::line::Line;
use super::mutations::{Flaw, Mutation, mutations};
use super::{Request, Stage, assert_one_of, what_there_is};

const MALFORMED: (u16, &str) = (400, "malformed_json");
const INVALID: (u16, &str) = (422, "invalid");

/// Every operation with a body, each with its listener's address and an opened request without one.
async fn with_bodies(stage: &Stage) -> Vec<(&str, &Operation, Request)> {
    let mut found = Vec::new();
    for (base, operation) in stage.operations().filter(|(_, operation)| operation.body.is_some()) {
        let target = path(operation);
        found.push((base, operation, stage.opened(base, operation, &target).await));
    }
    assert!(found.len() > 20, "only {} operations have a body", found.len());
    found
}

/// Its path, with what there is. A withdrawal is from the hot wallet's.
fn path(operation: &Operation) -> String {
    if operation.template == "/bc_gateway/withdraw/{user_id}" {
        return "/bc_gateway/withdraw/1".to_owned();
    }
    operation.path(what_there_is)
}

#[tokio::test]
async fn no_flawed_body_is_taken_and_none_changes_anything() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    let (mut tried, mut surprises) = (0, Vec::new());
    for (base, operation, request) in with_bodies(&stage).await {
        let body = operation.body.as_ref().unwrap();
        for mutation in mutations(body) {
            let answer = request.clone().json(mutation.text.clone()).answered(base).await;
            surprises.extend(surprise(operation, &mutation, &answer));
            tried += 1;
        }
        before.assert_unchanged(&stage.system, &operation.to_string());
    }
    assert!(
        surprises.is_empty(),
        "{} surprises:\n{}",
        surprises.len(),
        surprises.join("\n")
    );
    assert!(tried > 1_000, "only {tried} bodies were tried");
}

/// What is wrong with an answer, if anything is.
fn surprise(operation: &Operation, Mutation { what, text, flaw }: &Mutation, answer: &Answer) -> Option<String> {
    let many = operation.body.as_ref().unwrap().example.is_array();
    let given = (answer.status, answer.code());
    let expected: &[_] = match flaw {
        // An array is answered item by item, once it can be read; that it has no effect is compared.
        Flaw::Unfit if many && answer.body[0].is_object() => return None,
        Flaw::Malformed => &[MALFORMED],
        Flaw::Unfit => &[INVALID],
        Flaw::Doubtful => &[MALFORMED, INVALID],
    };
    if expected.contains(&given) && operation.documents(given.0, given.1) {
        answer.assert_problem(given.0, given.1);
        return None;
    }
    let shown: String = String::from_utf8_lossy(text).chars().take(300).collect();
    Some(format!(
        "{operation}, {what}: {shown}: {} {}",
        answer.status, answer.text
    ))
}

#[tokio::test]
async fn what_is_not_declared_as_json_is_not_read() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    for (base, operation, request) in with_bodies(&stage).await {
        let sound = operation.body.as_ref().unwrap().example.to_string();
        for kind in [
            "",
            "text/plain",
            "text/json",
            "application/xml",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json; charset=latin1",
            "application/json, text/plain",
            "application/jsonx",
            "\u{fc}",
        ] {
            let answer = request.clone().header("content-type", kind).body(sound.clone());
            let answer = answer.answered(base).await;
            assert_one_of(
                &answer,
                &[(415, "unsupported_media_type")],
                &format!("{operation} as {kind}"),
            );
            assert!(operation.documents(415, "unsupported_media_type"), "{operation}");
        }
        let undeclared = request.clone().body(sound.clone()).answered(base).await;
        undeclared.assert_problem(415, "unsupported_media_type");
        let twice = request.clone().header("content-type", "application/json").json(sound);
        twice.answered(base).await.assert_problem(415, "unsupported_media_type");
        before.assert_unchanged(&stage.system, &operation.to_string());
    }
}

#[tokio::test]
async fn what_is_declared_too_large_is_refused_before_it_is_sent() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    for (base, operation, request) in with_bodies(&stage).await {
        {
            let request = request.clone().header("content-type", "application/json");
            let mut line = Line::to(base).await;
            line.say(&request.header("content-length", "67108864").bytes()).await;
            let answer = line.answer().await.unwrap();
            assert_one_of(&answer, &[(413, "body_too_large")], &operation.to_string());
            assert!(operation.documents(413, "body_too_large"), "{operation}");
            assert!(
                line.ends().await,
                "{operation}: what follows would be taken for a request"
            );
        }
    }
    before.assert_unchanged(&stage.system, "what was never sent");
}

/// On a system of its own, which it does change.
#[tokio::test]
async fn the_examples_from_which_all_of_this_starts_are_sound() {
    let stage = Stage::set(Scene::default()).await;
    for (base, operation, request) in with_bodies(&stage).await {
        let example = operation.body.as_ref().unwrap().example.to_string();
        let answer = request.json(example.clone()).answered(base).await;
        let understood = matches!(answer.status, 200..300 | 401 | 404 | 409 | 423);
        assert!(understood, "{operation}: {example}: {answer:?}");
        let known = answer.status < 300 || operation.documents(answer.status, answer.code());
        assert!(known, "{operation}: {example}: undocumented {answer:?}");
    }
}
