//! A ledger that refuses what it must not refuse: nothing ends on that alone, people hear of it, and an operator's word
//! ends what can be ended without losing a coin.

use bc_gateway::domain::movement::Movement;
use bc_gateway::domain::progress::Progress;
use contracts::clients::Balance as _;
use contracts::ledger::{Leg, Owner};
use contracts::messages::Step;
use contracts::operators::{ChainVerdict, RulingOutcome};
use contracts::{Clock as _, UserId};
use storage::commands::State;

use crate::ledger::Trouble;
use crate::rulings::{RECORDED, rule_on};
use crate::transit::{assert_refused, balances, sending, wait_for_doubt};
use crate::world::{COIN, World, key, onward, user};

const STEP: Step = Step::Withdraw;

/// Something else is booked under the name of order 1's payment.
async fn take_the_name_of_the_payment(world: &World) {
    let mut posting = Movement::of(&onward(1)).payment();
    posting.transfers[0].debit = Owner::wallet(UserId::HOT_WALLET);
    posting.transfers[0].credit = Owner::wallet(user(4));
    world.ledger.post(vec![posting]).await.unwrap();
}

async fn is_in_doubt(world: &World) -> bool {
    let standing = world.commands.standing(key(1, STEP)).await.unwrap().unwrap();
    standing.is_in_doubt()
}

async fn give_up(world: &World) -> RulingOutcome {
    rule_on(world.service.client().as_ref(), STEP, ChainVerdict::NeverConfirms {}).await
}

#[tokio::test]
async fn a_payment_that_the_ledger_never_takes_is_given_up_on_an_operators_word_without_doubt() {
    let world = sending(None).await;
    take_the_name_of_the_payment(&world).await;
    assert_eq!(world.work_for(20).await, 1);
    assert!(!is_in_doubt(&world).await);
    assert_eq!(give_up(&world).await, RECORDED);
    world.finish().await;
    assert_refused(&world, STEP).await;
    assert_eq!((balances(&world), world.confirmed(1, STEP).await), ((3 * COIN, 0), 0));
    // And of what has ended nothing more can be said but the same.
    assert_eq!(give_up(&world).await, RulingOutcome::Recorded { replayed: true });
}

#[tokio::test]
async fn an_undoing_that_the_ledger_never_takes_is_reported_and_ends_on_an_operators_word_only() {
    let world = sending(Some(Trouble::NotBooked)).await;
    world.clock.advance(crate::world::LEASE);
    let claimed = world.claim(key(1, STEP)).await;
    let given_up = Progress::Undoing {
        reason: "the chain refused it".into(),
        signed: None,
    };
    let stored = world
        .commands
        .checkpoint(world.clock.now(), claimed.key, claimed.epoch, given_up.to_json());
    stored.await.unwrap();
    take_the_name_of_the_payment(&world).await;
    let world = world.reborn();
    wait_for_doubt(&world, STEP).await;
    assert_eq!(world.record(1, STEP).await.state, State::Open);
    assert_eq!(give_up(&world).await, RECORDED);
    world.finish().await;
    assert_refused(&world, STEP).await;
    assert_eq!(balances(&world), (3 * COIN, 0));
}

#[tokio::test]
async fn a_payment_that_is_on_its_way_while_an_operator_gives_it_up_is_given_back() {
    let world = sending(Some(Trouble::NotBooked)).await;
    world.clock.advance(crate::world::LEASE);
    let worker = world.claim(key(1, STEP)).await;
    assert_eq!(give_up(&world).await, RECORDED);
    // It does not know yet: it pays, and is fenced off from signing.
    world.handle(worker).await;
    assert!(world.ledger.booked(1, Leg::WithdrawSent).is_some());
    world.finish().await;
    assert_refused(&world, STEP).await;
    assert_eq!((balances(&world), world.confirmed(1, STEP).await), ((3 * COIN, 0), 0));
}

#[tokio::test]
async fn a_wallet_that_is_gone_when_its_payment_is_given_up_is_reported_and_waited_for() {
    let world = sending(Some(Trouble::NotBooked)).await;
    world.ledger.without_wallet(user(2));
    wait_for_doubt(&world, STEP).await;
    assert_eq!((balances(&world), world.ledger.count()), ((3 * COIN, 0), 1));
    world.ledger.with_wallets();
    world.finish().await;
    assert_refused(&world, STEP).await;
    // Paid and given back in one: no late payment can be booked any more.
    assert_eq!((balances(&world), world.ledger.count()), ((3 * COIN, 0), 3));
}
