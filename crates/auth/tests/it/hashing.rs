//! The real hasher: argon2id, bounded.

use std::num::NonZeroUsize;
use std::sync::Arc;

use auth::domain::user::Password;
use auth::ports::{HashError, PasswordHasher as _};
use auth::{Argon2Pool, PoolLimits};
use contracts::SystemEntropy;
use futures::future::join_all;

fn pool(concurrent: usize, waiting: usize) -> Argon2Pool {
    let limits = PoolLimits {
        concurrent: NonZeroUsize::new(concurrent).unwrap(),
        waiting,
    };
    Argon2Pool::new(limits, Arc::new(SystemEntropy))
}

fn password(text: &str) -> Password {
    Password::new(text.to_owned())
}

#[tokio::test]
async fn a_hash_is_argon2id_at_the_agreed_cost_and_never_the_same() {
    let pool = pool(2, 2);
    let hash = pool.hash(password("password")).await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert_ne!(pool.hash(password("password")).await.unwrap(), hash);
    assert_eq!(pool.verify(password("password"), hash.clone()).await, Ok(true));
    assert_eq!(pool.verify(password("Password"), hash.clone()).await, Ok(false));
    assert_eq!(pool.verify(password(""), hash).await, Ok(false));
}

#[tokio::test]
async fn the_decoy_costs_what_a_hash_costs_and_fits_no_password() {
    let pool = pool(1, 1);
    let hash = pool.hash(password("password")).await.unwrap();
    let cost = |hash: &str| hash.rsplitn(3, '$').last().map(str::to_owned);
    assert_eq!(cost(pool.decoy()), cost(&hash));
    assert_eq!(pool.decoy().len(), hash.len());
    assert_eq!(
        pool.verify(password("password"), pool.decoy().to_owned()).await,
        Ok(false)
    );
}

#[tokio::test]
async fn what_is_no_hash_is_an_error_and_not_a_wrong_password() {
    let answer = pool(1, 1).verify(password("password"), "plain".to_owned()).await;
    assert!(matches!(answer, Err(HashError::Failed(_))), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_more_than_may_wait_is_refused_at_once() {
    let pool = pool(1, 2);
    let answers = join_all((0..8).map(|_| pool.hash(password("password")))).await;
    let hashed = answers.iter().filter(|answer| answer.is_ok()).count();
    let busy = answers
        .iter()
        .filter(|answer| matches!(answer, Err(HashError::Busy { .. })))
        .count();
    assert_eq!((hashed, busy), (3, 5));
    assert!(pool.hash(password("password")).await.is_ok(), "places are given back");
}
