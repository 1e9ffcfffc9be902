//! Becoming a user.

use std::sync::Arc;

use auth::create_hot_wallet_user;
use axum::http::StatusCode;
use contracts::UserId;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::given::{self, registration};

#[tokio::test]
async fn the_first_person_who_registers_is_user_2() {
    let given = given::auth();
    assert!(create_hot_wallet_user(&given.store, &*given.clock).await.unwrap());
    assert!(!create_hot_wallet_user(&given.store, &*given.clock).await.unwrap());
    let answer = given.register("ada").await;
    assert_eq!(answer.status, StatusCode::CREATED);
    assert_eq!(answer.body, json!({"id": 2}));
    assert_eq!(given.register("grace").await.body, json!({"id": 3}));
    let user = given
        .service
        .client()
        .user(UserId::try_new(2).unwrap())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (user.username.as_str(), user.email.as_str()),
        ("ada", "ada@example.com")
    );
}

#[tokio::test]
async fn a_name_or_an_address_that_is_taken_is_named() {
    let given = given::auth();
    given.register("ada").await;
    for (username, email, blamed) in [
        ("ADA", "other@example.com", vec!["/username"]),
        ("other", "Ada@Example.COM", vec!["/email"]),
        ("Ada", "ada@example.com", vec!["/username", "/email"]),
    ] {
        let mut body = registration(username);
        body["email"] = email.into();
        let answer = given.post("/register", body).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::CONFLICT, "already_exists"));
        assert_eq!(answer.blamed(), blamed);
    }
    assert_eq!(given.hasher.hashed(), 1, "nothing is hashed for a name that is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_fifty_who_register_one_name_at_once_one_becomes_a_user() {
    let given = Arc::new(given::auth());
    let wishes = (0..50).map(|i| {
        let given = Arc::clone(&given);
        let mut body = registration(if i % 2 == 0 { "grace" } else { "Grace" });
        body["email"] = format!("grace{i}@example.com").into();
        tokio::spawn(async move { given.post("/register", body).await })
    });
    let answers: Vec<_> = join_all(wishes).await.into_iter().map(Result::unwrap).collect();
    let count = |status| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(StatusCode::CREATED), count(StatusCode::CONFLICT)), (1, 49));
    assert_eq!(given.register("next").await.body, json!({"id": 3}));
}

/// A registration with one field replaced.
async fn with(field: &str, value: Value) -> given::Answer {
    let mut body = registration("ada");
    body[field] = value;
    given::auth().post("/register", body).await
}

#[tokio::test]
async fn what_is_acceptable_is_accepted() {
    let long_email = format!("{}@{}.{}.example.com", "a".repeat(64), "b".repeat(63), "c".repeat(63));
    for (field, value) in [
        ("username", "a23"),
        ("username", "0_.-"),
        ("username", "12345678901234567890123456789012"),
        ("first_name", "Ł"),
        ("first_name", "Jean-Luc d'Étoile 三"),
        ("last_name", &"ł".repeat(64)),
        ("email", "a@b.co"),
        ("email", "first.last+tag@sub.example.com"),
        ("email", &long_email),
        ("password", "password"),
        ("password", "pässword"),
        ("password", &"x".repeat(128)),
        ("password", "  spaces count, \n all of them  "),
    ] {
        let answer = with(field, value.into()).await;
        assert_eq!(
            answer.status,
            StatusCode::CREATED,
            "{field} = {value:?}: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_and_named() {
    let (long_name, long_password) = ("x".repeat(65), "x".repeat(129));
    let long_email = format!(
        "{}@{}.{}.{}.com",
        "a".repeat(64),
        "b".repeat(63),
        "c".repeat(63),
        "d".repeat(63)
    );
    for (field, value) in [
        ("username", ""),
        ("username", "ab"),
        ("username", "_abc"),
        ("username", "-abc"),
        ("username", ".abc"),
        ("username", "a b c"),
        ("username", "adé"),
        ("username", "ada\n"),
        ("username", "ada@example.com"),
        ("username", "123456789012345678901234567890123"),
        ("username", "hot_wallet"),
        ("username", "Hot_Wallet"),
        ("first_name", ""),
        ("first_name", " \u{a0} "),
        ("first_name", "A\0da"),
        ("first_name", "Ada\r\nBcc: eve@example.com"),
        ("first_name", &long_name),
        ("last_name", ""),
        ("last_name", "Love\u{7f}lace"),
        ("last_name", &long_name),
        ("email", ""),
        ("email", "ada"),
        ("email", "@example.com"),
        ("email", "ada@"),
        ("email", "ada@@example.com"),
        ("email", "ada @example.com"),
        ("email", "ada@exa mple.com"),
        ("email", "Ada <ada@example.com>"),
        ("email", "ada@example.com\r\nBcc: eve@example.com"),
        ("email", "\"a\r\nb\"@example.com"),
        ("email", "\"a b\"@example.com"),
        ("email", "ada@[127.0.0.1]"),
        ("email", "adé@example.com"),
        ("email", "ada@example.com,eve@example.com"),
        ("email", &long_email),
        ("password", ""),
        ("password", "1234567"),
        ("password", &long_password),
    ] {
        let answer = with(field, value.into()).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
            "{field} = {value:?}"
        );
        assert_eq!(answer.blamed(), [format!("/{field}")], "{field} = {value:?}");
    }
}

#[tokio::test]
async fn all_that_is_wrong_is_named_at_once_and_nothing_is_hashed() {
    let given = given::auth();
    let body = json!({"username": "", "first_name": "", "last_name": "", "email": "", "password": ""});
    let answer = given.post("/register", body).await;
    let all = ["/username", "/first_name", "/last_name", "/email", "/password"];
    assert_eq!(answer.blamed(), all);
    assert_eq!(given.hasher.hashed(), 0);
}

#[tokio::test]
async fn a_body_of_another_form_is_refused() {
    let given = given::auth();
    let mut lacking = registration("ada");
    lacking.as_object_mut().unwrap().remove("email");
    let mut more = registration("ada");
    more["id"] = 1.into();
    let mut number = registration("ada");
    number["password"] = 12_345_678.into();
    for body in [lacking, more, number, json!([]), json!(null)] {
        let answer = given.post("/register", body.clone()).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    let answer = given.get("/register").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn one_address_may_ask_so_many_times_a_minute() {
    let given = given::with(auth::Settings::default(), 3);
    for username in ["ada", "grace"] {
        assert_eq!(given.register(username).await.status, StatusCode::CREATED);
    }
    assert_eq!(given.log_in("ada", "password").await.status, StatusCode::OK);
    let answer = given.register("edsger").await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::TOO_MANY_REQUESTS, "too_many_requests")
    );
    assert_ne!(answer.header("retry-after"), "");
    assert_eq!(
        given.log_in("ada", "password").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(given.get("/.well-known/jwks.json").await.status, StatusCode::OK);
}
