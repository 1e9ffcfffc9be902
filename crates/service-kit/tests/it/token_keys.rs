//! Where the keys come from, and what happens when they do not come.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use contracts::clients::{Auth, ClientError, Jwks, User};
use contracts::{Clock as _, ManualClock, UserId};
use service_kit::auth::{Claims, Refusal, SigningKey, TokenVerifier, VerifyError, protect};

use crate::support::{Server, at_least_one};

struct Registry {
    answer: Mutex<Result<Jwks, ClientError>>,
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl Auth for Registry {
    async fn user(&self, _: UserId) -> Result<Option<User>, ClientError> {
        Ok(None)
    }

    async fn jwks(&self) -> Result<Jwks, ClientError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // Others get their turn while this call is on its way.
        tokio::task::yield_now().await;
        self.answer.lock().unwrap().clone()
    }
}

struct World {
    registry: Arc<Registry>,
    clock: Arc<ManualClock>,
    verifier: Arc<TokenVerifier>,
}

impl World {
    fn new(answer: Result<Jwks, ClientError>) -> Self {
        let clock = Arc::new(ManualClock::new("2025-01-31T12:00:00Z".parse().unwrap()));
        let registry = Arc::new(Registry {
            answer: Mutex::new(answer),
            asked: AtomicUsize::new(0),
        });
        let verifier = TokenVerifier::new(
            registry.clone(),
            clock.clone(),
            "cambist",
            "cambist",
            at_least_one(1000),
        );
        Self {
            registry,
            clock,
            verifier: Arc::new(verifier),
        }
    }

    fn publish(&self, answer: Result<Jwks, ClientError>) {
        *self.registry.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.registry.asked.load(Ordering::SeqCst)
    }

    fn token(&self, key: &SigningKey, token_id: &str) -> String {
        let user = UserId::try_new(2).unwrap();
        let ttl = Duration::from_secs(900);
        key.mint(&Claims::new(
            user,
            "cambist",
            "cambist",
            self.clock.now(),
            ttl,
            token_id.into(),
        ))
        .unwrap()
    }

    async fn verify(&self, token: &str) -> Result<i64, VerifyError> {
        self.verifier.verify(token).await.map(UserId::get)
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(format!("key-{number}"), &[number; 32])
}

fn jwks(keys: &[SigningKey]) -> Jwks {
    Jwks {
        keys: keys.iter().map(|key| key.public().unwrap()).collect(),
    }
}

fn down() -> ClientError {
    ClientError::Unavailable("auth is down".into())
}

const UNKNOWN: Result<i64, VerifyError> = Err(VerifyError::Refused(Refusal::Key));

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let world = World::new(Ok(jwks(&[key(1)])));
    assert_eq!(world.verify(&world.token(&key(1), "a")).await, Ok(2));
    assert_eq!(world.verify(&world.token(&key(1), "b")).await, Ok(2));
    assert_eq!(world.asked(), 1, "a known key costs no fetch");
    world.publish(Ok(jwks(&[key(1), key(2)])));
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.verify(&world.token(&key(2), "c")).await, Ok(2));
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn made_up_key_ids_cost_auth_one_fetch_every_two_seconds() {
    let world = World::new(Ok(jwks(&[key(1)])));
    for number in 2..100 {
        assert_eq!(world.verify(&world.token(&key(number), "x")).await, UNKNOWN);
    }
    assert_eq!(world.asked(), 1);
    world.clock.advance(Duration::from_secs(2));
    let tokens: Vec<_> = (2..100).map(|number| world.token(&key(number), "x")).collect();
    let tasks = tokens.into_iter().map(|token| {
        let verifier = world.verifier.clone();
        tokio::spawn(async move { verifier.verify(&token).await.map(UserId::get) })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert_eq!(task.await.unwrap(), UNKNOWN);
    }
    assert_eq!(world.asked(), 2, "those at the same time share one");
}

#[tokio::test]
async fn when_the_keys_cannot_be_had_nobody_is_called_a_forger() {
    let world = World::new(Err(down()));
    let token = world.token(&key(1), "a");
    let routes = Router::new().route("/wallet/{user_id}", get(|| async { "mine" }));
    let server = Server::start(protect(routes, &world.verifier)).await;
    for _ in 0..3 {
        let answer = server.get_with_token("/wallet/2", &token).await;
        assert_eq!((answer.status, answer.problem().as_str()), (503, "unavailable"));
    }
    assert_eq!(world.asked(), 1, "a service that is down is not asked by everybody");
    world.publish(Ok(jwks(&[key(1)])));
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(server.get_with_token("/wallet/2", &token).await.text, "mine");
}

#[tokio::test]
async fn known_keys_outlive_an_outage_of_auth() {
    let world = World::new(Ok(jwks(&[key(1)])));
    assert_eq!(world.verify(&world.token(&key(1), "a")).await, Ok(2));
    world.publish(Err(down()));
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(world.verify(&world.token(&key(1), "b")).await, Ok(2));
    assert_eq!(
        world.verify(&world.token(&key(2), "c")).await,
        Err(VerifyError::Keys(down()))
    );
}

#[tokio::test]
async fn a_withdrawn_key_is_forgotten_within_five_minutes() {
    let world = World::new(Ok(jwks(&[key(1)])));
    assert_eq!(world.verify(&world.token(&key(1), "a")).await, Ok(2));
    world.publish(Ok(jwks(&[key(2)])));
    world.clock.advance(Duration::from_secs(299));
    assert_eq!(world.verify(&world.token(&key(1), "b")).await, Ok(2));
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.verify(&world.token(&key(1), "c")).await, UNKNOWN);
}

#[tokio::test]
async fn keys_of_another_kind_are_passed_over() {
    let mut published = jwks(&[key(1), key(2), key(3)]);
    published.keys[0].kty = "oct".into();
    published.keys[1].x = "not base64".into();
    let world = World::new(Ok(published));
    assert_eq!(world.verify(&world.token(&key(1), "a")).await, UNKNOWN);
    assert_eq!(world.verify(&world.token(&key(2), "a")).await, UNKNOWN);
    assert_eq!(world.verify(&world.token(&key(3), "a")).await, Ok(2));
}
