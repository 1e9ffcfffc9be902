//! Starts apart that cannot succeed: one clear line that says what to do, a code that is not zero, and no longer than patience.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use test_kit::process::Program;
use test_servers::nats::Nats;
use test_servers::postgres::TestDatabase;

use crate::program::{assert_one_line, cambist};

/// How long a start waits for what may come yet.
const PATIENCE: Duration = Duration::from_millis(400);
/// What a start takes besides, on a busy machine.
const BESIDES: Duration = Duration::from_secs(10);

/// The settings of `cambist serve exchanger`, of which each test spoils one. Nothing listens at port 1.
fn exchanger(folder: &TempDir, database: &str, nats: &str) -> Program {
    cambist(folder)
        .with("CAMBIST_DATABASE_URL", database)
        .with("CAMBIST_NATS_URL", nats)
        .with("CAMBIST_BALANCE_URL", "http://127.0.0.1:1")
        .with("CAMBIST_VENUE_URL", "http://127.0.0.1:1/venue")
        .with("CAMBIST_INTERNAL_TOKEN", "a-token-that-only-tests-know")
        .with("CAMBIST_START_PATIENCE", "400ms")
        .with("CAMBIST_LOG", "error")
}

async fn assert_refused(program: &Program, arguments: &[&str], words: &[&str]) {
    let began = Instant::now();
    assert_one_line(&program.run(arguments).await, words);
    assert!(began.elapsed() < PATIENCE + BESIDES, "{:?}", began.elapsed());
}

const NOWHERE: &str = "postgres://cambist@127.0.0.1:1/cambist";
const NO_NATS: &str = "nats://127.0.0.1:1";

#[tokio::test]
async fn settings_that_are_missing_or_make_no_sense_are_named_before_anything_is_connected() {
    let folder = tempfile::tempdir().unwrap();
    let sound = exchanger(&folder, NOWHERE, NO_NATS);
    for command in [["serve", "exchanger"], ["work", "exchanger"]] {
        let spoilt = |name: &str, value: &str| sound.clone().with(name, value);
        let file = spoilt("CAMBIST_DATABASE_URL", "sqlite:cambist.db");
        assert_refused(&file, &command, &["database_url", "postgres://"]).await;
        let elsewhere = spoilt("CAMBIST_DATABASE_URL", "mysql://db/cambist");
        assert_refused(&elsewhere, &command, &["database_url", "mysql"]).await;
        assert_refused(&spoilt("CAMBIST_NATS_URL", ""), &command, &["nats_url", "nats://"]).await;
        assert_refused(
            &spoilt("CAMBIST_BALANCE_URL", ""),
            &command,
            &["balance_url", "http://"],
        )
        .await;
        assert_refused(
            &spoilt("CAMBIST_VENUE_URL", ""),
            &command,
            &["venue_url", "cambist simulate"],
        )
        .await;
        assert_refused(&spoilt("CAMBIST_INTERNAL_TOKEN", ""), &command, &["internal_token"]).await;
        let unknown = spoilt("CAMBIST_BALANCE_ULR", "http://127.0.0.1:1");
        assert_refused(&unknown, &command, &["CAMBIST_BALANCE_ULR", "CAMBIST_BALANCE_URL"]).await;
    }
    let seedless = ["serve", "bc_gateway"];
    assert_refused(&sound, &seedless, &["chain_seed"]).await;
    let (code, _, errors) = sound.run(&["work", "balance"]).await;
    assert_eq!(code, Some(2), "balance has no worker: {errors}");
}

#[tokio::test]
async fn a_database_that_is_not_there_is_waited_for_and_then_named() {
    let folder = tempfile::tempdir().unwrap();
    let program = exchanger(&folder, NOWHERE, NO_NATS);
    for command in [
        &["serve", "exchanger"][..],
        &["serve", "auth"],
        &["migrate"],
        &["audit"],
        &["up"],
    ] {
        let program = match command {
            // It has no use for these, and says so.
            ["up"] => program
                .clone()
                .with("CAMBIST_NATS_URL", "")
                .with("CAMBIST_BALANCE_URL", ""),
            _ => program.clone(),
        };
        assert_refused(&program, command, &["database", "cannot be reached"]).await;
    }
    // Whoever watches is told what is waited for.
    let watched = program.with("CAMBIST_LOG", "warn");
    let (code, _, errors) = watched.run(&["serve", "auth"]).await;
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("no database yet; again shortly"), "{errors}");
}

#[tokio::test]
async fn a_database_that_lets_nobody_in_or_has_no_schema_is_told_with_the_command_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::create();
    let program = exchanger(&folder, &database.url(), NO_NATS);
    for command in [["serve", "exchanger"], ["work", "exchanger"], ["serve", "auth"]] {
        assert_refused(&program, &command, &["cambist migrate"]).await;
    }
    let stranger = database.url().replace("cambist@", "nobody:guessed@");
    let refused = program.clone().with("CAMBIST_DATABASE_URL", &stranger);
    assert_refused(&refused, &["serve", "exchanger"], &["nobody"]).await;
    assert!(!refused.run(&["serve", "exchanger"]).await.2.contains("guessed"));
    let nowhere = format!("{}_of_another", database.url());
    let refused = program.with("CAMBIST_DATABASE_URL", &nowhere);
    assert_refused(&refused, &["serve", "exchanger"], &["of_another"]).await;
}

#[tokio::test]
async fn queues_that_are_not_there_or_let_nobody_in_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::create();
    let program = exchanger(&folder, &database.url(), NO_NATS);
    let (code, _, errors) = program.run(&["migrate"]).await;
    assert_eq!(code, Some(0), "{errors}");
    assert_refused(&program, &["work", "exchanger"], &["NATS", "127.0.0.1:1"]).await;
    let nats = Nats::start_with(&["--user", "ann", "--pass", "right"]);
    let wrong = format!("nats://ann:wrong@{}", nats.address());
    // The client library tells of it in a line of its own.
    let refused = program
        .with("CAMBIST_NATS_URL", &wrong)
        .with("CAMBIST_LOG", "error,async_nats=off");
    assert_refused(&refused, &["work", "exchanger"], &["NATS", "refuses our credentials"]).await;
    let (_, _, errors) = refused.run(&["work", "exchanger"]).await;
    assert!(!errors.contains("wrong@"), "{errors}");
}
