//! What the internal listener tells; the table of who may ask what is in `abuse/doors.rs`.

use reqwest::Method;
use test_kit::system::TestSystem;

use super::given_ada_and_bob;

#[tokio::test]
async fn what_auth_tells_of_a_user_is_never_a_credential() {
    let system = TestSystem::start().await;
    given_ada_and_bob(&system).await;
    let user = system.operator(Method::GET, "/auth/user/2", None).await;
    assert_eq!(user.body["username"], "ada");
    assert_eq!(user.body["email"], "ada@example.com");
    for credential in ["password", "hash", "argon2"] {
        assert!(!user.text.contains(credential), "{}", user.text);
    }
    let unknown = system.operator(Method::GET, "/auth/user/99", None).await;
    unknown.assert_problem(404, "not_found");
}
