//! Whole stories, from a command to its end: a worker dies at every call, two processes work at once, and in the end each
//! coin has moved once, was booked once, and is where the auditor expects it.

use std::collections::BTreeSet;
use std::sync::Arc;

use bc_gateway::chain::simulated::Manner;
use bc_gateway::{Dependencies, Service};
use contracts::clients::WithdrawCommand;
use contracts::messages::{Status, Step, StepResult};
use contracts::{Clock as _, UserId};
use storage::commands::Claimed;
use tokio::task::JoinSet;

use super::a_fresh_store;
use crate::fuse::{Fuse, mortal};
use crate::world::{COIN, GENESIS, LEASE, World, btc, key, onward, purpose, taken_back, user, withdrawal};

/// What the gateway expects at every address is what the chain has there, and nothing is under way.
async fn assert_tied_out(world: &World) {
    for line in world.audit.expected_coins().await {
        assert!(line.arriving.is_zero() && line.leaving.is_zero(), "{line:?}");
        let genesis = if line.user_id == UserId::HOT_WALLET { GENESIS } else { 0 };
        assert_eq!(
            world.coins_of(line.user_id).await,
            genesis + line.coins.units(),
            "{line:?}"
        );
    }
    assert_eq!(world.ledger.in_transit(), 0);
    world.assert_coins_conserved().await;
}

#[tokio::test]
async fn coins_go_out_and_on_and_back_and_what_is_sold_is_swept() {
    let given = a_fresh_store().await;
    let mut world = World::on(given.stores());
    world.accept(withdrawal(1)).await;
    world.accept(withdrawal(2)).await;
    world.finish().await;
    world.accept(onward(3)).await;
    world.accept(taken_back(withdrawal(2))).await;
    world.finish().await;
    for (number, step) in [
        (1, Step::Withdraw),
        (2, Step::Withdraw),
        (3, Step::Withdraw),
        (2, Step::WithdrawBack),
    ] {
        let result = world.result(number, step).await;
        assert!(matches!(result, Some(StepResult::Transferred { .. })), "{result:?}");
        assert_eq!(world.confirmed(number, step).await, 1);
    }
    let told = world.published();
    let done = told.iter().filter(|message| message.status == Status::Done).count();
    assert_eq!(done, 4, "{told:?}");
    assert_eq!(
        (world.coins_of(user(2)).await, world.coins_of(user(3)).await),
        (0, 3 * COIN)
    );
    world.ledger.change(user(3), -COIN);
    let round = world.service.coin_sweep().round().await.unwrap();
    assert_eq!((round.begun, round.confirmed), (1, 1));
    assert_eq!(world.coins_of(user(3)).await, 2 * COIN);
    assert_tied_out(&world).await;
}

/// Runs a command in a process that dies after `length` calls, and settles unless it died. Whether it lived.
async fn run_mortal(world: &World, claimed: Claimed, length: usize) -> bool {
    let fuse = Fuse::new(length);
    let (key, epoch) = (claimed.key, claimed.epoch);
    let service = mortal(world, &fuse);
    let Some(settlement) = fuse.live(service.handler().handle(claimed)).await else {
        return false;
    };
    let settled = vec![(key, epoch, settlement)];
    world.commands.settle(world.clock.now(), settled).await.unwrap();
    true
}

#[tokio::test]
async fn what_a_customer_pays_is_sent_once_though_the_worker_dies_at_any_call() {
    let given = a_fresh_store().await;
    let mut world = World::on(given.stores());
    let mut deaths = 0;
    for number in 1_i64.. {
        world.accept(withdrawal(1_000 + number)).await;
        world.finish().await;
        world.accept(onward(number)).await;
        let claimed = world.claim(key(number, Step::Withdraw)).await;
        let lived = run_mortal(&world, claimed, usize::try_from(number).unwrap()).await;
        world = world.reborn();
        world.finish().await;
        assert_eq!(world.confirmed(number, Step::Withdraw).await, 1, "dead at {number}");
        let arrived = i128::from(number) * 3 * COIN;
        assert_eq!(world.ledger.balance(user(2)), 0, "dead at {number}");
        assert_eq!(world.ledger.balance(user(3)), arrived, "dead at {number}");
        assert_eq!(world.coins_of(user(3)).await, arrived, "dead at {number}");
        if lived {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= 18, "only {deaths} deaths");
    let nonce = world.transfers.next_nonce(&world.service.address(user(2))).await;
    assert_eq!(nonce, Ok(Some(deaths + 1)));
    assert_tied_out(&world).await;
}

fn small(number: i64) -> WithdrawCommand {
    WithdrawCommand {
        amount: btc(number.into()),
        acquirer_user_id: user(2 + number % 7),
        ..withdrawal(number)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_sign_for_the_hot_wallet_at_once_use_each_nonce_once_and_leave_no_gap() {
    const ALL: i64 = 60;
    let given = a_fresh_store().await;
    let world = World::on(given.stores());
    let mut services = vec![world.service.clone()];
    for _ in 0..2 {
        let stores = given.beside().await;
        services.push(Service::new(Dependencies {
            commands: stores.commands,
            transfers: stores.transfers,
            outbox: stores.outbox,
            ..world.dependencies()
        }));
    }
    for number in (5..=ALL).step_by(10) {
        let lost = [Manner::LostBroadcast];
        world.manners.next_broadcasts(purpose(number, Step::Withdraw), lost);
    }
    let commands = (1..=ALL).map(small).collect();
    world.service.client().submit(commands).await.unwrap();
    world.clock.advance(LEASE);
    let due = world.commands.claim_due(world.clock.now(), 1_000).await.unwrap();
    let mut under_way = JoinSet::new();
    for (claimed, service) in due.into_iter().zip(services.iter().cycle()) {
        let (handler, key, epoch) = (service.handler(), claimed.key, claimed.epoch);
        under_way.spawn(async move { (key, epoch, handler.handle(claimed).await) });
    }
    let settlements = under_way.join_all().await;
    world.commands.settle(world.clock.now(), settlements).await.unwrap();
    world.clock.advance(LEASE);
    world.finish().await;
    let mut nonces = BTreeSet::new();
    for number in 1..=ALL {
        let stored = world.transfers.transfer(key(number, Step::Withdraw)).await.unwrap();
        nonces.insert(stored.unwrap().nonce);
        assert_eq!(world.confirmed(number, Step::Withdraw).await, 1, "order {number}");
    }
    assert_eq!(nonces, (0..60).collect());
    assert_eq!(world.next_hot_nonce().await, Some(60));
    for number in 2..=8 {
        assert_eq!(world.coins_of(user(number)).await, world.ledger.balance(user(number)));
    }
    assert_tied_out(&world).await;
}

#[tokio::test]
async fn a_worker_whose_claim_is_over_signs_nothing_on_any_process() {
    let given = a_fresh_store().await;
    let world = World::on(given.stores());
    let stores = given.beside().await;
    let other = world.service_with(
        Arc::new(world.chain.clone()),
        stores.transfers,
        stores.commands,
        Arc::clone(&world.ledger) as _,
    );
    world.accept(withdrawal(1)).await;
    let zombie = world.claim(key(1, Step::Withdraw)).await;
    world.clock.advance(LEASE);
    let heir = world.claim(key(1, Step::Withdraw)).await;
    // The zombie's clock is wrong: it thinks that its lease still holds.
    let zombie = Claimed {
        lease_until: heir.lease_until,
        ..zombie
    };
    other.handler().handle(zombie).await;
    assert_eq!((world.next_hot_nonce().await, world.ledger.count()), (None, 0));
    world.handle(heir).await;
    world.finish().await;
    assert_eq!(world.confirmed(1, Step::Withdraw).await, 1);
    assert_tied_out(&world).await;
}
