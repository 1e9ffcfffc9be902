//! Over random faults of the chain and the ledger, random deaths, and random cancellations: at most one transfer on the
//! chain for each command, booked once if and only if it is confirmed, and no coin made or lost. Customers send to each
//! other as well, and sell what they have got.

use std::sync::Arc;
use std::time::Duration;

use bc_gateway::chain::simulated::{RandomManners, Rates, ScriptedManners};
use bc_gateway::domain::movement::Movement;
use contracts::clients::WithdrawCommand;
use contracts::ledger::Posting;
use contracts::messages::StepResult;
use contracts::{BasisPoints, Clock as _, UserId};
use proptest::collection::vec;
use proptest::prelude::*;
use storage::commands::State;

use crate::fuse::{Fuse, mortal};
use crate::ledger::Trouble;
use crate::world::{COIN, GENESIS, LEASE, World, btc, key, taken_back, user, withdrawal};

/// One move of the outside world.
#[derive(Debug, Clone)]
enum Event {
    /// Order `number` is withdrawn or sent on, perhaps not for the first time.
    Withdraw(i64),
    /// An operator takes it back.
    TakeBack(i64),
    /// Everything due is tried in a process that dies after so many calls.
    Work(usize),
    /// Everything due is tried by claims that outlive their leases on a wrong clock.
    Zombies,
    /// A user sells a part of what they have.
    Sell(i64, u8),
    /// Coins are swept in a process that dies after so many calls.
    Sweep(usize),
    /// The ledger fails so.
    Ledger(bool),
    /// Time passes.
    Wait(u64),
}

/// The orders: the first ones come from the hot wallet, the others from customers.
const ORDERS: i64 = 10;
const FROM_HOT_WALLET: i64 = 6;

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (1..=ORDERS).prop_map(Event::Withdraw),
        2 => (1..=ORDERS).prop_map(Event::TakeBack),
        5 => (1..60_usize).prop_map(Event::Work),
        1 => Just(Event::Zombies),
        1 => (2..5_i64, 1..=100_u8).prop_map(|(user, percent)| Event::Sell(user, percent)),
        2 => (1..60_usize).prop_map(Event::Sweep),
        1 => any::<bool>().prop_map(Event::Ledger),
        2 => (1..40_u64).prop_map(Event::Wait),
    ];
    vec(event, 5..40)
}

fn rates() -> impl Strategy<Value = Rates> {
    let rate = || (0..1_800_u32).prop_map(|points| BasisPoints::try_new(points).unwrap());
    (rate(), rate(), rate(), rate(), rate(), rate()).prop_map(|(refuse, lost, taken, not_taken, late, reorganise)| {
        Rates {
            refuse_before_signing: refuse,
            lost_broadcast: lost,
            unknown_but_taken: taken,
            unknown_not_taken: not_taken,
            late_confirmation: late,
            late_by: Duration::from_secs(60),
            reorganise,
        }
    })
}

fn of_order(number: i64) -> WithdrawCommand {
    let (source_user_id, units) = if number <= FROM_HOT_WALLET {
        (UserId::HOT_WALLET, COIN * i128::from(number))
    } else {
        (user(2 + (number + 1) % 3), COIN * i128::from(number - FROM_HOT_WALLET))
    };
    WithdrawCommand {
        amount: btc(units),
        source_user_id,
        acquirer_user_id: user(2 + number % 3),
        ..withdrawal(number)
    }
}

async fn play(world: &World, event: &Event) {
    match *event {
        Event::Withdraw(number) => drop(world.submit(of_order(number)).await),
        Event::TakeBack(number) => drop(world.submit(taken_back(of_order(number))).await),
        Event::Work(length) => {
            let fuse = Fuse::new(length);
            let service = mortal(world, &fuse);
            for claimed in world.commands.claim_due(world.clock.now(), 100).await.unwrap() {
                let (key, epoch) = (claimed.key, claimed.epoch);
                let Some(settlement) = fuse.live(service.handler().handle(claimed)).await else {
                    break;
                };
                world
                    .commands
                    .settle(world.clock.now(), vec![(key, epoch, settlement)])
                    .await
                    .unwrap();
            }
        }
        Event::Zombies => {
            let zombies = world.commands.claim_due(world.clock.now(), 100).await.unwrap();
            world.clock.advance(LEASE);
            world.try_all().await;
            for mut zombie in zombies {
                zombie.lease_until = contracts::time::later(world.clock.now(), LEASE);
                world.handle(zombie).await;
            }
        }
        Event::Sell(number, percent) => {
            let sold = world.ledger.balance(user(number)) * i128::from(percent) / 100;
            world.ledger.change(user(number), -sold);
            world.ledger.change(UserId::HOT_WALLET, sold);
        }
        Event::Sweep(length) => {
            let fuse = Fuse::new(length);
            let sweep = mortal(world, &fuse).coin_sweep();
            fuse.live(sweep.round()).await;
        }
        Event::Ledger(booked) => {
            let trouble = if booked {
                Trouble::BookedWithoutAnswer
            } else {
                Trouble::NotBooked
            };
            world.ledger.fail_next([trouble]);
        }
        Event::Wait(seconds) => world.clock.advance(Duration::from_secs(seconds)),
    }
}

/// Works and sweeps until no command is open. A sweep uses a nonce of its address, and what is signed after it waits for it.
async fn finish(world: &World) {
    for _ in 0..500 {
        if world.work_for(10).await == 0 {
            return;
        }
        world.service.coin_sweep().round().await.unwrap();
    }
    panic!("something stays open");
}

/// The command's bookings are what its end says; whether it moved coins.
async fn transferred(world: &World, command: &WithdrawCommand) -> bool {
    let movement = Movement::of(command);
    let (number, step) = (command.order_id.get(), movement.step);
    let confirmed = world.confirmed(number, step).await;
    let record = world.commands.record(key(number, step)).await.unwrap();
    let transferred = record
        .as_ref()
        .is_some_and(|record| record.state == State::Done && !matches!(record.result, Some(StepResult::Reversed)));
    assert_eq!(confirmed, u64::from(transferred), "{number} {record:?}");
    let is_booked = |posting: Posting| world.ledger.booked(number, posting.transfers[0].id.leg).is_some();
    let (paid, arrived) = (is_booked(movement.payment()), is_booked(movement.arrival()));
    // What was given up is paid and given back, or neither.
    let undone = movement.is_prepaid() && is_booked(movement.undoing());
    assert_eq!(
        (arrived, paid),
        (transferred, transferred || undone),
        "{number} {record:?}"
    );
    assert!(!(arrived && undone), "{number} {record:?}");
    transferred
}

async fn check(world: &World) {
    let mut due_back = [0_i128; 5];
    for number in 1..=ORDERS {
        for command in [of_order(number), taken_back(of_order(number))] {
            if transferred(world, &command).await {
                let Movement { from, to, amount, .. } = Movement::of(&command);
                due_back[usize::try_from(from.get()).unwrap()] -= amount.units();
                due_back[usize::try_from(to.get()).unwrap()] += amount.units();
            }
        }
    }
    assert_eq!(world.ledger.in_transit(), 0);
    world.assert_coins_conserved().await;
    let expected = world.audit.expected_coins().await;
    assert_eq!(expected.iter().map(|line| line.coins.units()).sum::<i128>(), 0);
    for line in expected {
        assert!(line.arriving.is_zero() && line.leaving.is_zero(), "{line:?}");
        let genesis = if line.user_id == UserId::HOT_WALLET { GENESIS } else { 0 };
        assert_eq!(
            world.coins_of(line.user_id).await,
            genesis + line.coins.units(),
            "{line:?}"
        );
        if line.user_id != UserId::HOT_WALLET {
            // Everything sold has been swept: nobody's address holds more than is theirs.
            assert!(line.coins.units() <= world.ledger.balance(line.user_id), "{line:?}");
            let user = usize::try_from(line.user_id.get()).unwrap();
            assert!(world.ledger.balance(line.user_id) <= due_back[user]);
        }
    }
}

fn cases() -> u32 {
    if std::env::var_os("CAMBIST_TEST_FULL").is_some() {
        1_000
    } else {
        24
    }
}

proptest! {
    // A failure prints the whole case: its seed, rates and events repeat it. Shrinking it ends.
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        max_shrink_iters: 200,
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_each_coin_moves_once_and_is_booked_once(
        seed in any::<u64>(),
        rates in rates(),
        events in events(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let manners = Arc::new(RandomManners::try_new(seed, rates, Duration::ZERO).unwrap());
            let world = World::with_manners(manners, Arc::new(ScriptedManners::new()));
            for event in &events {
                play(&world, event).await;
            }
            let world = world.reborn();
            finish(&world).await;
            for _ in 0..200 {
                world.clock.advance(Duration::from_secs(7));
                world.service.coin_sweep().round().await.unwrap();
            }
            check(&world).await;
        });
    }
}
