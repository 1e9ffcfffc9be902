//! What can be done to a connection: too slow, too much, too early, cut off, or no HTTP at all.

use std::time::Duration;

use test_kit::api::Answer;
use test_kit::system::{OPERATOR_TOKEN, Scene, TestSystem};
use tokio::time::{Instant, interval};

use super::books::Books;
use super::line::Line;
use super::{Request, Stage};

/// With so little patience that a test of it is short. Nobody lives there, as nobody could get anything done in time.
async fn hasty() -> TestSystem {
    let scene = Scene::default()
        .with("header_timeout", "500ms")
        .with("hold_wait", "100ms");
    scene.with("request_timeout", "500ms").start().await
}

/// The head of a request with a body, on each listener.
fn heads(system: &TestSystem) -> [(String, Request); 2] {
    let json = |request: Request| request.header("content-type", "application/json");
    let correct = json(Request::new("PATCH", "/balance/wallet/2").bearer(OPERATOR_TOKEN));
    [
        (system.api.base().to_owned(), json(Request::new("POST", "/register"))),
        (system.internal.clone(), correct),
    ]
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up_however_it_does_not() {
    let system = hasty().await;
    let before = Books::at_rest(&system).await;
    for (base, head) in heads(&system) {
        for declared in ["content-length", "transfer-encoding"] {
            let declared = head.clone().header(
                declared,
                if declared == "content-length" {
                    "9000"
                } else {
                    "chunked"
                },
            );
            for pace in [None, Some(Duration::from_millis(20))] {
                let mut line = Line::to(&base).await;
                line.say(&declared.bytes()).await;
                let answer = match pace {
                    None => line.answer().await,
                    Some(pace) => trickle(&mut line, pace).await,
                };
                answer.unwrap().assert_problem(408, "slow_body");
                assert!(line.ends().await, "what follows would be taken for a request");
            }
        }
    }
    before.assert_unchanged(&system, "a slow body");
}

/// Says a chunk of white space now and then, until it is answered.
async fn trickle(line: &mut Line, pace: Duration) -> Option<Answer> {
    let mut ticks = interval(pace);
    loop {
        tokio::select! {
            answered = line.hears() => {
                assert!(answered, "hung up on without an answer");
                return line.answer().await;
            }
            _ = ticks.tick() => {}
        }
        line.say(b"1\r\n \r\n").await;
    }
}

#[tokio::test]
async fn who_says_nothing_or_never_comes_to_the_end_is_hung_up_on() {
    let system = hasty().await;
    let before = Books::at_rest(&system).await;
    for base in [system.api.base(), &system.internal] {
        for beginning in [
            "",
            "P",
            "POST /register HTTP/1.1\r\n",
            "POST /register HTTP/1.1\r\nhost: x\r\nx-slow: ",
        ] {
            let mut line = Line::to(base).await;
            line.say(beginning.as_bytes()).await;
            assert!(line.ends().await, "{beginning:?}");
        }
        let mut line = Line::to(base).await;
        line.say(&Request::new("GET", "/openapi.json").bytes()).await;
        assert_eq!(line.answer().await.unwrap().status, 200);
        assert!(line.ends().await, "nothing more was asked");
    }
    before.assert_unchanged(&system, "silence");
}

/// A request of Ada's that would place an order.
fn order(stage: &Stage) -> Request {
    let request = Request::new("POST", "/buy/2").bearer(&stage.ada.token);
    request
        .header("idempotency-key", "cut-off")
        .json(r#"{"fiat_amount": 30}"#)
}

#[tokio::test]
async fn a_request_that_is_cut_off_anywhere_has_no_effect() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    let base = stage.system.api.base();
    let whole = order(&stage).bytes();
    let head = whole.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    // Every byte of the body, and some of the head.
    for length in (0..head).step_by(17).chain(head..whole.len()) {
        let mut gone = Line::to(base).await;
        gone.say(&whole[..length]).await;
        drop(gone);
        let mut silent = Line::to(base).await;
        silent.say(&whole[..length]).await;
        silent.say_no_more().await;
        if let Some(answer) = silent.answer().await {
            assert_refused(&answer, &format!("cut after {length} bytes"));
        }
    }
    before.assert_unchanged(&stage.system, "a request that was cut off");
}

#[tokio::test]
async fn who_only_listens_any_more_has_placed_one_order_or_none() {
    let stage = Stage::set(Scene::default()).await;
    let base = stage.system.api.base();
    let mut line = Line::to(base).await;
    line.say(&order(&stage).bytes()).await;
    line.say_no_more().await;
    if let Some(answer) = line.answer().await {
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    // Whether or not it had got through: asked again by its name, it is one.
    let again = order(&stage).answered(base).await;
    assert_eq!(again.status, 202, "{again:?}");
    stage
        .ada
        .order_at_its_end(again.body["order_id"].as_i64().unwrap())
        .await;
    assert_eq!(stage.ada.orders().await.len(), 2);
    stage.system.assert_at_rest();
}

#[tokio::test]
async fn what_is_in_the_body_of_a_refused_request_is_never_taken_for_a_request() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    let base = stage.system.api.base();
    let hidden = order(&stage).bytes();
    let smuggler = |target: &str| Request::new("POST", target).header("content-type", "application/json");
    for (request, status) in [
        (smuggler("/buy/2"), 401),
        (smuggler("/buy/3").bearer(&stage.ada.token), 403),
        (smuggler("/nowhere"), 404),
        (smuggler("/openapi.json"), 405),
        (smuggler("/buy/2").bearer(&stage.ada.token), 400),
        (
            Request::new("POST", "/register").header("content-type", "text/plain"),
            415,
        ),
    ] {
        let mut line = Line::to(base).await;
        let all = [
            Request::new("GET", "/.well-known/jwks.json").bytes(),
            request.body(hidden.clone()).bytes(),
            Request::new("GET", "/wallet/2").bearer(&stage.ada.token).bytes(),
        ];
        line.say(&all.concat()).await;
        assert_eq!(line.answer().await.unwrap().status, 200);
        assert_eq!(line.answer().await.unwrap().status, status);
        // In their order, one each; or the line is closed, and who asked asks again.
        if let Some(answer) = line.answer().await {
            assert_eq!((answer.status, &answer.body["user_id"]), (200, &2.into()), "{answer:?}");
        }
        line.say_no_more().await;
        assert!(line.ends().await, "one answer too many");
    }
    before.assert_unchanged(&stage.system, "a request in a body");
}

/// A refusal: of ours, or of whoever reads HTTP, who knows no problems and hangs up.
#[track_caller]
fn assert_refused(answer: &Answer, what: &str) {
    assert!((400..500).contains(&answer.status), "{what}: {answer:?}");
    if answer.text.is_empty() {
        assert!([400, 414, 431].contains(&answer.status), "{what}: {answer:?}");
        assert_eq!(answer.headers["connection"], "close", "{what}: {answer:?}");
    } else {
        answer.assert_problem(answer.status, answer.code());
    }
}

#[tokio::test]
async fn lengths_that_contradict_each_other_or_themselves_are_refused() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    let base = stage.system.api.base();
    let sound = "13\r\n{\"fiat_amount\": 30}\r\n0\r\n\r\n";
    let chunked = [
        "zz\r\n{\"fiat_amount\": 30}\r\n0\r\n\r\n",
        "-1\r\n{\"fiat_amount\": 30}\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n{\"fiat_amount\": 30}\r\n0\r\n\r\n",
        "12\r\n{\"fiat_amount\": 30}\r\n0\r\n\r\n",
        "14\r\n{\"fiat_amount\": 30}\r\n0\r\n\r\n",
        "13\r\n{\"fiat_amount\": 30}0\r\n\r\n",
        "13\r\n{\"fiat_amount\": 30}\r\n",
        "13 {\"fiat_amount\": 30}\r\n0\r\n\r\n",
        "0\r\n\r\n",
    ];
    let declared = |headers: &[(&str, &str)]| {
        let mut request = Request::new("POST", "/buy/2").bearer(&stage.ada.token);
        request = request.header("content-type", "application/json");
        headers
            .iter()
            .fold(request, |request, (name, value)| request.header(name, value))
    };
    let mut all: Vec<(Request, &str)> = Vec::new();
    all.extend(chunked.map(|body| (declared(&[("transfer-encoding", "chunked")]), body)));
    for coding in ["gzip", "chunked, gzip", "identity", "xchunked", "chunke"] {
        all.push((declared(&[("transfer-encoding", coding)]), sound));
    }
    for length in ["+19", "-19", "19 19", "0x13", "nineteen", "", "18446744073709551616"] {
        all.push((declared(&[("content-length", length)]), "{\"fiat_amount\": 30}"));
    }
    all.push((
        declared(&[("content-length", "19"), ("content-length", "18")]),
        "{\"fiat_amount\": 30}",
    ));
    for (request, body) in all {
        let mut line = Line::to(base).await;
        line.say(&[&request.bytes(), body.as_bytes()].concat()).await;
        line.say_no_more().await;
        if let Some(answer) = line.answer().await {
            assert_refused(
                &answer,
                &format!("{:?} {body:?}", String::from_utf8_lossy(&request.bytes())),
            );
        }
    }
    let endless = format!("4000\r\n{}\r\n", " ".repeat(0x4000)).repeat(2);
    let mut line = Line::to(base).await;
    line.say(
        &[
            &declared(&[("transfer-encoding", "chunked")]).bytes(),
            endless.as_bytes(),
        ]
        .concat(),
    )
    .await;
    line.answer().await.unwrap().assert_problem(413, "body_too_large");
    before.assert_unchanged(&stage.system, "a wrong length");
}

#[tokio::test]
async fn what_is_no_http_is_refused_or_hung_up_on() {
    let stage = Stage::set(Scene::default()).await;
    let before = Books::at_rest(&stage.system).await;
    let token = &stage.ada.token;
    let many = "x-many: 1\r\n".repeat(100);
    let long = "x".repeat(40_000);
    let texts = [
        "\r\n\r\n\r\n\r\nnonsense\r\n\r\n".to_owned(),
        "SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        "GET /\r\n\r\n".to_owned(),
        "GET  /wallet/2  HTTP/1.1\r\n\r\n".to_owned(),
        "GET wallet/2 HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "GET * HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n".to_owned(),
        "GET http://example.com/nowhere HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(),
        "GET /wallet/2 HTTP/1.1\r\nno colon\r\n\r\n".to_owned(),
        "GET /wallet/2 HTTP/1.1\r\na name: 1\r\n\r\n".to_owned(),
        "GET /wallet/2 HTTP/1.1\r\n: nameless\r\n\r\n".to_owned(),
        "GET /wallet/2 HTTP/1.1\r\nx: a\0b\r\n\r\n".to_owned(),
        format!("GET /wallet/2 HTTP/1.1\r\nx: 1\r\n authorization: Bearer {token}\r\n\r\n"),
        format!("GET /wallet/2 HTTP/1.1\r\nauthorization : Bearer {token}\r\n\r\n"),
        format!("GET /wallet/2 HTTP/1.1\r\nauthorization: Bearer {token}\r\n{many}\r\n"),
        format!("GET /wallet/2 HTTP/1.1\r\nx-long: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("GET /wallet/2?{long} HTTP/1.1\r\nhost: x\r\n\r\n"),
        format!("{long} /wallet/2 HTTP/1.1\r\nhost: x\r\n\r\n"),
    ];
    let hello = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".as_slice(), &[0x5a; 200]].concat();
    let texts = texts
        .into_iter()
        .map(String::into_bytes)
        .chain([hello, vec![0; 4_096], vec![0xff; 4_096]]);
    for text in texts {
        for base in [stage.system.api.base(), &stage.system.internal] {
            let mut line = Line::to(base).await;
            line.say(&text).await;
            line.say_no_more().await;
            if let Some(answer) = line.answer().await {
                let shown: String = String::from_utf8_lossy(&text).chars().take(80).collect();
                assert_refused(&answer, &shown);
            }
        }
    }
    before.assert_unchanged(&stage.system, "what is no HTTP");
}

#[tokio::test]
async fn a_crowd_that_says_nothing_keeps_nobody_out_for_long() {
    let scene = Scene::default()
        .with("header_timeout", "500ms")
        .with("max_connections", "8");
    let system = scene.start().await;
    let base = system.api.base();
    let mut crowd = Vec::new();
    for _ in 0..24 {
        crowd.push(Line::to(base).await);
    }
    // Operators and supervisors have places of their own.
    let alive = Request::new("GET", "/livez").answered(&system.internal).await;
    assert_eq!(alive.status, 200);
    let answer = Request::new("GET", "/openapi.json").answered(base).await;
    assert_eq!(answer.status, 200, "in its turn");
    for mut line in crowd {
        assert!(line.ends().await);
    }
}

#[tokio::test]
async fn when_all_places_are_taken_everybody_is_asked_to_come_back() {
    let scene = Scene::default()
        .with("max_in_flight", "2")
        .with("request_timeout", "2s")
        .with("hold_wait", "100ms");
    let system = scene.start().await;
    let (base, head) = heads(&system).into_iter().next().unwrap();
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut line = Line::to(&base).await;
        line.say(&head.clone().header("content-length", "100").bytes()).await;
        slow.push(line);
    }
    let ask = async || Request::new("GET", "/openapi.json").answered(&base).await;
    let give_up = Instant::now() + Duration::from_secs(10);
    let shed = loop {
        let answer = ask().await;
        if answer.status == 503 {
            break answer;
        }
        assert!(Instant::now() < give_up, "two places, and a third is served");
    };
    shed.assert_problem(503, "overloaded");
    assert_eq!(shed.headers["retry-after"], "1");
    for mut line in slow {
        line.answer().await.unwrap().assert_problem(408, "slow_body");
    }
    let answer = ask().await;
    assert_eq!(answer.status, 200, "their places are free again: {answer:?}");
}
