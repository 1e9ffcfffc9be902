//! The hot wallet's coins are promised once: what is signed and not confirmed is gone for whoever comes next, and what is
//! confirmed is not gone twice.

use std::time::Duration;

use bc_gateway::Service;
use bc_gateway::chain::simulated::Manner;
use contracts::clients::WithdrawCommand;
use contracts::messages::{FailureCode, Step, StepResult};
use contracts::{Clock as _, UserId};
use storage::commands::{Claimed, Settlement};
use tokio::task::JoinSet;

use crate::world::{COIN, GENESIS, World, btc, key, withdrawal};

/// A thousandth of all coins.
const PART: i128 = GENESIS / 1_000;

fn parts(number: i64, parts: i128) -> WithdrawCommand {
    WithdrawCommand {
        amount: btc(parts * PART),
        ..withdrawal(number)
    }
}

/// A chain with 1000 parts at the hot wallet's address, a ledger that has them too, and blocks that take a minute.
fn slow_world() -> World {
    let world = World::new();
    world.ledger.change(UserId::HOT_WALLET, GENESIS);
    world
        .manners
        .otherwise(Manner::LateConfirmation(Duration::from_secs(60)));
    world
}

async fn claimed(world: &World, command: WithdrawCommand) -> Claimed {
    let key = key(command.order_id.get(), Step::Withdraw);
    world.accept(command).await;
    world.claim(key).await
}

fn is_refused(result: Option<&StepResult>) -> bool {
    matches!(
        result,
        Some(StepResult::Failure {
            code: FailureCode::WithdrawalRefused,
            ..
        })
    )
}

/// What the chain and the ledger must agree on when `sent` parts have left.
async fn assert_sent(world: &World, sent: i128) {
    let user = withdrawal(1).acquirer_user_id;
    assert_eq!(world.coins_of(user).await, sent * PART);
    assert_eq!(world.coins_of(UserId::HOT_WALLET).await, GENESIS - sent * PART);
    assert_eq!(world.ledger.balance(user), sent * PART);
    assert_eq!(
        world.ledger.balance(UserId::HOT_WALLET),
        10_000 * COIN + GENESIS - sent * PART
    );
    world.assert_coins_conserved().await;
}

#[tokio::test]
async fn coins_that_are_signed_away_cannot_be_withdrawn_by_the_next_and_the_rest_can() {
    let world = slow_world();
    let first = claimed(&world, parts(1, 600)).await;
    let said = world.handle(first).await;
    assert!(matches!(said, Settlement::Postponed { .. }), "{said:?}");
    // The chain still has all of them.
    assert_eq!(world.coins_of(UserId::HOT_WALLET).await, GENESIS);
    let second = claimed(&world, parts(2, 600)).await;
    world.handle(second).await;
    assert!(is_refused(world.result(2, Step::Withdraw).await.as_ref()));
    let third = claimed(&world, parts(3, 300)).await;
    world.handle(third).await;
    assert_eq!(world.next_hot_nonce().await, Some(2));
    let fourth = claimed(&world, parts(4, 101)).await;
    world.handle(fourth).await;
    assert!(is_refused(world.result(4, Step::Withdraw).await.as_ref()));
    world.finish().await;
    for (number, confirmed) in [(1, 1), (2, 0), (3, 1), (4, 0)] {
        assert_eq!(world.confirmed(number, Step::Withdraw).await, confirmed, "{number}");
    }
    assert_sent(&world, 900).await;
    // To the last coin.
    world.accept(parts(5, 100)).await;
    world.finish().await;
    assert_sent(&world, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_that_withdraw_600_of_1000_at_once_one_is_refused_before_it_signs() {
    let world = slow_world();
    let services = [world.service.clone(), Service::new(world.dependencies())];
    let claims = [
        claimed(&world, parts(1, 600)).await,
        claimed(&world, parts(2, 600)).await,
    ];
    let mut under_way = JoinSet::new();
    for (claimed, service) in claims.into_iter().zip(&services) {
        let (handler, key, epoch) = (service.handler(), claimed.key, claimed.epoch);
        under_way.spawn(async move { (key, epoch, handler.handle(claimed).await) });
    }
    let settlements = under_way.join_all().await;
    world.commands.settle(world.clock.now(), settlements).await.unwrap();
    // Only one nonce is used: nothing signed will ever wait for coins that do not come.
    assert_eq!(world.next_hot_nonce().await, Some(1));
    world.accept(parts(3, 300)).await;
    world.finish().await;
    let mut refused = 0;
    for number in [1, 2] {
        let is_refused = is_refused(world.result(number, Step::Withdraw).await.as_ref());
        refused += u32::from(is_refused);
        assert_eq!(
            world.confirmed(number, Step::Withdraw).await,
            u64::from(!is_refused),
            "{number}"
        );
    }
    assert_eq!((refused, world.confirmed(3, Step::Withdraw).await), (1, 1));
    assert_sent(&world, 900).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_signs_as_many_as_there_are_coins_for() {
    let world = slow_world();
    let commands = (1..=30).map(|number| parts(number, 90)).collect();
    world.service.client().submit(commands).await.unwrap();
    let keys = (1..=30).map(|number| key(number, Step::Withdraw)).collect();
    let claims = world.commands.claim(world.clock.now(), keys).await.unwrap();
    let mut under_way = JoinSet::new();
    for claimed in claims {
        let (handler, key, epoch) = (world.service.handler(), claimed.key, claimed.epoch);
        under_way.spawn(async move { (key, epoch, handler.handle(claimed).await) });
    }
    let settlements = under_way.join_all().await;
    world.commands.settle(world.clock.now(), settlements).await.unwrap();
    assert_eq!(world.next_hot_nonce().await, Some(11));
    world.finish().await;
    assert_sent(&world, 990).await;
}

#[tokio::test]
async fn a_confirmation_that_nobody_noticed_is_not_taken_off_twice() {
    let world = slow_world();
    world.manners.otherwise(Manner::Confirm);
    let first = claimed(&world, parts(1, 600)).await;
    // The chain has confirmed it, and whoever carried it out dies before it can say so.
    world.service.handler().handle(first).await;
    assert_eq!(world.coins_of(UserId::HOT_WALLET).await, 400 * PART);
    let second = claimed(&world, parts(2, 400)).await;
    let said = world.handle(second).await;
    assert!(
        matches!(
            &said,
            Settlement::Finished {
                result: StepResult::Transferred { .. },
                ..
            }
        ),
        "{said:?}"
    );
    let world = world.reborn();
    world.finish().await;
    assert_sent(&world, 1_000).await;
}
