//! On a disk that takes its time: the venue hears of nothing that a power cut could take back (ADR 011).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use contracts::clients::Submission;
use exchanger::ports::{Answer, ClientOrderId, Venue, VenueName, VenueOrder};
use exchanger::{Dependencies, Service, Settings};
use service_kit::shutdown::Shutdown;
use storage::commands::Settlement;
use test_servers::disk::{SlowDisk, slow};

use crate::scene::{Scene, buy, exchange, name, order, user};

/// Counts the orders that it is asked to take, and takes none.
struct Counting {
    name: VenueName,
    placed: AtomicUsize,
}

impl Counting {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            name: name(),
            placed: AtomicUsize::new(0),
        })
    }

    fn placed(&self) -> usize {
        self.placed.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Venue for Counting {
    fn name(&self) -> &VenueName {
        &self.name
    }

    async fn place(&self, _: &VenueOrder) -> Answer {
        self.placed.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }

    async fn find(&self, _: &ClientOrderId) -> Answer {
        std::future::pending().await
    }
}

/// A service with this venue, which sweeps once, when it starts.
fn beside(scene: &Scene, venue: &Arc<Counting>) -> Service {
    let settings = Settings {
        sweep_every: Duration::from_secs(3_600),
        ..scene.dependencies.settings
    };
    Service::new(Dependencies {
        venue: Arc::clone(venue) as _,
        settings,
        ..scene.dependencies.clone()
    })
}

async fn until(reached: impl Fn() -> bool, what: &str) {
    let wait = async {
        while !reached() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.expect(what);
}

/// The disk has something to keep; whoever need not wait for that has gone on.
async fn all_wait_for(disk: &SlowDisk) {
    until(|| disk.is_asked(), "nothing comes to the disk").await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

async fn until_placed(venue: &Counting) {
    until(|| venue.placed() > 0, "the venue is not asked").await;
}

#[tokio::test]
async fn the_venue_is_not_asked_before_a_later_expiry_is_on_disk() {
    let (disk, force) = slow();
    let scene = Scene::on_disk(force);
    let venue = Counting::new();
    scene.order(buy(1, "30")).await;
    // The expiry that was stored with the command is over before anybody works on it.
    scene.clock.advance(scene.rules.order_life);
    let claimed = scene.claim(exchange(1)).await;
    disk.hold();
    let service = beside(&scene, &venue);
    let working = tokio::spawn(async move { service.handler().handle(claimed).await });
    all_wait_for(&disk).await;
    assert_eq!(venue.placed(), 0, "its expiry is not on disk");
    disk.keep_all();
    until_placed(&venue).await;
    working.abort();
}

#[tokio::test]
async fn the_venue_is_not_asked_before_the_command_is_on_disk() {
    let (disk, force) = slow();
    let scene = Scene::on_disk(force);
    let venue = Counting::new();
    let service = beside(&scene, &venue);
    let shutdown = Shutdown::new();
    disk.hold();
    service.start_worker(&shutdown);
    // Its first look for work is a commit too.
    all_wait_for(&disk).await;
    disk.keep();
    let command = buy(1, "30");
    scene.books.hold(order(1), user(), command.amount);
    let client = service.client();
    let submitted = tokio::spawn(async move { client.submit(vec![command]).await });
    all_wait_for(&disk).await;
    assert!(!submitted.is_finished() && venue.placed() == 0);
    disk.keep_all();
    let accepted = vec![Submission::Accepted { replayed: false }];
    assert_eq!(submitted.await.unwrap().unwrap(), accepted);
    until_placed(&venue).await;
}

#[tokio::test]
async fn nobody_has_a_claim_before_it_is_on_disk() {
    let (disk, force) = slow();
    let scene = Scene::on_disk(force);
    scene.order(buy(1, "30")).await;
    let claim = || {
        let (store, now) = (Arc::clone(&scene.store), contracts::Clock::now(&*scene.clock));
        tokio::spawn(async move { store.claim(now, vec![exchange(1)]).await })
    };
    disk.hold();
    let by_key = claim();
    all_wait_for(&disk).await;
    assert!(!by_key.is_finished());
    disk.keep_all();
    let claimed = by_key.await.unwrap().unwrap().remove(0);
    let settlement = Settlement::Postponed {
        until: contracts::Clock::now(&*scene.clock),
        reason: "as arranged".to_owned(),
        answer_missing: false,
        progress: None,
    };
    scene.settle(exchange(1), claimed.epoch, settlement).await;
    // It is answered ahead of the disk; whoever reads it is not.
    scene.record(exchange(1)).await;
    disk.hold();
    let (store, now) = (Arc::clone(&scene.store), contracts::Clock::now(&*scene.clock));
    let due = tokio::spawn(async move { store.claim_due(now, 10).await });
    all_wait_for(&disk).await;
    assert!(!due.is_finished());
    disk.keep_all();
    assert_eq!(due.await.unwrap().unwrap().len(), 1);
}
