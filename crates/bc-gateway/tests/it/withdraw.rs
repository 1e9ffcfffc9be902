//! A withdrawal's way through every answer of the chain and the ledger.

use std::time::Duration;

use bc_gateway::chain::simulated::Manner;
use contracts::UserId;
use contracts::clients::{Submission, WithdrawCommand};
use contracts::ledger::{Leg, Owner};
use contracts::messages::{FailureCode, Status, Step, StepResult};
use contracts::{Amount, Asset};
use storage::commands::{Settlement, State};

use crate::ledger::Trouble;
use crate::world::{COIN, World, btc, key, order, purpose, user, withdrawal};

async fn assert_withdrawn_once(world: &World, number: i64) {
    let record = world.record(number, Step::Withdraw).await;
    assert_eq!(record.state, State::Done, "{record:?}");
    assert_eq!(world.confirmed(number, Step::Withdraw).await, 1);
    assert_eq!(world.coins_of(user(2)).await, 3 * COIN);
    assert_eq!(world.ledger.balance(user(2)), 3 * COIN);
    assert_eq!(world.ledger.count(), 1);
    world.assert_coins_conserved().await;
}

fn is_missing_answer(settlement: &Settlement) -> bool {
    matches!(
        settlement,
        Settlement::Postponed {
            answer_missing: true,
            ..
        }
    )
}

#[tokio::test]
async fn bought_coins_reach_the_users_address_and_balance_in_one_go() {
    let mut world = World::new();
    world.accept(withdrawal(1)).await;
    let settlement = world.handle(world.claim(key(1, Step::Withdraw)).await).await;
    let Settlement::Finished {
        result: StepResult::Transferred { transaction },
        ..
    } = settlement
    else {
        panic!("{settlement:?}");
    };
    assert_withdrawn_once(&world, 1).await;
    let booked = world.ledger.booked(1, Leg::Withdraw).unwrap();
    assert_eq!((booked.debit, booked.credit), (Owner::HotWallet, Owner::User(user(2))));
    assert_eq!((booked.amount, booked.actor.as_str()), (btc(3 * COIN), "bc_gateway"));
    let published = world.published();
    assert_eq!(published.len(), 1);
    assert_eq!((published[0].step, published[0].status), (Step::Withdraw, Status::Done));
    assert_eq!(published[0].result, Some(StepResult::Transferred { transaction }));
}

#[tokio::test]
async fn asking_again_publishes_the_same_result_again_and_moves_nothing() {
    let mut world = World::new();
    world.accept(withdrawal(1)).await;
    world.finish().await;
    let first = world.published().remove(0);
    assert_eq!(
        world.submit(withdrawal(1)).await,
        Submission::Accepted { replayed: true }
    );
    let again = world.published().remove(0);
    assert_eq!((again.status, again.result), (first.status, first.result));
    assert_withdrawn_once(&world, 1).await;
}

#[tokio::test]
async fn the_same_step_with_other_content_is_a_conflict() {
    let world = World::new();
    world.accept(withdrawal(1)).await;
    let other = WithdrawCommand {
        amount: btc(COIN),
        ..withdrawal(1)
    };
    assert_eq!(world.submit(other).await, Submission::Conflict);
    world.finish().await;
    assert_withdrawn_once(&world, 1).await;
}

#[tokio::test]
async fn what_makes_no_sense_is_not_accepted_and_harms_no_neighbour() {
    let world = World::new();
    let nonsense = [
        WithdrawCommand {
            amount: btc(0),
            ..withdrawal(2)
        },
        WithdrawCommand {
            amount: btc(-1),
            ..withdrawal(3)
        },
        WithdrawCommand {
            amount: Amount::new(100, Asset::USD),
            ..withdrawal(4)
        },
        WithdrawCommand {
            acquirer_user_id: UserId::HOT_WALLET,
            ..withdrawal(5)
        },
    ];
    let mut commands: Vec<_> = nonsense.into();
    commands.insert(2, withdrawal(1));
    let outcomes = world.service.client().submit(commands).await.unwrap();
    for (at, outcome) in outcomes.iter().enumerate() {
        if at == 2 {
            assert_eq!(*outcome, Submission::Accepted { replayed: false });
        } else {
            assert!(matches!(outcome, Submission::Invalid { .. }), "{at}: {outcome:?}");
        }
    }
    world.finish().await;
    assert_withdrawn_once(&world, 1).await;
    let crowd = (1..=101).map(withdrawal).collect();
    let outcomes = world.service.client().submit(crowd).await.unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Submission::Invalid { .. }))
    );
}

#[tokio::test]
async fn a_refusal_before_signing_fails_the_step_and_uses_no_nonce() {
    let mut world = World::new();
    world.manners.refuse(purpose(1, Step::Withdraw));
    world.accept(withdrawal(1)).await;
    world.finish().await;
    let result = world.result(1, Step::Withdraw).await;
    assert!(
        matches!(
            result,
            Some(StepResult::Failure {
                code: FailureCode::WithdrawalRefused,
                ..
            })
        ),
        "{result:?}"
    );
    assert_eq!(world.published()[0].status, Status::Failed);
    assert_eq!((world.next_hot_nonce().await, world.ledger.count()), (None, 0));
    assert_eq!(world.coins_of(user(2)).await, 0);
    // Asked once more it answers the same, even if the chain has changed its mind.
    world.manners.refuse_all(false);
    world.submit(withdrawal(1)).await;
    assert_eq!(world.published()[0].status, Status::Failed);
    assert_eq!(world.commands.open_count().await.unwrap(), 0);
}

#[tokio::test]
async fn more_coins_than_there_are_are_refused_before_signing() {
    let world = World::new();
    let all = WithdrawCommand {
        amount: btc(crate::world::GENESIS + 1),
        ..withdrawal(1)
    };
    world.accept(all).await;
    world.finish().await;
    assert_eq!(world.record(1, Step::Withdraw).await.state, State::Failed);
    assert_eq!(world.next_hot_nonce().await, None);
}

#[tokio::test]
async fn a_lost_broadcast_is_sent_again_with_the_same_bytes() {
    let world = World::new();
    let lost = [Manner::LostBroadcast, Manner::LostBroadcast];
    world.manners.next_broadcasts(purpose(1, Step::Withdraw), lost);
    world.accept(withdrawal(1)).await;
    assert!(is_missing_answer(
        &world.handle(world.claim(key(1, Step::Withdraw)).await).await
    ));
    let signed = world.record(1, Step::Withdraw).await.progress;
    assert_eq!(world.ledger.count(), 0);
    world.finish().await;
    assert_eq!(world.record(1, Step::Withdraw).await.progress, signed);
    assert_eq!(world.next_hot_nonce().await, Some(1));
    assert_withdrawn_once(&world, 1).await;
}

#[tokio::test]
async fn unknown_though_taken_is_found_and_not_sent_anew() {
    let world = World::new();
    world
        .manners
        .next_broadcasts(purpose(1, Step::Withdraw), [Manner::UnknownButTaken]);
    world.accept(withdrawal(1)).await;
    world.finish_within(1).await;
    assert_withdrawn_once(&world, 1).await;
}

#[tokio::test]
async fn unknown_and_not_taken_is_sent_again() {
    let world = World::new();
    world
        .manners
        .next_broadcasts(purpose(1, Step::Withdraw), [Manner::UnknownNotTaken]);
    world.accept(withdrawal(1)).await;
    world.finish().await;
    assert_withdrawn_once(&world, 1).await;
}

#[tokio::test]
async fn a_late_confirmation_is_waited_for_and_booked_only_then() {
    let world = World::new();
    let late = Manner::LateConfirmation(Duration::from_secs(60));
    world.manners.next_broadcasts(purpose(1, Step::Withdraw), [late]);
    world.accept(withdrawal(1)).await;
    for _ in 0..5 {
        world.try_all().await;
        assert_eq!((world.ledger.count(), world.coins_of(user(2)).await), (0, 0));
        world.clock.advance(Duration::from_secs(10));
    }
    world.finish().await;
    assert_withdrawn_once(&world, 1).await;
}

#[tokio::test]
async fn a_confirmation_that_a_reorganisation_undoes_is_never_booked() {
    let world = World::new();
    world
        .manners
        .next_broadcasts(purpose(1, Step::Withdraw), [Manner::Reorganise]);
    world.accept(withdrawal(1)).await;
    assert!(is_missing_answer(
        &world.handle(world.claim(key(1, Step::Withdraw)).await).await
    ));
    assert_eq!(world.ledger.count(), 0);
    world.finish().await;
    assert_withdrawn_once(&world, 1).await;
}

#[tokio::test]
async fn a_silent_chain_is_no_failure_and_the_saga_hears_of_it_once() {
    let mut world = World::new();
    world.manners.silence(true);
    world.accept(withdrawal(1)).await;
    for _ in 0..20 {
        world.try_all().await;
        world.clock.advance(Duration::from_secs(10));
    }
    let heard: Vec<_> = world.published().into_iter().map(|message| message.status).collect();
    assert_eq!(heard, [Status::Unresolved]);
    assert_eq!(world.record(1, Step::Withdraw).await.state, State::Open);
    world.manners.silence(false);
    world.finish().await;
    assert_withdrawn_once(&world, 1).await;
}

#[tokio::test]
async fn whatever_becomes_of_the_booking_it_is_made_once() {
    for trouble in [Trouble::NotBooked, Trouble::BookedWithoutAnswer] {
        let world = World::new();
        world.ledger.fail_next([trouble, trouble]);
        world.accept(withdrawal(1)).await;
        world.finish().await;
        assert_withdrawn_once(&world, 1).await;
    }
}

#[tokio::test]
async fn a_refused_booking_of_coins_that_moved_is_repeated_until_it_is_made() {
    let world = World::new();
    let held = world.ledger.balance(UserId::HOT_WALLET);
    world.ledger.change(UserId::HOT_WALLET, -held);
    world.accept(withdrawal(1)).await;
    for _ in 0..5 {
        world.try_all().await;
        world.clock.advance(Duration::from_secs(10));
    }
    let record = world.record(1, Step::Withdraw).await;
    assert_eq!((record.state, world.ledger.count()), (State::Open, 0));
    world.ledger.change(UserId::HOT_WALLET, held);
    world.finish().await;
    assert_withdrawn_once(&world, 1).await;
}

#[tokio::test]
async fn another_asset_moves_as_exactly_at_eighteen_decimals() {
    let world = World::new();
    let amount = Amount::new(10_i128.pow(24) + 1, Asset::ETH);
    world
        .accept(WithdrawCommand {
            amount,
            ..withdrawal(1)
        })
        .await;
    world.finish().await;
    let address = world.service.address(user(2));
    assert_eq!(world.chain.coins(&address, Asset::ETH).await.unwrap(), amount);
    assert_eq!(world.ledger.booked(1, Leg::Withdraw).unwrap().amount, amount);
}

#[tokio::test]
async fn a_customers_coins_leave_only_after_their_balance_has_paid() {
    let world = World::new();
    world.accept(withdrawal(1)).await;
    world.finish().await;
    let onward = WithdrawCommand {
        order_id: order(2),
        source_user_id: user(2),
        acquirer_user_id: user(3),
        amount: btc(2 * COIN),
        compensate: false,
    };
    world
        .manners
        .next_broadcasts(purpose(2, Step::Withdraw), [Manner::LostBroadcast]);
    world.accept(onward.clone()).await;
    world.try_all().await;
    assert_eq!(
        (world.ledger.balance(user(2)), world.coins_of(user(2)).await),
        (COIN, 3 * COIN)
    );
    world.finish().await;
    assert_eq!(
        (world.ledger.balance(user(3)), world.coins_of(user(3)).await),
        (2 * COIN, 2 * COIN)
    );
    // What is left does not cover the same again.
    world
        .accept(WithdrawCommand {
            order_id: order(3),
            ..onward
        })
        .await;
    world.finish().await;
    assert_eq!(world.record(3, Step::Withdraw).await.state, State::Failed);
    world.assert_coins_conserved().await;
}

#[tokio::test]
async fn a_command_that_cannot_be_read_is_buried_and_not_guessed_at() {
    let world = World::new();
    world.accept(withdrawal(1)).await;
    let mut claimed = world.claim(key(1, Step::Withdraw)).await;
    claimed.progress = "{}".into();
    assert!(matches!(world.handle(claimed).await, Settlement::Dead { .. }));
    assert_eq!(world.record(1, Step::Withdraw).await.state, State::Dead);
    assert_eq!((world.next_hot_nonce().await, world.ledger.count()), (None, 0));
}
