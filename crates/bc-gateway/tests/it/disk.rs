//! On a disk that takes its time: the chain hears of nothing that a power cut could take back (ADR 011).

use std::time::Duration;

use bc_gateway::ports::{Chain, FindAnswer};
use contracts::messages::Step;
use storage::commands::{Claimed, CommandKey};
use tempfile::TempDir;
use test_servers::disk::slow;

use crate::stores::{on_file, open_on};
use crate::world::{World, key, withdrawal};

async fn claimed(world: &World) -> (CommandKey, Claimed) {
    world.accept(withdrawal(1)).await;
    let command = key(1, Step::Withdraw);
    (command, world.claim(command).await)
}

/// What order 1 will be called on the chain: the same order is signed the same everywhere.
async fn hash_of_the_withdrawal() -> String {
    let elsewhere = World::new();
    let (command, claimed) = claimed(&elsewhere).await;
    elsewhere.handle(claimed).await;
    elsewhere.transfers.transfer(command).await.unwrap().unwrap().hash
}

#[tokio::test]
async fn nothing_is_broadcast_before_the_signed_transfer_is_on_disk() {
    let hash = hash_of_the_withdrawal().await;
    let (disk, force) = slow();
    let folder = TempDir::new().unwrap();
    let world = World::on(on_file(&open_on(&folder.path().join("cambist.db"), force)));
    let (_, claimed) = claimed(&world).await;
    disk.hold();
    let handler = world.service.handler();
    let working = tokio::spawn(async move { handler.handle(claimed).await });
    let carried_out = async {
        let mut kept = 0;
        while !working.is_finished() {
            if disk.is_asked() {
                // Whoever need not wait for it goes on.
                for _ in 0..1_000 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(world.chain.find(&hash).await, FindAnswer::NotFound);
                disk.keep();
                kept += 1;
            }
            tokio::task::yield_now().await;
        }
        kept
    };
    let kept = tokio::time::timeout(Duration::from_secs(60), carried_out)
        .await
        .unwrap();
    assert!(kept > 0, "nothing came to the disk");
    assert!(matches!(world.chain.find(&hash).await, FindAnswer::Confirmed { .. }));
}
