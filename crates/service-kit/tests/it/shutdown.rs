//! One end for the whole process, and no task that dies silently.

use std::convert::Infallible;
use std::time::Duration;

use service_kit::shutdown::{Shutdown, ShutdownError};

use crate::support::PATIENCE;

fn failed(task: &str, problem: &str) -> Result<(), ShutdownError> {
    Err(ShutdownError::TaskFailed {
        task: task.into(),
        problem: problem.into(),
    })
}

/// How it ends; a process that does not end at all has failed the test.
async fn ended(shutdown: &Shutdown, drain: Duration) -> Result<(), ShutdownError> {
    tokio::time::timeout(2 * PATIENCE, shutdown.wait(drain))
        .await
        .expect("nobody asks for the end")
}

/// A loop as workers have one: it ends when it is asked to.
fn spawn_loop(shutdown: &Shutdown, name: &str) {
    let told = shutdown.token();
    shutdown.spawn(name, async move {
        told.cancelled().await;
        Ok::<(), Infallible>(())
    });
}

#[tokio::test]
async fn everybody_is_told_and_waited_for() {
    let shutdown = Shutdown::new();
    for name in ["public listener", "saga worker"] {
        spawn_loop(&shutdown, name);
    }
    assert!(!shutdown.is_requested());
    shutdown.request();
    assert_eq!(ended(&shutdown, PATIENCE).await, Ok(()));
}

#[tokio::test]
async fn a_task_that_panics_takes_the_process_down_and_is_named() {
    let shutdown = Shutdown::new();
    spawn_loop(&shutdown, "public listener");
    shutdown.spawn("saga worker", async {
        if PATIENCE > Duration::ZERO {
            panic!("index out of bounds");
        }
        Ok::<(), Infallible>(())
    });
    assert_eq!(
        ended(&shutdown, PATIENCE).await,
        failed("saga worker", "panicked: index out of bounds")
    );
}

#[tokio::test]
async fn a_task_that_fails_takes_the_process_down_and_the_first_one_counts() {
    let shutdown = Shutdown::new();
    shutdown.spawn("dispatcher", async { Err("the disk is full") });
    shutdown.token().cancelled().await;
    shutdown.spawn("sweeper", async { Err("me too") });
    assert_eq!(
        ended(&shutdown, PATIENCE).await,
        failed("dispatcher", "failed: the disk is full")
    );
}

#[tokio::test]
async fn a_task_that_ends_early_takes_the_process_down() {
    let shutdown = Shutdown::new();
    shutdown.spawn("sweeper", async { Ok::<(), Infallible>(()) });
    assert_eq!(
        ended(&shutdown, PATIENCE).await,
        failed("sweeper", "ended, although it should run as long as the process")
    );
}

#[tokio::test]
async fn who_does_not_end_in_time_is_named_and_left_behind() {
    let shutdown = Shutdown::new();
    spawn_loop(&shutdown, "public listener");
    for name in ["stubborn", "stubborn", "obstinate"] {
        shutdown.spawn(name, std::future::pending::<Result<(), Infallible>>());
    }
    shutdown.request();
    let unfinished = ShutdownError::Unfinished(vec!["obstinate".into(), "stubborn".into()]);
    assert_eq!(ended(&shutdown, Duration::from_millis(50)).await, Err(unfinished));
}

#[tokio::test]
async fn sigterm_asks_for_the_end_and_a_second_one_stops_the_waiting() {
    let shutdown = Shutdown::new();
    shutdown.on_signals().unwrap();
    shutdown.spawn("stubborn", std::future::pending::<Result<(), Infallible>>());
    let terminate = || {
        let pid = std::process::id().to_string();
        assert!(
            std::process::Command::new("sh")
                .args(["-c", &format!("kill -TERM {pid}")])
                .status()
                .unwrap()
                .success()
        );
    };
    terminate();
    tokio::time::timeout(PATIENCE, shutdown.token().cancelled())
        .await
        .expect("the signal was not heard");
    terminate();
    assert_eq!(
        ended(&shutdown, PATIENCE).await,
        Err(ShutdownError::Unfinished(vec!["stubborn".into()]))
    );
}
