//! Dying at every point: before and after each call that a withdrawal, its way back, and a sweep make.

use std::time::Duration;

use bc_gateway::chain::simulated::Manner;
use contracts::Clock as _;
use contracts::clients::WithdrawCommand;
use contracts::messages::{Step, StepResult};
use storage::commands::Settlement;

use crate::fuse::{Fuse, mortal};
use crate::ledger::Trouble;
use crate::world::{COIN, LEASE, World, key, onward, purpose, taken_back, user, withdrawal};

/// More calls than anything here makes.
const FAR: usize = 200;

/// Runs one command in a process that dies after `length` calls, and settles unless it died. Whether it lived.
async fn run_mortal(world: &World, step: Step, length: usize) -> bool {
    let fuse = Fuse::new(length);
    let service = mortal(world, &fuse);
    let claimed = world.claim(key(1, step)).await;
    let epoch = claimed.epoch;
    let settlement: Option<Settlement> = fuse.live(service.handler().handle(claimed)).await;
    match settlement {
        Some(settlement) => {
            let settled = vec![(key(1, step), epoch, settlement)];
            world.commands.settle(world.clock.now(), settled).await.unwrap();
            true
        }
        None => false,
    }
}

#[tokio::test]
async fn a_withdrawal_survives_death_at_any_point() {
    for manner in [
        Manner::Confirm,
        Manner::LostBroadcast,
        Manner::UnknownButTaken,
        Manner::Reorganise,
    ] {
        let mut deaths = 0;
        for length in 1..FAR {
            let world = World::new();
            world.manners.next_broadcasts(purpose(1, Step::Withdraw), [manner]);
            world.accept(withdrawal(1)).await;
            let lived = run_mortal(&world, Step::Withdraw, length).await;
            let world = world.reborn();
            world.finish().await;
            assert!(
                matches!(
                    world.result(1, Step::Withdraw).await,
                    Some(StepResult::Transferred { .. })
                ),
                "{manner:?}, dead at {length}"
            );
            assert_eq!(
                world.confirmed(1, Step::Withdraw).await,
                1,
                "{manner:?}, dead at {length}"
            );
            assert_eq!((world.ledger.balance(user(2)), world.ledger.count()), (3 * COIN, 1));
            assert_eq!(world.next_hot_nonce().await, Some(1), "{manner:?}, dead at {length}");
            world.assert_coins_conserved().await;
            if lived {
                break;
            }
            deaths += 1;
        }
        assert!(
            deaths >= 10,
            "only {deaths} deaths: the fuse is not where the calls are"
        );
    }
}

/// Kills a process that works on `step` of order 1 after 1, 2, 3, … calls, each time in a new world, until it lives; what
/// another one makes of what is left, `check` looks at. How often it died.
async fn deaths(step: Step, begin: impl AsyncFn() -> World, check: impl AsyncFn(&World, usize)) -> usize {
    for length in 1..FAR {
        let world = begin().await;
        let lived = run_mortal(&world, step, length).await;
        let world = world.reborn();
        world.finish().await;
        check(&world, length).await;
        assert_eq!(world.ledger.in_transit(), 0, "dead at {length}");
        world.assert_coins_conserved().await;
        if lived {
            return length - 1;
        }
    }
    panic!("it never lives");
}

#[tokio::test]
async fn a_way_back_survives_death_at_any_point() {
    let begin = async || {
        let world = World::withdrawn().await;
        world.accept(taken_back(withdrawal(1))).await;
        world
    };
    let check = async |world: &World, length| {
        assert_eq!(world.confirmed(1, Step::WithdrawBack).await, 1, "dead at {length}");
        let books = (world.ledger.balance(user(2)), world.ledger.count());
        assert_eq!(books, (0, 3), "dead at {length}");
        assert_eq!(world.coins_of(user(2)).await, 0);
    };
    let deaths = deaths(Step::WithdrawBack, begin, check).await;
    assert!(deaths >= 18, "only {deaths} deaths");
}

#[tokio::test]
async fn a_withdrawal_that_a_customer_pays_survives_death_at_any_point() {
    for manner in [Manner::Confirm, Manner::LostBroadcast, Manner::Reorganise] {
        let begin = async || {
            let world = customers_world().await;
            world.manners.next_broadcasts(purpose(1, Step::Withdraw), [manner]);
            world.accept(onward(1)).await;
            world
        };
        let check = async |world: &World, length| {
            assert_eq!(
                world.confirmed(1, Step::Withdraw).await,
                1,
                "{manner:?}, dead at {length}"
            );
            let balances = (world.ledger.balance(user(2)), world.ledger.balance(user(3)));
            assert_eq!(balances, (0, 3 * COIN), "{manner:?}, dead at {length}");
            assert_eq!(world.coins_of(user(3)).await, 3 * COIN);
            assert_eq!(world.ledger.count(), 3);
        };
        let deaths = deaths(Step::Withdraw, begin, check).await;
        assert!(deaths >= 18, "only {deaths} deaths");
    }
}

/// 3 BTC are user 2's, by order 9.
async fn customers_world() -> World {
    let world = World::new();
    world.accept(withdrawal(9)).await;
    world.finish().await;
    world
}

/// A step of order 1 that user 2 pays, whose first payment had this trouble, and which is refused from now on: by the
/// ledger where it is not paid yet, by the chain where it is.
async fn to_be_given_up(world: World, command: WithdrawCommand, trouble: Trouble) -> World {
    world.accept(command).await;
    world.ledger.fail_next([trouble]);
    world.try_all().await;
    if trouble == Trouble::NotBooked {
        world.ledger.change(user(2), -COIN);
    }
    world.manners.refuse_all(true);
    world.clock.advance(LEASE);
    world
}

#[tokio::test]
async fn what_a_customer_has_paid_and_is_given_up_survives_death_at_any_point() {
    for trouble in [Trouble::NotBooked, Trouble::BookedWithoutAnswer] {
        for step in [Step::Withdraw, Step::WithdrawBack] {
            let begin = async || {
                if step == Step::Withdraw {
                    return to_be_given_up(customers_world().await, onward(1), trouble).await;
                }
                to_be_given_up(World::withdrawn().await, taken_back(withdrawal(1)), trouble).await
            };
            let check = async |world: &World, length| {
                let spent = if trouble == Trouble::NotBooked { COIN } else { 0 };
                let books = (world.ledger.balance(user(2)), world.ledger.count());
                assert_eq!(books, (3 * COIN - spent, 3), "{trouble:?}, {step}, dead at {length}");
                assert_eq!(world.ledger.balance(user(3)), 0);
                let nonce = world.transfers.next_nonce(&world.service.address(user(2))).await;
                assert_eq!(nonce.unwrap(), None, "{trouble:?}, {step}, dead at {length}");
            };
            let deaths = deaths(step, begin, check).await;
            assert!(deaths >= 8, "only {deaths} deaths");
        }
    }
}

#[tokio::test]
async fn a_cancellation_survives_death_at_any_point() {
    for length in 1..=2 {
        let world = World::new();
        world.accept(taken_back(withdrawal(1))).await;
        assert!(!run_mortal(&world, Step::WithdrawBack, length).await);
        let world = world.reborn();
        world.finish().await;
        assert_eq!(world.result(1, Step::WithdrawBack).await, Some(StepResult::Reversed));
        assert!(matches!(
            world.result(1, Step::Withdraw).await,
            Some(StepResult::Failure { .. })
        ));
        assert_eq!((world.next_hot_nonce().await, world.ledger.count()), (None, 0));
    }
}

#[tokio::test]
async fn a_sweep_survives_death_at_any_point() {
    let mut deaths = 0;
    for length in 1..FAR {
        let world = World::withdrawn().await;
        world.ledger.change(user(2), -2 * COIN);
        let fuse = Fuse::new(length);
        let service = mortal(&world, &fuse);
        let sweep = service.coin_sweep();
        let lived = fuse.live(sweep.round()).await.is_some();
        drop(sweep);
        let world = world.reborn();
        for _ in 0..5 {
            world.clock.advance(Duration::from_secs(10));
            world.service.coin_sweep().round().await.unwrap();
        }
        assert_eq!(world.coins_of(user(2)).await, COIN, "dead at {length}");
        assert_eq!(world.ledger.count(), 1);
        world.assert_coins_conserved().await;
        if lived {
            break;
        }
        deaths += 1;
    }
    assert!(deaths >= 16, "only {deaths} deaths");
}

#[tokio::test]
async fn what_was_begun_is_finished_after_the_databases_were_closed_and_opened_again() {
    let world = World::new();
    world
        .manners
        .next_broadcasts(purpose(1, Step::Withdraw), [Manner::UnknownButTaken]);
    world.ledger.fail_next([Trouble::NotBooked]);
    world.accept(withdrawal(1)).await;
    world.try_all().await;
    assert_eq!((world.confirmed(1, Step::Withdraw).await, world.ledger.count()), (1, 0));
    let world = world.reopened();
    world.clock.advance(LEASE);
    world.finish().await;
    assert_eq!((world.confirmed(1, Step::Withdraw).await, world.ledger.count()), (1, 1));
    world.assert_coins_conserved().await;
}
