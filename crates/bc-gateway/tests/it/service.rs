//! The service with its worker, dispatcher and transport running, on the machine's clock.

use std::sync::Arc;
use std::time::Duration;

use bc_gateway::chain::simulated::Manner;
use bc_gateway::{Custody, Dependencies, Service, StartError};
use contracts::messages::{Queue, Status, Step};
use contracts::{SystemClock, SystemEntropy};
use service_kit::shutdown::Shutdown;
use transport::local::LocalTransport;
use transport::queue::Transport;

use crate::world::{COIN, World, purpose, user, withdrawal};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_withdrawals_go_through_the_running_service_and_their_results_are_published() {
    let world = World::new();
    world
        .manners
        .next_broadcasts(purpose(7, Step::Withdraw), [Manner::LostBroadcast]);
    let transport = Arc::new(LocalTransport::new(1_024));
    let service = Service::new(Dependencies {
        transport: Arc::clone(&transport) as _,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        ..world.dependencies()
    });
    let mut results = transport.subscribe(Queue::SagaSteps).await.unwrap();
    let shutdown = Shutdown::new();
    // By the queue first, then by the lane: the worker starts in between.
    service
        .client()
        .submit((1..=25).map(withdrawal).collect())
        .await
        .unwrap();
    service.start_worker(&shutdown).await.unwrap();
    service
        .client()
        .submit((26..=50).map(withdrawal).collect())
        .await
        .unwrap();
    let World { ledger, rows, .. } = world;
    service.start_dispatcher(rows, &shutdown);
    let mut done = std::collections::BTreeSet::new();
    while done.len() < 50 {
        let deliveries = tokio::time::timeout(Duration::from_secs(60), results.receive(100))
            .await
            .unwrap();
        for delivery in deliveries {
            assert_eq!(
                (delivery.message.step, delivery.message.status),
                (Step::Withdraw, Status::Done)
            );
            done.insert(delivery.message.order_id);
            delivery.done().await;
        }
    }
    assert_eq!(ledger.balance(user(2)), 150 * COIN);
    assert!(matches!(
        service.start_worker(&shutdown).await,
        Err(StartError::StartedBefore)
    ));
    shutdown.request();
    shutdown.wait(Duration::from_secs(30)).await.unwrap();
}

#[tokio::test]
async fn a_seed_that_did_not_make_the_addresses_signs_nothing() {
    let world = World::new();
    world.accept(withdrawal(1)).await;
    world.finish().await;
    let custody = Custody::try_new(&[8; 32]).unwrap();
    let impostor = Service::new(Dependencies {
        custody,
        ..world.dependencies()
    });
    let refused = impostor.start_worker(&Shutdown::new()).await;
    assert!(matches!(refused, Err(StartError::WrongSeed { .. })), "{refused:?}");
    // Even where only the acquirer's address is known, and the chain would take it.
    world.accept(withdrawal(2)).await;
    let claimed = world.claim(crate::world::key(2, Step::Withdraw)).await;
    let settlement = impostor.handler().handle(claimed).await;
    assert!(!format!("{settlement:?}").contains("Transferred"), "{settlement:?}");
    assert_eq!(world.next_hot_nonce().await, Some(1));
}

/// A service on the database of `database` and the chain of `chain`: the same seed, other pasts.
fn between(database: &World, chain: &World) -> Service {
    Service::new(Dependencies {
        chain: Arc::new(chain.chain.clone()),
        ..database.dependencies()
    })
}

async fn after_withdrawals(count: i64) -> World {
    let world = World::new();
    for number in 1..=count {
        world.accept(withdrawal(number)).await;
    }
    world.finish().await;
    world
}

async fn assert_starts(service: &Service) {
    let shutdown = Shutdown::new();
    service.start_worker(&shutdown).await.unwrap();
    shutdown.request();
    shutdown.wait(Duration::from_secs(30)).await.unwrap();
}

#[tokio::test]
async fn a_restored_backup_that_the_chain_is_ahead_of_does_not_start() {
    let (backup, world) = (after_withdrawals(1).await, after_withdrawals(2).await);
    let service = between(&backup, &world);
    let refused = service.start_worker(&Shutdown::new()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            StartError::DatabaseBehindChain {
                recorded: 1,
                on_chain: 2
            }
        ),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("restore the newer database"), "{refused}");
    // Nothing was begun, so the right chain can still be brought to it.
    assert_starts(&between(&world, &world)).await;
    assert_starts(&between(&backup, &backup)).await;
}

#[tokio::test]
async fn a_chain_that_does_not_answer_keeps_nobody_from_starting() {
    let (backup, world) = (after_withdrawals(1).await, after_withdrawals(2).await);
    world.manners.silence(true);
    assert_starts(&between(&backup, &world)).await;
}

#[tokio::test]
async fn a_chain_that_is_behind_is_waited_for() {
    let (world, shorter) = (after_withdrawals(2).await, after_withdrawals(1).await);
    assert_starts(&between(&world, &shorter)).await;
    // Signed and never sent: an ordinary death, right before the broadcast.
    world.accept(withdrawal(3)).await;
    let fuse = crate::fuse::Fuse::new(7);
    let service = crate::fuse::mortal(&world, &fuse);
    let claimed = world.claim(crate::world::key(3, Step::Withdraw)).await;
    assert!(fuse.live(service.handler().handle(claimed)).await.is_none());
    assert_eq!(world.next_hot_nonce().await, Some(3));
    assert_eq!(world.confirmed(3, Step::Withdraw).await, 0);
    assert_starts(&between(&world, &world)).await;
}

#[tokio::test]
async fn a_new_database_starts_on_an_old_chain() {
    let (empty, world) = (World::new(), after_withdrawals(2).await);
    assert_starts(&between(&empty, &world)).await;
}
