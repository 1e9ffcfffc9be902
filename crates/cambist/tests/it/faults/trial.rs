//! The ten processes under load, between two faults.

#![allow(clippy::print_stdout, reason = "figures are for whoever runs the test")]

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use test_kit::api::User;
use test_kit::customers::{Crowd, Tally};
use test_kit::reckoning::{all_ended, reckon};
use test_kit::waiting::{PATIENCE, eventually};
use test_servers::cluster::Setup;

use crate::black_box::company::{LIVENESS, in_bad_company};
use crate::black_box::world::World;
use crate::crash::{assert_at_rest, given_users, its_terms, seed};

/// How long a worker owns what it took.
pub(crate) const LEASE: Duration = Duration::from_secs(3);

/// In a quick run, after how many faults it is waited until all has ended.
const FAULTS_TOGETHER: usize = 5;

/// Whether everything is tried to its full extent.
pub(crate) fn is_full() -> bool {
    std::env::var_os("CAMBIST_TEST_FULL").is_some()
}

/// Waits until no other test that is a load for a whole machine runs, in whatever process; the next one runs when this is
/// dropped. In a quick run they are half that load, and two of one process may run.
pub(crate) fn turn() -> File {
    static TURNS: AtomicUsize = AtomicUsize::new(0);
    let places = if is_full() { 1 } else { 2 };
    let place = TURNS.fetch_add(1, Ordering::Relaxed) % places;
    let turn = File::create(std::env::temp_dir().join(format!("cambist-trial-{place}.lock"))).unwrap();
    turn.lock().unwrap();
    turn
}

/// Customers at ten processes.
pub(crate) struct Trial {
    pub(crate) world: World,
    users: BTreeMap<String, User>,
    crowd: Crowd,
    in_flight: usize,
    faults: usize,
    _turn: File,
}

impl Trial {
    /// Starts all of it, when it is its turn.
    pub(crate) async fn begin(setup: Setup) -> Self {
        let turn = turn();
        let seed = seed();
        let world = World::begin(in_bad_company(setup, seed).with("venue_latency", "300ms"));
        let (users, sessions, in_flight) = if is_full() { (25, 4, 200) } else { (8, 4, 30) };
        let users = given_users(&world.api(), users).await;
        Self {
            crowd: Crowd::new(users.values(), sessions, seed),
            world,
            users,
            in_flight,
            faults: 0,
            _turn: turn,
        }
    }

    /// Lets the customers order, until enough is in flight for a fault. What is left of the last one ends first.
    pub(crate) async fn until_under_load(&self) {
        self.rest();
        self.when("fewer orders in flight", |pending| pending <= 4 * self.in_flight)
            .await;
        self.crowd.find_it_at(Some(&self.world.api()));
        self.when("many orders in flight", |pending| pending >= self.in_flight)
            .await;
    }

    /// Waits until the number of orders in flight is as wanted.
    async fn when(&self, what: &str, wanted: impl Fn(usize) -> bool) {
        eventually(PATIENCE, what, async || {
            let mut pending = 0;
            for user in self.users.values() {
                pending += pending_of(user).await.len();
            }
            if wanted(pending) { Ok(()) } else { Err(pending) }
        })
        .await;
    }

    /// Nobody wants anything more for a while: it is known what is in flight, and it grows no further.
    pub(crate) fn rest(&self) {
        self.crowd.find_it_at(None);
    }

    /// The fault is over: once the customers rest, every order ends in time, and the audit finds nothing.
    pub(crate) async fn recovered(&mut self, fault: &str) {
        let began = Instant::now();
        self.faults += 1;
        if !is_full() && !self.faults.is_multiple_of(FAULTS_TOGETHER) {
            return;
        }
        self.rest();
        for user in self.users.values() {
            let left = LIVENESS.saturating_sub(began.elapsed());
            eventually(left, fault, async || {
                let pending = pending_of(user).await;
                if pending.is_empty() { Ok(()) } else { Err(pending) }
            })
            .await;
        }
        self.world.audited().await;
        println!("{fault}: the last order ended {:?} later", began.elapsed());
    }

    /// Everybody leaves, everything ends, and all is as it was told.
    pub(crate) async fn end(mut self) -> Tally {
        self.crowd.find_it_at(Some(&self.world.api()));
        let began = Instant::now();
        let (deeds, tally) = self.crowd.deeds().await;
        let left = LIVENESS.saturating_sub(began.elapsed());
        all_ended(&self.users, &deeds, left).await;
        let found = reckon(&self.users, &deeds, &its_terms(), &self.world.mail()).await;
        println!("{} orders: {found:?}; {tally:?}", found.orders());
        assert_at_rest(&self.world.audited().await, &found);
        for node in self.world.cluster.nodes() {
            let ended = self.world.cluster.terminate(node);
            assert_eq!(ended, Some(0), "{node}: {}", self.world.cluster.log(node));
        }
        self.world.assert_no_panic();
        tally
    }
}

/// The newest of a user's orders that have not ended; what goes wrong right after a fault is asked again.
async fn pending_of(user: &User) -> Vec<Value> {
    let path = format!("/orders/{}?limit=100", user.id);
    eventually(PATIENCE, "a list of orders", async || {
        let request = user.api.request(reqwest::Method::GET, &path).bearer_auth(&user.token);
        let answer = user.api.send(request).await.map_err(|error| error.to_string())?;
        let items = answer.body["items"].as_array().ok_or_else(|| answer.text.clone())?;
        let pending = items.iter().filter(|order| order["status"] == "pending");
        Ok::<_, String>(pending.cloned().collect())
    })
    .await
}
