//! Coins that are no longer their users' come back to the hot wallet's address, and no others.

use std::time::Duration;

use bc_gateway::chain::simulated::Manner;
use bc_gateway::ports::Purpose;
use bc_gateway::use_cases::sweep::Round;
use contracts::clients::WithdrawCommand;
use contracts::messages::Step;
use contracts::{Clock as _, UserId};
use service_kit::shutdown::Shutdown;

use crate::world::{COIN, GENESIS, LEASE, World, btc, key, purpose, taken_back, user, withdrawal};

async fn bought(number: i64) -> World {
    let world = World::new();
    world.accept(withdrawal(number)).await;
    world.finish().await;
    world
}

async fn round(world: &World) -> Round {
    world.clock.advance(Duration::from_secs(10));
    world.service.coin_sweep().round().await.unwrap()
}

fn sweep_of(nonce: u64) -> Purpose {
    Purpose::Sweep {
        user_id: user(2),
        nonce,
    }
}

/// What the gateway expects at every address is what the chain has there.
async fn assert_tied_out(world: &World) {
    for line in world.audit.expected_coins().await {
        let genesis = if line.user_id == UserId::HOT_WALLET { GENESIS } else { 0 };
        assert_eq!(
            world.coins_of(line.user_id).await,
            genesis + line.coins.units(),
            "{line:?}"
        );
    }
    world.assert_coins_conserved().await;
}

#[tokio::test]
async fn coins_that_were_sold_are_swept_and_the_ledger_hears_nothing_of_it() {
    let world = bought(1).await;
    world.ledger.change(user(2), -COIN - COIN / 2);
    assert_eq!(
        round(&world).await,
        Round {
            checked: 1,
            begun: 1,
            confirmed: 1
        }
    );
    assert_eq!(world.coins_of(user(2)).await, COIN + COIN / 2);
    assert_eq!(
        (world.ledger.count(), world.ledger.balance(user(2))),
        (1, COIN + COIN / 2)
    );
    assert_eq!(
        round(&world).await,
        Round {
            checked: 1,
            begun: 0,
            confirmed: 0
        }
    );
    // The rest is sold too: the next nonce of the same address.
    world.ledger.change(user(2), -COIN - COIN / 2);
    assert_eq!(round(&world).await.confirmed, 1);
    assert_eq!(world.coins_of(user(2)).await, 0);
    assert_tied_out(&world).await;
    // Empty addresses are looked at no more.
    round(&world).await;
    assert_eq!(round(&world).await.checked, 0);
}

#[tokio::test]
async fn what_belongs_to_the_user_stays() {
    let world = bought(1).await;
    assert_eq!(
        round(&world).await,
        Round {
            checked: 1,
            begun: 0,
            confirmed: 0
        }
    );
    world.ledger.change(user(2), COIN);
    assert_eq!(round(&world).await.begun, 0);
    assert_eq!(world.coins_of(user(2)).await, 3 * COIN);
}

#[tokio::test]
async fn a_sweep_keeps_to_the_same_bytes_through_every_fault() {
    for manner in [
        Manner::LostBroadcast,
        Manner::UnknownButTaken,
        Manner::UnknownNotTaken,
        Manner::Reorganise,
        Manner::LateConfirmation(LEASE),
    ] {
        let world = bought(1).await;
        world.ledger.change(user(2), -COIN);
        world.manners.next_broadcasts(sweep_of(0), [manner]);
        for _ in 0..10 {
            round(&world).await;
        }
        assert_eq!(
            world.chain.confirmed(&sweep_of(0).to_string()).await.unwrap(),
            1,
            "{manner:?}"
        );
        assert_eq!(world.coins_of(user(2)).await, 2 * COIN, "{manner:?}");
        assert_tied_out(&world).await;
    }
}

#[tokio::test]
async fn one_sweep_at_a_time_leaves_an_address() {
    let world = bought(1).await;
    world.ledger.change(user(2), -COIN);
    world
        .manners
        .next_broadcasts(sweep_of(0), [Manner::LateConfirmation(LEASE * 10)]);
    assert_eq!(round(&world).await.begun, 1);
    // More is sold while the first is under way.
    world.ledger.change(user(2), -COIN);
    for _ in 0..5 {
        assert_eq!(
            round(&world).await,
            Round {
                checked: 1,
                begun: 0,
                confirmed: 0
            }
        );
    }
    world.clock.advance(LEASE * 10);
    assert_eq!(
        round(&world).await,
        Round {
            checked: 1,
            begun: 1,
            confirmed: 2
        }
    );
    assert_eq!(world.coins_of(user(2)).await, COIN);
    assert_tied_out(&world).await;
}

#[tokio::test]
async fn nothing_is_swept_while_a_withdrawal_is_on_its_way() {
    let world = bought(1).await;
    world.ledger.change(user(2), -3 * COIN);
    world
        .manners
        .next_broadcasts(purpose(2, Step::Withdraw), [Manner::LostBroadcast]);
    world.accept(withdrawal(2)).await;
    world.handle(world.claim(key(2, Step::Withdraw)).await).await;
    assert_eq!(
        round(&world).await,
        Round {
            checked: 1,
            begun: 0,
            confirmed: 0
        }
    );
    world.clock.advance(LEASE);
    world.finish().await;
    assert_eq!(round(&world).await.confirmed, 1);
    assert_eq!(
        (world.coins_of(user(2)).await, world.ledger.balance(user(2))),
        (3 * COIN, 3 * COIN)
    );
    assert_tied_out(&world).await;
}

#[tokio::test]
async fn a_withdrawal_that_arrives_between_count_and_sweep_stops_the_sweep() {
    use bc_gateway::ports::{NewSweep, Party};
    let world = bought(1).await;
    let counted = world
        .transfers
        .count_coins(world.clock.now(), 10)
        .await
        .unwrap()
        .remove(0);
    assert!(counted.settled);
    // Signed after the count, confirmed and counted by nobody yet.
    world.accept(withdrawal(2)).await;
    world.finish().await;
    let keys = world.custody.keys("simulated", user(2));
    let chain: &dyn bc_gateway::ports::Chain = &world.chain;
    let from = Party {
        user_id: user(2),
        address: chain.address(&keys),
    };
    let draft = bc_gateway::ports::TransferDraft {
        from: from.address.clone(),
        to: world.service.address(UserId::HOT_WALLET),
        amount: btc(COIN),
        purpose: sweep_of(0),
    };
    let transfer = chain.sign(&keys, &draft, 0);
    let sweep = NewSweep {
        chain: chain.name(),
        from,
        counted: counted.coins,
        reservations: counted.reservations,
        amount: btc(COIN),
        transfer,
    };
    assert_eq!(
        world
            .transfers
            .begin_sweep(world.clock.now(), sweep.clone())
            .await
            .unwrap(),
        None
    );
    // Counted anew, the old count is refused as well.
    world.transfers.count_coins(world.clock.now(), 10).await.unwrap();
    assert_eq!(
        world.transfers.begin_sweep(world.clock.now(), sweep).await.unwrap(),
        None
    );
    assert_eq!(world.transfers.next_nonce(&draft.from).await.unwrap(), None);
}

#[tokio::test]
async fn a_way_back_and_a_sweep_do_not_spend_the_same_coins() {
    let world = bought(1).await;
    world
        .manners
        .next_broadcasts(purpose(1, Step::WithdrawBack), [Manner::LostBroadcast]);
    world.accept(taken_back(withdrawal(1))).await;
    world.handle(world.claim(key(1, Step::WithdrawBack)).await).await;
    // Booked and not confirmed: to the ledger alone it looks as if the coins were nobody's.
    assert_eq!(world.ledger.balance(user(2)), 0);
    assert_eq!(round(&world).await.begun, 0);
    world.clock.advance(LEASE);
    world.finish().await;
    assert_eq!(world.coins_of(user(2)).await, 0);
    assert_eq!(round(&world).await.begun, 0);
    assert_tied_out(&world).await;
}

#[tokio::test]
async fn two_sweepers_at_once_sweep_once() {
    let world = bought(1).await;
    world.ledger.change(user(2), -COIN);
    world.clock.advance(LEASE);
    let other = bc_gateway::Service::new(world.dependencies());
    let (one, two) = (world.service.coin_sweep(), other.coin_sweep());
    let (one, two) = tokio::join!(one.round(), two.round());
    assert_eq!(one.unwrap().begun + two.unwrap().begun, 1);
    round(&world).await;
    assert_eq!(world.coins_of(user(2)).await, 2 * COIN);
    assert_tied_out(&world).await;
}

#[tokio::test]
async fn a_round_is_bounded_and_the_next_one_goes_on_where_it_ended() {
    let world = World::new();
    for number in 1..=150 {
        let to = user(number + 1);
        world
            .accept(WithdrawCommand {
                acquirer_user_id: to,
                amount: btc(1),
                ..withdrawal(number)
            })
            .await;
    }
    world.finish().await;
    for number in 2..=151 {
        world.ledger.change(user(number), -1);
    }
    let (first, second) = (round(&world).await, round(&world).await);
    assert_eq!((first.begun, second.begun), (100, 50), "{first:?} {second:?}");
    assert_eq!(world.coins_of(UserId::HOT_WALLET).await, GENESIS);
    assert_tied_out(&world).await;
}

/// Waits until the running sweep has left `units` at the customer's address.
async fn until_left(world: &World, units: i128) {
    let swept = async {
        while world.coins_of(user(2)).await != units {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), swept).await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_set_back_lets_no_sweep_sleep_before_the_start_or_after() {
    let world = bought(1).await;
    let an_hour = Duration::from_secs(60 * 60);
    let lost = |nonce| world.manners.next_broadcasts(sweep_of(nonce), [Manner::LostBroadcast]);
    lost(0);
    world.ledger.change(user(2), -COIN);
    assert_eq!(round(&world).await.begun, 1);
    world.clock.set_back(an_hour);
    let service = bc_gateway::Service::new(bc_gateway::Dependencies {
        settings: bc_gateway::Settings {
            sweep_coins_every: Duration::from_millis(2),
            ..bc_gateway::Settings::default()
        },
        ..world.dependencies()
    });
    let shutdown = Shutdown::new();
    service.start_worker(&shutdown).await.unwrap();
    until_left(&world, 2 * COIN).await;

    lost(1);
    world.ledger.change(user(2), -COIN);
    let address = world.service.address(user(2));
    let begun = async {
        while world.transfers.next_nonce(&address).await.unwrap() != Some(2) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), begun).await.unwrap();
    world.clock.set_back(an_hour);
    // Should it be put off only now, its pause is over by then.
    world.clock.advance(Duration::from_secs(10));
    until_left(&world, COIN).await;
    shutdown.request();
    shutdown.wait(Duration::from_secs(30)).await.unwrap();
    // The chain had the last sweep before the worker that stopped could write that down.
    round(&world).await;
    assert_tied_out(&world).await;
}

#[tokio::test]
async fn a_clock_that_is_set_back_keeps_no_address_at_the_head_of_the_line() {
    let world = bought(1).await;
    let other = WithdrawCommand {
        acquirer_user_id: user(3),
        ..withdrawal(2)
    };
    world.accept(other).await;
    world.finish().await;
    let first_in_line = || async {
        world.clock.advance(Duration::from_secs(1));
        let counted = world.transfers.count_coins(world.clock.now(), 1).await.unwrap();
        counted[0].user_id
    };
    assert_ne!(first_in_line().await, first_in_line().await);
    world.clock.set_back(Duration::from_secs(60 * 60));
    world.transfers.bring_forward(world.clock.now()).await.unwrap();
    assert_ne!(first_in_line().await, first_in_line().await);
}
