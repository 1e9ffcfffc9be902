//! Whatever breaks among the ten processes and their servers, and comes back: every order ends within a minute of that, and
//! every cent is explained.
//!
//! Each fault meets customers who keep ordering and only repeat their requests, with many orders in flight, and a world outside
//! that misbehaves as well. `CAMBIST_TEST_FULL=1` has 200 in flight at each fault and waits for the ends of all after each.

pub(crate) mod trial;

use std::time::Duration;

use test_servers::cluster::{Node, Service, Setup, Tables};
use tokio::time::sleep;

use self::trial::{Trial, is_full};
use crate::black_box::world::PROGRAM;

/// How long what is killed stays away.
const AWAY: Duration = Duration::from_millis(500);

fn ten_processes(tables: Tables) -> Setup {
    Setup::ten_processes(PROGRAM, tables)
}

async fn away() {
    // sleep: how long it is away is part of the fault
    sleep(AWAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_costs_time_and_nothing_else() {
    let mut trial = Trial::begin(ten_processes(Tables::Shared)).await;
    for node in Node::TEN {
        trial.until_under_load().await;
        trial.world.cluster.kill(node);
        away().await;
        trial.world.cluster.start_again(node);
        trial.recovered(&format!("kill -9 of {node}")).await;
    }
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_or_wiped_nats_and_a_crashed_postgresql_cost_time_and_nothing_else() {
    let mut trial = Trial::begin(ten_processes(Tables::Server)).await;
    trial.until_under_load().await;
    trial.world.cluster.nats().kill();
    away().await;
    trial.world.cluster.nats().start_again();
    trial.recovered("kill -9 of NATS").await;

    trial.until_under_load().await;
    trial.world.cluster.nats().kill();
    trial.world.cluster.nats().wipe();
    away().await;
    trial.world.cluster.nats().start_again();
    trial.recovered("wipe of NATS' store").await;

    trial.until_under_load().await;
    trial.world.cluster.postgres().restart();
    trial.recovered("crash of PostgreSQL").await;

    trial.until_under_load().await;
    trial.world.cluster.postgres().stop();
    away().await;
    trial.world.cluster.postgres().start_again();
    trial.recovered("PostgreSQL away for a while").await;
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_answers_nobody_for_a_while_costs_time_and_nothing_else() {
    let mut trial = Trial::begin(ten_processes(Tables::Shared)).await;
    let how_long = Duration::from_secs(if is_full() { 10 } else { 1 });
    for service in Service::ALL {
        trial.until_under_load().await;
        let node = Node::serve(service);
        trial.world.cluster.freeze(node);
        away().await;
        trial.rest();
        // sleep: how long it answers nobody is the fault
        sleep(how_long - AWAY).await;
        trial.world.cluster.thaw(node);
        trial.recovered(&format!("{node} silent")).await;
    }
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_wakes_up_after_its_lease_changes_nothing() {
    let seconds = Service::WITH_WORKER.map(|service| Node::work(service).second());
    let mut trial = Trial::begin(ten_processes(Tables::Shared).and(seconds)).await;
    let workers = Service::WITH_WORKER.map(Node::work);
    let rounds: Vec<&[Node]> = if is_full() {
        workers.chunks(1).collect()
    } else {
        vec![&workers]
    };
    for sleepers in rounds {
        trial.until_under_load().await;
        for node in sleepers {
            trial.world.cluster.freeze(*node);
        }
        away().await;
        trial.rest();
        // sleep: longer than they own what they took
        sleep(trial::LEASE + AWAY).await;
        for node in sleepers {
            trial.world.cluster.thaw(*node);
        }
        trial
            .recovered(&format!("{sleepers:?} asleep for longer than a lease"))
            .await;
    }
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_is_cured_by_a_retry() {
    let mut trial = Trial::begin(ten_processes(Tables::Shared)).await;
    for node in Node::TEN {
        trial.until_under_load().await;
        let ended = trial.world.cluster.terminate(node);
        assert_eq!(ended, Some(0), "{node}: {}", trial.world.cluster.log(node));
        trial.world.cluster.start_again(node);
    }
    trial.recovered("restart of each").await;
    let tally = trial.end().await;
    // What was taken was answered, or nothing of an answer came.
    assert_eq!(tally.cut_off, 0, "{tally:?}");
}
