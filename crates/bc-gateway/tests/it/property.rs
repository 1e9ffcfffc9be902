//! Over random faults of the chain and the ledger, random deaths, and random cancellations: at most one transfer on the
//! chain for each command, booked once if and only if it is confirmed, and no coin made or lost.

use std::sync::Arc;
use std::time::Duration;

use bc_gateway::chain::simulated::{RandomManners, Rates, ScriptedManners};
use bc_gateway::store::sqlite::audit;
use contracts::clients::WithdrawCommand;
use contracts::ledger::Leg;
use contracts::messages::{Step, StepResult};
use contracts::{BasisPoints, Clock as _, UserId};
use proptest::collection::vec;
use proptest::prelude::*;
use storage::commands::{CommandStore as _, State};

use crate::fuse::{Fuse, mortal};
use crate::ledger::Trouble;
use crate::world::{COIN, GENESIS, LEASE, World, btc, key, taken_back, user, withdrawal};

/// One move of the outside world.
#[derive(Debug, Clone)]
enum Event {
    /// Order `number` is withdrawn, perhaps not for the first time.
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

const ORDERS: i64 = 6;

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => (1..=ORDERS).prop_map(Event::Withdraw),
        1 => (1..=ORDERS).prop_map(Event::TakeBack),
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
    WithdrawCommand {
        amount: btc(COIN * i128::from(number)),
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

/// Works until nothing is open.
async fn finish(world: &World) {
    for _ in 0..100 {
        if world.work_for(200).await == 0 {
            return;
        }
    }
    panic!("something stays open");
}

async fn check(world: &World) {
    let mut due_back = [0_i128; 5];
    for number in 1..=ORDERS {
        for (step, leg) in [(Step::Withdraw, Leg::Withdraw), (Step::WithdrawBack, Leg::WithdrawBack)] {
            let confirmed = world.confirmed(number, step).await;
            // What was given up is booked with its opposite, or not at all.
            let undone = step == Step::WithdrawBack && world.ledger.booked(number, Leg::WithdrawUndone).is_some();
            let booked = u64::from(world.ledger.booked(number, leg).is_some() && !undone);
            let record = world.commands.record(key(number, step)).await.unwrap();
            let transferred = record.as_ref().is_some_and(|record| {
                record.state == State::Done && !matches!(record.result, Some(StepResult::Reversed))
            });
            assert_eq!(
                (confirmed, booked),
                (u64::from(transferred), u64::from(transferred)),
                "{number} {record:?}"
            );
            let user = usize::try_from(2 + number % 3).unwrap();
            let units = COIN * i128::from(number);
            due_back[user] += match (transferred, step) {
                (false, _) => 0,
                (true, Step::Withdraw) => units,
                (true, _) => -units,
            };
        }
    }
    world.assert_coins_conserved().await;
    let expected = world.database.readers().run(audit::expected_coins).await.unwrap();
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
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

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
