//! First who you are (401), then whether this is yours (403), and both before the body.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use contracts::clients::{Auth, ClientError, Jwks, User};
use contracts::{Clock as _, ManualClock, UserId};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use service_kit::auth::{AuthenticatedUser, Claims, SigningKey, TokenVerifier, protect};
use service_kit::extract::JsonBody;

use crate::support::{Answer, Server, at_least_one, client};

const TTL: Duration = Duration::from_secs(900);

struct Published(Jwks);

#[async_trait::async_trait]
impl Auth for Published {
    async fn user(&self, _: UserId) -> Result<Option<User>, ClientError> {
        Ok(None)
    }

    async fn jwks(&self) -> Result<Jwks, ClientError> {
        Ok(self.0.clone())
    }
}

struct World {
    server: Server,
    clock: Arc<ManualClock>,
    key: SigningKey,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new("2025-01-31T12:00:00Z".parse().unwrap()));
        let key = SigningKey::from_seed("key-1", &[7; 32]);
        let auth = Arc::new(Published(Jwks {
            keys: vec![key.public().unwrap()],
        }));
        let verifier = Arc::new(TokenVerifier::new(
            auth,
            clock.clone(),
            "cambist",
            "cambist",
            at_least_one(100),
        ));
        let routes = Router::new()
            .route(
                "/wallet/{user_id}",
                get(|AuthenticatedUser(user): AuthenticatedUser| async move { user.to_string() }),
            )
            .route("/buy/{user_id}", post(|_: JsonBody<Value>| async {}));
        let server = Server::start(protect(routes, &verifier)).await;
        Self { server, clock, key }
    }

    fn claims(&self, user: i64) -> Claims {
        let user = UserId::try_new(user).unwrap();
        Claims::new(user, "cambist", "cambist", self.clock.now(), TTL, "token-1".into())
    }

    fn token(&self, user: i64) -> String {
        self.key.mint(&self.claims(user)).unwrap()
    }

    /// A token that the right key signed, with a header and claims of choice.
    fn signed(&self, edit: impl FnOnce(&mut Value)) -> String {
        let mut claims = serde_json::to_value(self.claims(2)).unwrap();
        edit(&mut claims);
        let der = [&PKCS8_PREFIX[..], &[7; 32]].concat();
        let header = Header {
            kid: Some("key-1".into()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&der)).unwrap()
    }

    async fn wallet_of_2(&self, token: &str) -> Answer {
        self.server.get_with_token("/wallet/2", token).await
    }
}

const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

#[tokio::test]
async fn a_user_reaches_their_own_wallet() {
    let world = World::new().await;
    let token = world.token(2);
    for _ in 0..2 {
        let answer = world.wallet_of_2(&token).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "2"));
    }
    let lower = client()
        .get(world.server.url("/wallet/2"))
        .header("authorization", format!("bearer {token}"));
    assert_eq!(
        lower.send().await.unwrap().status(),
        200,
        "the scheme's case does not matter (RFC 9110, 11.1)"
    );
}

#[tokio::test]
async fn nobody_reaches_another_users_wallet() {
    let world = World::new().await;
    let token = world.token(2);
    for path in [
        "/wallet/3",
        "/wallet/1",
        "/wallet/0",
        "/wallet/02",
        "/wallet/+2",
        "/wallet/2%20",
        "/wallet/abc",
        "/wallet/%ff",
    ] {
        let answer = world.server.get_with_token(path, &token).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{path}");
    }
}

#[tokio::test]
async fn who_you_are_comes_before_whose_it_is_and_both_before_the_body() {
    let world = World::new().await;
    for path in ["/wallet/2", "/wallet/3", "/wallet/abc"] {
        assert_eq!(world.server.get(path).await.problem(), "unauthorized", "{path}");
    }
    let broken = |user: i64, token: Option<String>| {
        let request = client().post(world.server.url(&format!("/buy/{user}"))).body("{");
        let request = token
            .into_iter()
            .fold(request, |request, token| request.bearer_auth(token));
        async move { Answer::of(request.send().await.unwrap()).await.problem() }
    };
    assert_eq!(broken(2, None).await, "unauthorized");
    assert_eq!(broken(3, Some(world.token(2))).await, "forbidden");
    assert_eq!(broken(2, Some(world.token(2))).await, "unsupported_media_type");
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let world = World::new().await;
    let good = world.token(2);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let public = URL_SAFE_NO_PAD.decode(world.key.public().unwrap().x).unwrap();
    let hs256 = |secret: &[u8]| {
        let header = Header {
            kid: Some("key-1".into()),
            ..Header::new(Algorithm::HS256)
        };
        jsonwebtoken::encode(&header, &world.claims(2), &EncodingKey::from_secret(secret)).unwrap()
    };
    let other_key = SigningKey::from_seed("key-1", &[8; 32]).mint(&world.claims(2)).unwrap();
    let unknown_key = SigningKey::from_seed("key-2", &[7; 32]).mint(&world.claims(2)).unwrap();
    let for_3 = part(&serde_json::to_value(world.claims(3)).unwrap());
    let none = |alg: &str| format!("{}.{payload}", part(&json!({"alg": alg, "typ": "JWT", "kid": "key-1"})));
    let forged = [
        ("alg none without a signature", format!("{}.", none("none"))),
        ("alg None with a signature", format!("{}.{signature}", none("None"))),
        ("alg EdDSA without a signature", format!("{}.", none("EdDSA"))),
        ("HS256 with the public key as its secret", hs256(&public)),
        (
            "HS256 with the published text as its secret",
            hs256(world.key.public().unwrap().x.as_bytes()),
        ),
        ("RS256 in the header", format!("{}.{signature}", none("RS256"))),
        ("another key under our key's id", other_key),
        ("a key nobody published", unknown_key),
        (
            "another user's claims under this signature",
            format!("{header}.{for_3}.{signature}"),
        ),
        (
            "a header without key id",
            format!("{}.{payload}.{signature}", part(&json!({"alg": "EdDSA"}))),
        ),
        ("a cut signature", good[..good.len() - 4].to_owned()),
        ("a missing part", message.to_owned()),
        ("a part too many", format!("{good}.{signature}")),
        ("garbage", "garbage".to_owned()),
        ("dots", "..".to_owned()),
        (
            "sound, but too long",
            world.signed(|claims| claims["jti"] = json!("x".repeat(4000))),
        ),
    ];
    for (what, token) in forged {
        let answer = world.wallet_of_2(&token).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (401, "unauthorized"),
            "{what}"
        );
    }
    assert_eq!(world.wallet_of_2(&good).await.status, 200);
}

#[tokio::test]
async fn claims_must_be_complete_and_meant_for_us() {
    let world = World::new().await;
    assert_eq!(
        world.wallet_of_2(&world.signed(|_| {})).await.status,
        200,
        "the unedited claims are fine"
    );
    let edits: [(&str, Value); 13] = [
        ("iss", json!("somebody")),
        ("iss", Value::Null),
        ("iss", json!(["cambist"])),
        ("aud", json!("somebody")),
        ("aud", Value::Null),
        ("aud", json!(["cambist", "somebody"])),
        ("exp", Value::Null),
        ("exp", json!("never")),
        ("exp", json!(-1)),
        ("sub", json!(2)),
        ("sub", json!("0")),
        ("sub", json!("02")),
        ("sub", Value::Null),
    ];
    for (claim, value) in edits {
        let token = world.signed(|claims| {
            let claims = claims.as_object_mut().unwrap();
            if value.is_null() {
                claims.remove(claim);
            } else {
                claims.insert(claim.into(), value.clone());
            }
        });
        let answer = world.wallet_of_2(&token).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (401, "unauthorized"),
            "{claim} = {value}"
        );
    }
}

#[tokio::test]
async fn a_token_is_valid_until_its_last_second_whether_remembered_or_not() {
    let world = World::new().await;
    let (remembered, fresh) = (world.token(2), world.signed(|claims| claims["jti"] = json!("other")));
    assert_eq!(world.wallet_of_2(&remembered).await.status, 200);
    world.clock.advance(TTL - Duration::from_micros(1));
    assert_eq!(world.wallet_of_2(&remembered).await.status, 200);
    world.clock.advance(Duration::from_micros(1));
    for token in [remembered, fresh] {
        let answer = world.wallet_of_2(&token).await;
        assert_eq!(answer.problem(), "unauthorized");
        assert_eq!(answer.json()["detail"], "the token has expired");
    }
}

#[tokio::test]
async fn the_authorization_header_is_one_bearer_token() {
    let world = World::new().await;
    let token = world.token(2);
    let right = format!("Bearer {token}");
    let values: [&[&str]; 7] = [
        &[],
        &[""],
        &["Bearer"],
        &["Bearer "],
        &[&token],
        &[&right, &right],
        &["Basic dXNlcjpwYXNzd29yZA=="],
    ];
    for headers in values {
        let request = client().get(world.server.url("/wallet/2"));
        let request = headers
            .iter()
            .fold(request, |request, value| request.header("authorization", *value));
        let answer = Answer::of(request.send().await.unwrap()).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (401, "unauthorized"),
            "{headers:?}"
        );
    }
}

#[test]
fn a_signing_key_is_never_printed() {
    let key = SigningKey::from_seed("key-1", &[7; 32]);
    assert_eq!(format!("{key:?}"), r#"SigningKey { kid: "key-1", .. }"#);
    // RFC 8037, appendix A.2: the public half of the seed in appendix A.1.
    let seed: [u8; 32] = URL_SAFE_NO_PAD
        .decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(
        SigningKey::from_seed("k", &seed).public().unwrap().x,
        "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    );
}
