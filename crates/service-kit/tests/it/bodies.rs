//! What reaches a handler, and what each kind of bad body is told.

use axum::Router;
use axum::routing::post;
use contracts::money::DecimalText;
use serde::Deserialize;
use service_kit::extract::{BODY_LIMIT, EmptyBody, JsonBody, OptionalJsonBody};

use crate::support::{Answer, Server, client, exchange};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deposit {
    fiat_amount: DecimalText,
    reference: Option<String>,
}

async fn server() -> Server {
    let routes = Router::new()
        .route(
            "/deposit",
            post(|body: JsonBody<Deposit>| async move { body.value.fiat_amount.to_string() }),
        )
        .route(
            "/batch",
            post(|body: JsonBody<Vec<Deposit>>| async move { body.value.len().to_string() }),
        )
        .route("/nothing", post(|_: EmptyBody| async { "nothing" }))
        .route(
            "/maybe",
            post(|body: OptionalJsonBody<Deposit>| async move {
                body.value.map_or_else(
                    || "left out".to_owned(),
                    |deposit| deposit.reference.unwrap_or_default(),
                )
            }),
        );
    Server::start(routes).await
}

async fn send(server: &Server, path: &str, content_type: Option<&str>, body: impl Into<reqwest::Body>) -> Answer {
    let mut request = client().post(server.url(path)).body(body);
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    Answer::of(request.send().await.unwrap()).await
}

const JSON: Option<&str> = Some("application/json");

#[tokio::test]
async fn a_sound_body_arrives_with_its_number_as_it_was_written() {
    let server = server().await;
    for (body, amount) in [
        (r#"{"fiat_amount": 30}"#, "30"),
        (r#"{"fiat_amount": "30.10"}"#, "30.10"),
        (r#" {"fiat_amount":0.1,"reference":null} "#, "0.1"),
        (r#"{"fiat_amount": 1e3, "reference": "r"}"#, "1e3"),
        (
            r#"{"fiat_amount": 123456789012345678901234567890}"#,
            "123456789012345678901234567890",
        ),
    ] {
        let answer = send(&server, "/deposit", JSON, body).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, amount), "{body}");
    }
}

#[tokio::test]
async fn only_json_in_utf8_is_taken_for_json() {
    let server = server().await;
    for content_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
    ] {
        assert_eq!(
            send(&server, "/deposit", Some(content_type), r#"{"fiat_amount": 1}"#)
                .await
                .status,
            200
        );
    }
    for content_type in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/jsonp"),
        Some("application/json; charset=latin1"),
        Some("application/json; boundary=x"),
        Some(""),
    ] {
        let answer = send(&server, "/deposit", content_type, r#"{"fiat_amount": 1}"#).await;
        assert_eq!(answer.problem(), "unsupported_media_type", "{content_type:?}");
        assert_eq!(answer.status, 415);
    }
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let server = server().await;
    let deep = format!(r#"{{"fiat_amount": {}1{}"#, "[".repeat(5000), "]".repeat(4999));
    let bodies: [&[u8]; 14] = [
        b"",
        b" ",
        b"{",
        b"{\"fiat_amount\": 30",
        b"{\"fiat_amount\": 30}}",
        b"{\"fiat_amount\": 30} {}",
        b"{\"fiat_amount\": 030}",
        b"{\"fiat_amount\": NaN}",
        b"{'fiat_amount': 30}",
        b"{\"fiat_amount\": 30,}",
        b"\xef\xbb\xbf{\"fiat_amount\": 30}",
        b"{\"fiat_amount\": 30, \"reference\": \"\xff\"}",
        // A wrong field first: what is not JSON is malformed all the same.
        b"{\"reference\": 7, \"fiat_amount\": ",
        deep.as_bytes(),
    ];
    for body in bodies {
        let answer = send(&server, "/deposit", JSON, body.to_vec()).await;
        assert_eq!(answer.problem(), "malformed_json", "{}", String::from_utf8_lossy(body));
        assert_eq!(answer.status, 400);
    }
}

#[tokio::test]
async fn json_that_makes_no_sense_is_invalid_and_the_field_is_named() {
    let server = server().await;
    let deep = format!(
        r#"{{"fiat_amount": 1, "reference": {}{}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    for (body, pointer, reason) in [
        ("{}", "", "missing field `fiat_amount`"),
        ("null", "", "invalid type: null"),
        ("30", "", "invalid type: integer"),
        // Serde would read a struct from an array as well; a body has one spelling.
        ("[30]", "", "invalid type: sequence"),
        (r#"{"fiat_amount": null}"#, "/fiat_amount", "expected a number"),
        (
            r#"{"fiat_amount": {"amount": "1"}}"#,
            "/fiat_amount",
            "expected a number",
        ),
        (
            r#"{"fiat_amount": 1, "reference": 7}"#,
            "/reference",
            "invalid type: integer `7`, expected a string",
        ),
        (
            r#"{"fiat_amount": 1, "fiat_amount": 2}"#,
            "",
            "duplicate field `fiat_amount`",
        ),
        (
            r#"{"fiat_amount": 1, "crypto": 2}"#,
            "/crypto",
            "unknown field `crypto`",
        ),
        (deep.as_str(), "/reference", "invalid type: sequence"),
    ] {
        let answer = send(&server, "/deposit", JSON, body.to_owned()).await;
        assert_eq!(answer.problem(), "invalid", "{body}");
        assert_eq!(answer.status, 422);
        let error = &answer.json()["errors"][0];
        assert!(error["detail"].as_str().unwrap().contains(reason), "{body}: {error}");
        assert_eq!(error["pointer"], pointer, "{body}");
        assert!(
            !answer.text.contains("line"),
            "a position means nothing to a program: {}",
            answer.text
        );
    }
    let answer = send(
        &server,
        "/batch",
        JSON,
        r#"[{"fiat_amount": 1}, {"fiat_amount": true}]"#,
    )
    .await;
    assert_eq!(answer.json()["errors"][0]["pointer"], "/1/fiat_amount");
}

#[tokio::test]
async fn a_body_of_16_kib_is_taken_and_one_more_byte_is_not() {
    let server = server().await;
    let sized = |size: usize| {
        let frame = r#"{"fiat_amount": 1, "reference": ""}"#.len();
        format!(r#"{{"fiat_amount": 1, "reference": "{}"}}"#, "x".repeat(size - frame))
    };
    assert_eq!(send(&server, "/deposit", JSON, sized(BODY_LIMIT)).await.status, 200);
    let answer = send(&server, "/deposit", JSON, sized(BODY_LIMIT + 1)).await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "body_too_large"));
}

#[tokio::test]
async fn a_body_without_a_declared_length_is_bounded_while_it_is_read() {
    let server = server().await;
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    let head =
        "POST /deposit HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut stream = server.connect().await;
    let answer = exchange(&mut stream, format!("{head}{chunk}1\r\nx\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("body_too_large"));
}

#[tokio::test]
async fn a_body_that_is_declared_too_large_is_refused_before_it_is_sent() {
    let server = server().await;
    let head = "POST /deposit HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 16385\r\n\r\n";
    let answer = exchange(&mut server.connect().await, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn where_no_body_is_wanted_nothing_and_an_empty_object_will_do() {
    let server = server().await;
    assert_eq!(send(&server, "/nothing", None, "").await.status, 200);
    assert_eq!(send(&server, "/nothing", JSON, "").await.status, 200);
    assert_eq!(send(&server, "/nothing", JSON, "{}").await.status, 200);
    assert_eq!(
        send(&server, "/nothing", JSON, r#"{"fiat_amount": 1}"#).await.problem(),
        "invalid"
    );
    assert_eq!(send(&server, "/nothing", JSON, "[]").await.problem(), "invalid");
    assert_eq!(
        send(&server, "/nothing", None, "{}").await.problem(),
        "unsupported_media_type"
    );
}

#[tokio::test]
async fn a_body_that_may_be_left_out_must_be_sound_when_it_is_there() {
    let server = server().await;
    assert_eq!(send(&server, "/maybe", None, "").await.text, "left out");
    assert_eq!(
        send(&server, "/maybe", JSON, r#"{"fiat_amount": 1, "reference": "rent"}"#)
            .await
            .text,
        "rent"
    );
    assert_eq!(send(&server, "/maybe", JSON, "{").await.problem(), "malformed_json");
    assert_eq!(
        send(&server, "/maybe", Some("text/plain"), "{}").await.problem(),
        "unsupported_media_type"
    );
}
