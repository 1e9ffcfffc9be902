//! Every refusal is a problem, and what goes wrong inside stays inside.

use std::collections::HashSet;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use contracts::clients::ClientError;
use service_kit::problem::{Problem, ProblemCode, problems_markdown};
use service_kit::settings::{LogFilter, Value as _};
use service_kit::telemetry::subscriber;

use crate::support::{Answer, Log, Server, client};

#[tokio::test]
async fn an_unknown_path_is_a_problem() {
    let server = Server::start(Router::new().route("/known", get(|| async {}))).await;
    let answer = server.get("/unknown?secret=1").await;
    assert_eq!((answer.status, answer.problem().as_str()), (404, "not_found"));
    assert!(!answer.text.contains("secret"));
}

#[tokio::test]
async fn an_unknown_method_is_a_problem_that_names_the_known_ones() {
    let server = Server::start(Router::new().route("/known", get(|| async {}).patch(|| async {}))).await;
    let answer = Answer::of(client().put(server.url("/known")).send().await.unwrap()).await;
    assert_eq!((answer.status, answer.problem().as_str()), (405, "method_not_allowed"));
    assert_eq!(answer.header("allow"), Some("GET,HEAD,PATCH"));
}

#[tokio::test]
async fn what_went_wrong_inside_is_logged_once_and_never_returned() {
    let log = Log::default();
    let writer = {
        let log = log.clone();
        move || log.clone()
    };
    let filter = LogFilter::parse("debug").unwrap();
    let _guard = tracing::subscriber::set_default(subscriber(&filter, false, false, writer).unwrap());
    let fail = || async { Problem::internal("disk 7 is on fire").with_detail("in the cellar") };
    let server = Server::start(Router::new().route("/fail/{user_id}", get(fail))).await;

    let answer = server.get("/fail/2?password=hunter2").await;

    assert_eq!((answer.status, answer.problem().as_str()), (500, "internal"));
    assert!(
        !answer.text.contains("fire") && !answer.text.contains("cellar"),
        "{}",
        answer.text
    );
    assert_eq!(log.lines_with("disk 7 is on fire"), 1, "{}", log.text());
    let line = log
        .text()
        .lines()
        .find(|line| line.contains("disk 7"))
        .unwrap()
        .to_owned();
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "ERROR");
    assert_eq!(line["detail"], "in the cellar");
    assert_eq!(line["span"]["route"], "/fail/{user_id}");
    assert!(!log.text().contains("hunter2"), "a query is never logged");
    assert_eq!(log.lines_with("answered"), 1);
    assert_eq!(log.lines_with(r#""status":500"#), 1);
}

#[test]
fn the_registry_is_sound() {
    let codes: HashSet<_> = ProblemCode::ALL.iter().map(|code| code.code()).collect();
    assert_eq!(codes.len(), ProblemCode::ALL.len(), "a code is given once");
    for code in ProblemCode::ALL {
        assert!(code.status().is_client_error() || code.status().is_server_error());
        assert!(
            !code.title().is_empty() && code.when().ends_with('.') && code.advice().ends_with('.'),
            "{code:?}"
        );
        assert!(problems_markdown().contains(&format!("| `{}` |", code.code())));
    }
    assert_eq!(ProblemCode::InsufficientFunds.status().as_u16(), 423);
    assert_eq!(ProblemCode::Timeout.status().as_u16(), 503);
}

#[test]
fn members_of_ours_do_not_replace_those_of_the_standard() {
    let problem = Problem::new(ProblemCode::InsufficientFunds)
        .with_detail("the balance is 20.00 USD")
        .with_extension("order_id", 17)
        .with_extension("status", "fine");
    let document = problem.to_json();
    assert_eq!(document["order_id"], 17);
    assert_eq!(document["status"], 423);
    assert_eq!(document["detail"], "the balance is 20.00 USD");
    assert_eq!(document.get("errors"), None);
}

#[tokio::test]
async fn clients_are_told_when_to_come_back_in_whole_seconds() {
    let busy = || async {
        Problem::from(ClientError::Overloaded {
            retry_after: Duration::from_millis(1200),
        })
    };
    let down = || async { Problem::from(ClientError::Unavailable("no route to 10.0.0.7".into())) };
    let soon = || async { Problem::too_many_requests(Duration::from_millis(3)) };
    let routes = Router::new()
        .route("/busy", get(busy))
        .route("/down", get(down))
        .route("/soon", get(soon));
    let server = Server::start(routes).await;
    let busy = server.get("/busy").await;
    assert_eq!(
        (busy.problem().as_str(), busy.header("retry-after")),
        ("overloaded", Some("2"))
    );
    let down = server.get("/down").await;
    assert_eq!(
        (down.problem().as_str(), down.header("retry-after")),
        ("unavailable", Some("1"))
    );
    assert!(!down.text.contains("10.0.0.7"));
    let soon = server.get("/soon").await;
    assert_eq!((soon.status, soon.header("retry-after")), (429, Some("1")));
}
