//! Guessing passwords, and names.
//!
//! What auth's own tests show with a hasher that counts (the same work for whoever is asked for, none for an account that is
//! closed) is shown here from outside: what is told, to how many, and for how long not. The clock stands still unless a
//! test moves it, so every limit is exact.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use contracts::ManualClock;
use futures::future::join_all;
use test_kit::api::Answer;
use test_kit::system::{Scene, TestSystem};

use super::Request;
use super::books::Books;

const MINUTE: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(15 * 60);

fn noon() -> Arc<ManualClock> {
    Arc::new(ManualClock::new("2026-03-04T12:00:00Z".parse().unwrap()))
}

/// A system in which an account is closed after three failures.
async fn guarded(clock: &Arc<ManualClock>) -> TestSystem {
    let scene = Scene::default().with("login_failures", "3").with_clock(clock);
    // A busy machine hashes slowly, which must not change what is told.
    let scene = scene.with("request_timeout", "2m");
    scene.start().await
}

async fn log_in(system: &TestSystem, name: &str, password: &str) -> Answer {
    let body = serde_json::json!({"username": name, "password": password});
    let request = Request::new("POST", "/login").json(body.to_string());
    request.answered(system.api.base()).await
}

/// Everything that a stranger sees of an answer, but the hour.
fn seen(answer: &Answer) -> (u16, Vec<String>, String) {
    let headers = answer.headers.iter().filter(|(name, _)| *name != "date");
    let mut headers: Vec<_> = headers.map(|(name, value)| format!("{name}: {value:?}")).collect();
    headers.sort();
    (answer.status, headers, answer.text.clone())
}

#[tokio::test]
async fn whoever_is_guessed_at_the_answers_are_the_same_until_the_right_one_comes_back() {
    let clock = noon();
    let system = guarded(&clock).await;
    system.api.given_a_registered("ada").await;
    let before = Books::at_rest(&system).await;
    let names = [
        "ada",
        "ADA",
        "nobody",
        "hot_wallet",
        "' OR '1'='1",
        "ada\u{0}",
        "\u{430}da",
    ];
    let mut told: Vec<Vec<_>> = Vec::new();
    // "ada" and "ADA" are one account: guessed at by turns, it is closed for both.
    for name in names {
        let mut of_name = Vec::new();
        for guess in ["password1", "letmein", "", "the-last-one-that-is-told", "and-one-more"] {
            of_name.push(seen(&log_in(&system, name, guess).await));
        }
        let statuses: Vec<u16> = of_name.iter().map(|(status, ..)| *status).collect();
        if name == "ADA" {
            assert_eq!(statuses, [429; 5]);
        } else {
            assert_eq!(statuses, [401, 401, 401, 429, 429], "{name}");
            told.push(of_name);
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "no answer tells one name from another");

    for name in ["ada", "nobody"] {
        let closed = log_in(&system, name, "password").await;
        closed.assert_problem(429, "too_many_requests");
        assert_eq!(
            closed.headers["retry-after"], "900",
            "right or wrong is not told any more"
        );
    }
    clock.advance(WINDOW - Duration::from_secs(1));
    assert_eq!(log_in(&system, "ada", "password").await.headers["retry-after"], "1");
    clock.advance(Duration::from_secs(1));
    assert_eq!(log_in(&system, "ada", "password").await.status, 200);
    assert_eq!(log_in(&system, "nobody", "password").await.status, 401);
    before.assert_unchanged(&system, "guessing");
}

#[tokio::test]
async fn guessing_at_once_tells_no_more_than_guessing_in_turn() {
    let clock = noon();
    let system = guarded(&clock).await;
    system.api.given_a_registered("ada").await;
    for name in ["ada", "nobody"] {
        let guesses = (0..24).map(|guess| {
            // The right one is among them: it may be told if it comes first, and is one of those that are told.
            let password = if guess == 23 {
                "password".to_owned()
            } else {
                format!("guess {guess}")
            };
            let system = &system;
            async move { log_in(system, name, &password).await.status }
        });
        let mut told: BTreeMap<u16, usize> = BTreeMap::new();
        for status in join_all(guesses).await {
            *told.entry(status).or_default() += 1;
        }
        let (right, wrong) = (told.get(&200).copied(), told.get(&401).copied().unwrap_or(0));
        // Who is right starts the count anew.
        let most = if right.is_some() { 5 } else { 3 };
        assert!((3..=most).contains(&wrong), "{name}: {told:?}");
        assert_eq!(told.values().sum::<usize>(), 24, "{name}: {told:?}");
        assert!(
            told.keys().all(|status| [200, 401, 429].contains(status)),
            "{name}: {told:?}"
        );
        assert_eq!(log_in(&system, name, "one more").await.status, 429, "{name}");
    }
}

/// What a proxy would say of where a request comes from. Nobody is believed.
const DISGUISES: [&str; 6] = [
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "via",
];

#[tokio::test]
async fn an_address_may_ask_so_often_however_it_disguises_itself() {
    let clock = noon();
    let system = Scene::default()
        .with("requests_per_minute", "6")
        .with_clock(&clock)
        .start()
        .await;
    let address: SocketAddr = system.api.base().trim_start_matches("http://").parse().unwrap();
    let ask = |number: usize| {
        let disguise = DISGUISES[number % DISGUISES.len()];
        let target = if number.is_multiple_of(2) {
            "/login"
        } else {
            "/register"
        };
        let request = Request::new("POST", target).header(disguise, format!("203.0.113.{number}"));
        let base = format!("http://{address}");
        async move { request.json("{}").answered(&base).await }
    };
    let answers = join_all((0..30).map(ask)).await;
    let (heard, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status != 429);
    assert_eq!(
        (heard.len(), refused.len()),
        (6, 24),
        "both doors together, and not one more at once"
    );
    for answer in heard {
        answer.assert_problem(422, "invalid");
    }
    for answer in refused {
        answer.assert_problem(429, "too_many_requests");
        assert_eq!(answer.headers["retry-after"], "10");
    }
    // What costs no hash is not counted, and the bucket fills one by one.
    let keys = Request::new("GET", "/.well-known/jwks.json")
        .answered(system.api.base())
        .await;
    assert_eq!(keys.status, 200);
    clock.advance(MINUTE / 6);
    let answers = join_all((0..6).map(ask)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status != 429).count(), 1);
    clock.advance(MINUTE);
    let answers = join_all((0..12).map(ask)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status != 429).count(), 6);
}

#[tokio::test]
async fn the_count_of_failures_forgets_what_does_not_count_any_more() {
    let clock = noon();
    let system = guarded(&clock).await;
    let counted = || -> i64 {
        let database = storage::sqlite::reader(&system.database()).unwrap();
        let count = database.query_row("SELECT count(*) FROM auth_login_failures", (), |row| row.get(0));
        count.unwrap()
    };
    for number in 0..20 {
        // A name of any length takes as much room as any other.
        let name = format!("nobody-{number}-{}", "x".repeat(number * 100));
        assert_eq!(log_in(&system, &name, "guess").await.status, 401);
    }
    assert_eq!(counted(), 20);
    clock.advance(WINDOW);
    assert_eq!(log_in(&system, "somebody-else", "guess").await.status, 401);
    assert_eq!(counted(), 1);
}

#[tokio::test]
async fn registering_tells_which_names_are_taken_and_nothing_else() {
    let system = Scene::default().start().await;
    system.api.given_a_registered("ada").await;
    let before = Books::at_rest(&system).await;
    let register = async |name: &str, email: &str| {
        let body = serde_json::json!({"username": name, "first_name": "A", "last_name": "B", "email": email,
            "password": "another password"});
        let request = Request::new("POST", "/register").json(body.to_string());
        request.answered(system.api.base()).await
    };
    // A name must be chosen and an address belongs to one account, so these are told: see docs/ARCHITECTURE.md.
    for (name, email, fields) in [
        ("ADA", "other@example.com", vec!["/username"]),
        ("other", "Ada@Example.com", vec!["/email"]),
        ("Ada", "ADA@EXAMPLE.COM", vec!["/username", "/email"]),
    ] {
        let answer = register(name, email).await;
        answer.assert_problem(409, "already_exists");
        let errors = answer.body["errors"].as_array().unwrap().iter();
        let blamed: Vec<_> = errors.map(|error| error["pointer"].as_str().unwrap()).collect();
        assert_eq!(blamed, fields);
        for secret in ["ada@example.com", "Lovelace", "\"id\"", "user_id", "argon2"] {
            assert!(!answer.text.contains(secret), "{secret} is told: {}", answer.text);
        }
    }
    assert_eq!(before.rows("auth_users"), 2, "the hot wallet and Ada");
    before.assert_unchanged(&system, "registering what is taken");
    assert_eq!(
        log_in(&system, "ada", "password").await.status,
        200,
        "her password is hers"
    );
    assert_eq!(log_in(&system, "ada", "another password").await.status, 401);
}
