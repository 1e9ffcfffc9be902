//! Tokens that look like Ada's and open nothing.

use std::time::Duration;

use contracts::UserId;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use service_kit::auth::{Claims, SigningKey};
use test_kit::api::User;
use test_kit::system::TestSystem;

use super::super::Request;

/// The key with which this system signs: whoever has the database can do this, nobody else.
fn signing_key(system: &TestSystem) -> SigningKey {
    let database = storage::sqlite::reader(&system.database()).unwrap();
    let key = database.query_row(
        "SELECT kid, private_key FROM auth_signing_keys WHERE retired_at IS NULL LIMIT 1",
        (),
        |row| Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 32]>(1)?)),
    );
    let (kid, seed) = key.unwrap();
    SigningKey::from_seed(kid, &seed)
}

/// `Authorization` headers, each with what is wrong with it.
pub(super) async fn forgeries(system: &TestSystem, user: &User) -> Vec<(&'static str, String)> {
    let mut headers: Vec<_> = tokens(system, user)
        .into_iter()
        .map(|(why, token)| (why, format!("Bearer {token}")))
        .collect();
    let sound = &user.token;
    headers.extend([
        ("another scheme", format!("Basic {sound}")),
        ("no scheme", sound.clone()),
        ("something after it", format!("Bearer {sound} x")),
        ("two tokens in one", format!("Bearer {sound},{sound}")),
        ("no token", "Bearer".to_owned()),
        ("an empty token", "Bearer ".to_owned()),
        (
            "a token too long to look at",
            format!("Bearer {sound}{}", "x".repeat(20_000)),
        ),
        (
            "two headers",
            format!("Bearer {sound}\r\nauthorization: Bearer {sound}"),
        ),
    ]);
    // They fail for what is wrong with them: one that is made in the same way, of sound parts, opens.
    let sound = mint(
        &signing_key(system),
        &claims(user, "cambist", "cambist", Timestamp::now()),
    );
    let request = Request::new("GET", &format!("/wallet/{}", user.id)).bearer(&sound);
    assert_eq!(request.answered(system.api.base()).await.status, 200);
    headers
}

fn claims(user: &User, issuer: &str, audience: &str, at: Timestamp) -> Claims {
    let user = UserId::try_new(user.id).unwrap();
    Claims::new(user, issuer, audience, at, Duration::from_secs(900), "t".to_owned())
}

fn mint(key: &SigningKey, claims: &Claims) -> String {
    key.mint(claims).unwrap()
}

fn tokens(system: &TestSystem, user: &User) -> Vec<(&'static str, String)> {
    let key = signing_key(system);
    let now = Timestamp::now();
    let long_ago = now - Duration::from_secs(3_600);
    let good = claims(user, "cambist", "cambist", now);
    let parts: Vec<&str> = user.token.split('.').collect();
    let [header, body, signature] = parts[..] else {
        panic!("a token has three parts");
    };
    // {"alg":"none","typ":"JWT"}
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let altered: String = signature.chars().rev().collect();
    let another_body = mint(&SigningKey::from_seed(key.kid(), &[7; 32]), &good);
    let another_body = another_body.split('.').nth(1).unwrap().to_owned();
    let mut tokens = vec![
        ("not a token", "let-me-in".to_owned()),
        ("a broken token", format!("{header}.{body}")),
        ("four parts", format!("{header}.{body}.{signature}.{signature}")),
        ("another signature", format!("{header}.{body}.{altered}")),
        ("another body", format!("{header}.{another_body}.{signature}")),
        ("no signature", format!("{header}.{body}.")),
        ("algorithm none", format!("{none}.{body}.")),
        ("algorithm none, and a signature", format!("{none}.{body}.{signature}")),
        ("expired", mint(&key, &claims(user, "cambist", "cambist", long_ago))),
        ("another issuer", mint(&key, &claims(user, "somebody", "cambist", now))),
        (
            "another audience",
            mint(&key, &claims(user, "cambist", "somebody", now)),
        ),
        (
            "another key of this name",
            mint(&SigningKey::from_seed(key.kid(), &[7; 32]), &good),
        ),
        (
            "a key nobody knows",
            mint(&SigningKey::from_seed("unknown", &[7; 32]), &good),
        ),
        (
            "a key that is a path",
            mint(&SigningKey::from_seed("../../dev/null", &[7; 32]), &good),
        ),
        (
            "a key that is a question",
            mint(&SigningKey::from_seed("' OR 1=1 --", &[7; 32]), &good),
        ),
    ];
    tokens.extend(signed_with_what_is_public(&key, &good));
    tokens
}

/// The public key is everybody's: where it passes for a shared secret, anybody can sign.
fn signed_with_what_is_public(key: &SigningKey, good: &Claims) -> Vec<(&'static str, String)> {
    let public = key.public().unwrap();
    let jwk = serde_json::to_string(&public).unwrap();
    let secrets = [
        EncodingKey::from_secret(public.x.as_bytes()),
        EncodingKey::from_base64_secret(&format!("{}=", public.x.replace('-', "+").replace('_', "/"))).unwrap(),
        EncodingKey::from_secret(jwk.as_bytes()),
        EncodingKey::from_secret(b""),
    ];
    let algorithms = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
    let pairs = secrets
        .iter()
        .flat_map(|secret| algorithms.map(|algorithm| (secret, algorithm)));
    let sign = |(secret, algorithm): (&EncodingKey, Algorithm)| {
        let header = Header {
            kid: Some(key.kid().to_owned()),
            ..Header::new(algorithm)
        };
        (
            "the public key as a secret",
            jsonwebtoken::encode(&header, good, secret).unwrap(),
        )
    };
    pairs.map(sign).collect()
}
