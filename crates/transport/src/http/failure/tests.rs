//! What an answer is taken for: a refusal only if it is one beyond doubt.

use proptest::prelude::*;

use super::*;

fn received<'a>(status: u16, body: &'a str) -> Received<'a> {
    Received {
        status,
        is_problem: true,
        retry_after: None,
        body: body.as_bytes(),
    }
}

fn problem(status: u16, code: &str) -> String {
    format!(r#"{{"status": {status}, "code": "{code}", "title": "A test"}}"#)
}

fn kind(answer: Received<'_>) -> Option<FailureKind> {
    judge("balance", "http://b", answer).err().map(|failure| failure.kind)
}

#[test]
fn refusals_are_what_the_service_says() {
    let judged = |status, code| {
        let body = problem(status, code);
        format!("{:?}", judge("balance", "http://b", received(status, &body)).unwrap())
    };
    assert_eq!(judged(404, "not_found"), "NotFound");
    assert_eq!(judged(409, "already_exists"), "AlreadyExists");
    assert_eq!(judged(413, "body_too_large"), r#"Invalid("body_too_large")"#);
    assert_eq!(judged(422, "invalid"), r#"Invalid("invalid")"#);
}

#[test]
fn an_invalid_request_is_told_field_by_field() {
    let body = r#"{"status": 422, "code": "invalid", "errors": [{"pointer": "/0/amount", "detail": "too many decimals"},
        {"pointer": "", "detail": "and more"}]}"#;
    let answer = judge("balance", "http://b", received(422, body)).unwrap();
    assert_eq!(
        answer,
        Answer::Invalid("/0/amount: too many decimals; and more".to_owned())
    );
}

#[test]
fn a_refusal_that_is_not_the_services_own_is_none() {
    let body = problem(422, "invalid");
    let of_a_proxy = Received {
        is_problem: false,
        ..received(422, &body)
    };
    assert_eq!(kind(of_a_proxy), Some(FailureKind::Unreadable));
    assert_eq!(
        kind(received(409, &body)),
        Some(FailureKind::Unreadable),
        "not its status"
    );
    assert_eq!(
        kind(received(422, &body[..20])),
        Some(FailureKind::Unreadable),
        "cut off"
    );
}

#[test]
fn settings_to_correct_are_named() {
    let told = |status, body: &str| match judge("balance", "http://b", received(status, body)).unwrap_err() {
        Failure {
            kind: FailureKind::Denied,
            detail,
            ..
        } => detail,
        other => panic!("{other:?}"),
    };
    for setting in ["CAMBIST_INTERNAL_TOKEN)", "CAMBIST_INTERNAL_TOKENS)", "http://b"] {
        assert!(told(401, &problem(401, "unauthorized")).contains(setting), "{setting}");
        assert!(told(403, &problem(403, "forbidden")).contains(setting), "{setting}");
    }
    let nothing_there = r#"{"status": 404, "code": "not_found", "path": "/wallet/2"}"#;
    for body in [nothing_there, "<html>not found</html>", ""] {
        assert!(told(404, body).contains("CAMBIST_BALANCE_URL"), "{body}");
    }
    assert!(told(405, &problem(405, "method_not_allowed")).contains("CAMBIST_BALANCE_URL"));
}

#[test]
fn who_is_full_did_nothing_and_who_is_broken_may_have() {
    let of = |status, code: &str| kind(received(status, &problem(status, code)));
    assert_eq!(of(503, "overloaded"), Some(FailureKind::Overloaded));
    assert_eq!(of(429, "too_many_requests"), Some(FailureKind::Overloaded));
    assert_eq!(of(503, "unavailable"), Some(FailureKind::Unavailable));
    assert_eq!(of(503, "timeout"), Some(FailureKind::Unavailable));
    assert_eq!(of(500, "internal"), Some(FailureKind::ServerError));
    assert_eq!(kind(received(502, "bad gateway")), Some(FailureKind::Unavailable));
}

#[test]
fn overloaded_is_promised_only_where_nothing_was_done() {
    let full = Failure {
        retry_after: Some(Duration::from_secs(3)),
        ..Failure::new(FailureKind::Overloaded, "full")
    };
    let retry_after = Duration::from_secs(3);
    assert_eq!(full.clone().into_error(true), ClientError::Overloaded { retry_after });
    assert_eq!(full.into_error(false), ClientError::Unavailable("full".to_owned()));
}

proptest! {
    #[test]
    fn nothing_but_a_problem_of_ours_is_ever_a_refusal(
        status in 100..600_u16, is_problem: bool, body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let received = Received { status, is_problem, retry_after: None, body: &body };
        let answer = judge("balance", "http://b", received);
        prop_assert!(matches!(answer, Err(_) | Ok(Answer::Success(..))));
    }

    #[test]
    fn no_answer_of_5xx_or_3xx_is_a_refusal(status in prop_oneof![100..200_u16, 300..400_u16, 500..600_u16], code in
        "(not_found|already_exists|invalid|body_too_large|conflict|internal|unavailable)") {
        let body = problem(status, &code);
        prop_assert!(judge("balance", "http://b", received(status, &body)).is_err());
    }
}
