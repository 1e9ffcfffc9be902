//! What other services and operators may ask.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::json;

use crate::given::{self, ask};

#[tokio::test]
async fn wallet_and_operators_read_a_user_without_the_hash() {
    let given = given::auth();
    given.register("Ada").await;
    for caller in ["wallet", "operator:ann"] {
        let answer = given.get_as(caller, "/user/2").await;
        assert_eq!(answer.status, StatusCode::OK);
        let expected = json!({
            "id": 2, "username": "Ada", "first_name": "Ada", "last_name": "Lovelace", "email": "Ada@example.com",
        });
        assert_eq!(answer.body, expected);
    }
}

#[tokio::test]
async fn nobody_else_does() {
    let given = given::auth();
    given.register("ada").await;
    assert_eq!(given.get_as("exchanger", "/user/2").await.status, StatusCode::FORBIDDEN);
    assert_eq!(given.get_as("nobody", "/user/2").await.status, StatusCode::UNAUTHORIZED);
    let request = Request::get("/user/2").body(Body::empty()).unwrap();
    let answer = ask(given.service.internal_routes().into(), request).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    let answer = given.get("/user/2").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "not on the public listener");
}

#[tokio::test]
async fn a_user_who_does_not_exist_is_not_found_and_what_is_no_id_is_malformed() {
    let given = given::auth();
    for (path, status, code) in [
        ("/user/3", StatusCode::NOT_FOUND, "not_found"),
        ("/user/0", StatusCode::BAD_REQUEST, "malformed_path"),
        ("/user/-1", StatusCode::BAD_REQUEST, "malformed_path"),
        ("/user/01", StatusCode::BAD_REQUEST, "malformed_path"),
        ("/user/ada", StatusCode::BAD_REQUEST, "malformed_path"),
        ("/user/9223372036854775808", StatusCode::BAD_REQUEST, "malformed_path"),
    ] {
        let answer = given.get_as("wallet", path).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{path}");
    }
}

#[tokio::test]
async fn wallet_gets_the_keys_from_the_internal_side_too() {
    let given = given::auth();
    let inside = given.get_as("wallet", "/.well-known/jwks.json").await;
    let outside = given.get("/.well-known/jwks.json").await;
    assert_eq!(inside.status, StatusCode::OK);
    assert_eq!(inside.body, outside.body);
}
