//! Nonces: consecutive whatever happens, used up only by bytes that are on disk.

use std::collections::BTreeSet;

use bc_gateway::Service;
use bc_gateway::chain::simulated::Manner;
use contracts::clients::WithdrawCommand;
use contracts::messages::Step;
use contracts::{Clock as _, UserId};
use storage::commands::{Settlement, State};
use tokio::task::JoinSet;

use crate::world::{COIN, LEASE, World, btc, key, purpose, user, withdrawal};

fn small(number: i64) -> WithdrawCommand {
    WithdrawCommand {
        amount: btc(number.into()),
        acquirer_user_id: user(2 + number % 7),
        ..withdrawal(number)
    }
}

/// Handles everything that is due at the same time, spread over the services.
async fn try_all_at_once(world: &World, services: &[Service]) {
    let mut under_way = JoinSet::new();
    let due = world.commands.claim_due(world.clock.now(), 1_000).await.unwrap();
    for (claimed, service) in due.into_iter().zip(services.iter().cycle()) {
        let (handler, key, epoch) = (service.handler(), claimed.key, claimed.epoch);
        under_way.spawn(async move { (key, epoch, handler.handle(claimed).await) });
    }
    let settlements = under_way.join_all().await;
    world.commands.settle(world.clock.now(), settlements).await.unwrap();
}

async fn nonces(world: &World, numbers: std::ops::RangeInclusive<i64>) -> BTreeSet<u64> {
    let mut nonces = BTreeSet::new();
    for number in numbers {
        if let Some(transfer) = world.transfers.transfer(key(number, Step::Withdraw)).await.unwrap() {
            assert!(nonces.insert(transfer.nonce), "nonce {} twice", transfer.nonce);
        }
    }
    nonces
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_withdrawals_at_once_get_consecutive_nonces_though_some_are_refused_and_some_get_lost() {
    let world = World::new();
    let mut refused = 0;
    for number in 1..=200 {
        if number % 10 == 3 {
            world.manners.refuse(purpose(number, Step::Withdraw));
            refused += 1;
        } else if number % 7 == 2 {
            world
                .manners
                .next_broadcasts(purpose(number, Step::Withdraw), [Manner::LostBroadcast]);
        } else if number % 7 == 4 {
            world
                .manners
                .next_broadcasts(purpose(number, Step::Withdraw), [Manner::UnknownNotTaken]);
        }
    }
    for hundred in [1..=100, 101..=200] {
        world
            .service
            .client()
            .submit(hundred.map(small).collect())
            .await
            .unwrap();
    }
    world.clock.advance(LEASE);
    // Two processes at once, which fight for the same nonces.
    let services = [world.service.clone(), Service::new(world.dependencies())];
    try_all_at_once(&world, &services).await;
    let all: BTreeSet<u64> = (0..200 - refused).collect();
    assert_eq!(nonces(&world, 1..=200).await, all);
    world.clock.advance(LEASE);
    world.finish().await;
    let mut expected = 0;
    for number in 1..=200 {
        let sent = number % 10 != 3;
        assert_eq!(
            world.confirmed(number, Step::Withdraw).await,
            u64::from(sent),
            "order {number}"
        );
        expected += if sent { i128::from(number) } else { 0 };
    }
    let mut arrived = 0;
    for number in 2..=8 {
        assert_eq!(world.coins_of(user(number)).await, world.ledger.balance(user(number)));
        arrived += world.coins_of(user(number)).await;
    }
    assert_eq!(arrived, expected);
    world.assert_coins_conserved().await;
}

#[tokio::test]
async fn a_zombie_is_fenced_at_signing_and_burns_no_nonce() {
    let world = World::new();
    world.accept(withdrawal(1)).await;
    let zombie = world.claim(key(1, Step::Withdraw)).await;
    world.clock.advance(LEASE);
    let heir = world.claim(key(1, Step::Withdraw)).await;
    // The zombie's clock is wrong: it thinks that its lease still holds.
    let zombie = storage::commands::Claimed {
        lease_until: heir.lease_until,
        ..zombie
    };
    let said = world.handle(zombie).await;
    assert!(matches!(said, Settlement::Postponed { .. }), "{said:?}");
    assert_eq!((world.next_hot_nonce().await, world.ledger.count()), (None, 0));
    assert_eq!(world.coins_of(user(2)).await, 0);
    assert!(matches!(world.handle(heir).await, Settlement::Finished { .. }));
    assert_eq!(nonces(&world, 1..=1).await, BTreeSet::from([0]));
    assert_eq!(world.confirmed(1, Step::Withdraw).await, 1);
}

#[tokio::test]
async fn a_lease_that_ran_out_begins_nothing() {
    let world = World::new();
    world.accept(withdrawal(1)).await;
    let late = world.claim(key(1, Step::Withdraw)).await;
    world.clock.advance(LEASE);
    assert!(matches!(world.handle(late).await, Settlement::Postponed { .. }));
    assert_eq!(world.next_hot_nonce().await, None);
}

#[tokio::test]
async fn a_zombie_among_others_leaves_no_gap() {
    let world = World::new();
    let commands: Vec<_> = (1..=9).map(small).collect();
    world.service.client().submit(commands).await.unwrap();
    let mut claims = world
        .commands
        .claim(world.clock.now(), (1..=9).map(|n| key(n, Step::Withdraw)).collect())
        .await
        .unwrap();
    // Number 5 is taken by somebody else in the meantime.
    world.clock.advance(LEASE);
    let heir = world.claim(key(5, Step::Withdraw)).await;
    for claimed in &mut claims {
        claimed.lease_until = heir.lease_until;
    }
    let mut under_way = JoinSet::new();
    for claimed in claims {
        let (handler, key, epoch) = (world.service.handler(), claimed.key, claimed.epoch);
        under_way.spawn(async move { (key, epoch, handler.handle(claimed).await) });
    }
    let settlements = under_way.join_all().await;
    world.commands.settle(world.clock.now(), settlements).await.unwrap();
    assert_eq!(nonces(&world, 1..=9).await, (0..8).collect());
    assert!(matches!(world.handle(heir).await, Settlement::Finished { .. }));
    assert_eq!(nonces(&world, 1..=9).await, (0..9).collect());
}

#[tokio::test]
async fn a_transfer_waits_for_the_nonce_before_it_and_nobody_else() {
    let world = World::new();
    world
        .manners
        .next_broadcasts(purpose(1, Step::Withdraw), [Manner::LostBroadcast]);
    world.accept(withdrawal(1)).await;
    world.handle(world.claim(key(1, Step::Withdraw)).await).await;
    world.accept(withdrawal(2)).await;
    world.handle(world.claim(key(2, Step::Withdraw)).await).await;
    assert_eq!(world.record(2, Step::Withdraw).await.state, State::Open);
    assert_eq!(world.confirmed(2, Step::Withdraw).await, 0);
    world.clock.advance(LEASE);
    world.finish().await;
    assert_eq!(world.coins_of(user(2)).await, 6 * COIN);
    assert_eq!(world.ledger.balance(user(2)), 6 * COIN);
}

#[tokio::test]
async fn a_new_database_takes_up_the_nonces_where_the_chain_is() {
    let world = World::new();
    world.accept(withdrawal(1)).await;
    world.finish().await;
    // Another database with the same seed, on the same chain.
    let empty = World::new();
    let chain: std::sync::Arc<dyn bc_gateway::ports::Chain> = std::sync::Arc::new(world.chain.clone());
    let service = Service::new(bc_gateway::Dependencies {
        chain,
        ..empty.dependencies()
    });
    empty.accept(withdrawal(2)).await;
    let claimed = empty.claim(key(2, Step::Withdraw)).await;
    let settlement = service.handler().handle(claimed).await;
    assert!(matches!(settlement, Settlement::Finished { .. }), "{settlement:?}");
    assert_eq!(empty.next_hot_nonce().await, Some(2));
    assert_eq!(world.coins_of(user(2)).await, 6 * COIN);
    assert_eq!(
        world.service.address(UserId::HOT_WALLET),
        empty.service.address(UserId::HOT_WALLET)
    );
}
