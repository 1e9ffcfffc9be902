//! Taking a withdrawal back: before it exists, before it is signed, while it is under way, and after it arrived.

use bc_gateway::chain::simulated::Manner;
use bc_gateway::domain::movement::Movement;
use bc_gateway::domain::progress::beyond_recall;
use contracts::clients::{Balance as _, Submission, WithdrawCommand};
use contracts::ledger::{Leg, Owner, PostingOutcome};
use contracts::messages::{FailureCode, Status, Step, StepResult};
use contracts::{Clock as _, UserId};
use storage::commands::{Entombment, NewCommand, Settlement, State};

use crate::ledger::Trouble;
use crate::world::{COIN, LEASE, World, btc, key, purpose, taken_back, user, withdrawal};

async fn assert_cancelled(world: &World) {
    assert_eq!(world.result(1, Step::WithdrawBack).await, Some(StepResult::Reversed));
    let withdrawal = world.result(1, Step::Withdraw).await;
    assert!(
        matches!(
            withdrawal,
            Some(StepResult::Failure {
                code: FailureCode::Cancelled,
                ..
            })
        ),
        "{withdrawal:?}"
    );
    assert_eq!((world.next_hot_nonce().await, world.ledger.count()), (None, 0));
    assert_eq!(world.coins_of(user(2)).await, 0);
}

#[tokio::test]
async fn a_withdrawal_that_was_never_asked_for_is_cancelled_and_a_late_copy_fails() {
    let mut world = World::new();
    world.accept(taken_back(withdrawal(1))).await;
    world.finish().await;
    assert_cancelled(&world).await;
    world.published();
    assert_eq!(
        world.submit(withdrawal(1)).await,
        Submission::Accepted { replayed: true }
    );
    let late = world.published().remove(0);
    assert_eq!((late.step, late.status), (Step::Withdraw, Status::Failed));
    world.finish().await;
    assert_cancelled(&world).await;
}

#[tokio::test]
async fn a_withdrawal_that_is_not_signed_is_cancelled_and_its_worker_fenced() {
    let world = World::new();
    world.accept(withdrawal(1)).await;
    let worker = world.claim(key(1, Step::Withdraw)).await;
    world.accept(taken_back(withdrawal(1))).await;
    let back = world.claim(key(1, Step::WithdrawBack)).await;
    assert!(matches!(world.handle(back).await, Settlement::Finished { .. }));
    assert!(matches!(world.handle(worker).await, Settlement::Postponed { .. }));
    assert_cancelled(&world).await;
}

#[tokio::test]
async fn a_signed_withdrawal_is_let_through_and_then_sent_back() {
    let world = World::new();
    world
        .manners
        .next_broadcasts(purpose(1, Step::Withdraw), [Manner::LostBroadcast]);
    world.accept(withdrawal(1)).await;
    world.handle(world.claim(key(1, Step::Withdraw)).await).await;
    world.accept(taken_back(withdrawal(1))).await;
    let said = world.handle(world.claim(key(1, Step::WithdrawBack)).await).await;
    assert!(matches!(said, Settlement::Postponed { .. }), "{said:?}");
    world.clock.advance(LEASE);
    world.finish().await;
    assert_sent_back(&world).await;
}

pub(crate) async fn assert_sent_back(world: &World) {
    for step in [Step::Withdraw, Step::WithdrawBack] {
        let result = world.result(1, step).await;
        assert!(
            matches!(result, Some(StepResult::Transferred { .. })),
            "{step}: {result:?}"
        );
        assert_eq!(world.confirmed(1, step).await, 1);
    }
    assert_eq!((world.coins_of(user(2)).await, world.ledger.balance(user(2))), (0, 0));
    let back = world.ledger.booked(1, Leg::WithdrawBack).unwrap();
    assert_eq!((back.debit, back.credit), (Owner::ExternalChain, Owner::HotWallet));
    let sent = world.ledger.booked(1, Leg::WithdrawBackSent).unwrap();
    assert_eq!((sent.debit, sent.credit), (Owner::User(user(2)), Owner::ExternalChain));
    assert_eq!((world.ledger.count(), world.ledger.in_transit()), (3, 0));
    world.assert_coins_conserved().await;
}

#[tokio::test]
async fn a_confirmed_withdrawal_is_sent_back_as_an_order_of_its_own() {
    let world = World::withdrawn().await;
    world.accept(taken_back(withdrawal(1))).await;
    world.finish().await;
    assert_sent_back(&world).await;
    // Asking again changes nothing.
    assert_eq!(
        world.submit(taken_back(withdrawal(1))).await,
        Submission::Accepted { replayed: true }
    );
    world.finish().await;
    assert_sent_back(&world).await;
}

#[tokio::test]
async fn the_way_back_keeps_to_the_same_bytes_through_every_fault() {
    for manner in [
        Manner::LostBroadcast,
        Manner::UnknownButTaken,
        Manner::UnknownNotTaken,
        Manner::Reorganise,
        Manner::LateConfirmation(LEASE),
    ] {
        let world = World::new();
        world.manners.next_broadcasts(purpose(1, Step::WithdrawBack), [manner]);
        world.accept(withdrawal(1)).await;
        world.finish().await;
        world.accept(taken_back(withdrawal(1))).await;
        world.finish().await;
        assert_sent_back(&world).await;
    }
}

#[tokio::test]
async fn what_the_user_has_sold_already_cannot_be_taken_back() {
    let world = World::withdrawn().await;
    world.ledger.change(user(2), -COIN);
    world.accept(taken_back(withdrawal(1))).await;
    world.finish().await;
    let result = world.result(1, Step::WithdrawBack).await;
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
    assert_eq!(
        (world.coins_of(user(2)).await, world.ledger.balance(user(2))),
        (3 * COIN, 2 * COIN)
    );
    assert_eq!(world.ledger.count(), 1);
}

#[tokio::test]
async fn coins_that_were_swept_away_meanwhile_are_missed_before_signing() {
    let world = World::withdrawn().await;
    // Sold, swept, and the sale given back: the balance is there and the coins are at the hot wallet's address.
    world.ledger.change(user(2), -3 * COIN);
    assert_eq!(world.service.coin_sweep().round().await.unwrap().confirmed, 1);
    world.ledger.change(user(2), 3 * COIN);
    world.accept(taken_back(withdrawal(1))).await;
    world.finish().await;
    assert_eq!(world.record(1, Step::WithdrawBack).await.state, State::Failed);
    assert_eq!((world.ledger.balance(user(2)), world.ledger.count()), (3 * COIN, 1));
}

/// A way back whose first payment gets no answer.
pub(crate) async fn unanswered(trouble: Trouble) -> World {
    let world = World::withdrawn().await;
    world.accept(taken_back(withdrawal(1))).await;
    world.ledger.fail_next([trouble]);
    world.try_all().await;
    assert_eq!(world.record(1, Step::WithdrawBack).await.state, State::Open);
    world
}

/// Nothing was signed, and the books are as if nobody had asked, for good.
async fn assert_given_up(world: &World, balance: i128) {
    let result = world.result(1, Step::WithdrawBack).await;
    let refused = FailureCode::WithdrawalRefused;
    assert!(
        matches!(result, Some(StepResult::Failure { code, .. }) if code == refused),
        "{result:?}"
    );
    let address = world.service.address(user(2));
    assert_eq!(world.transfers.next_nonce(&address).await.unwrap(), None);
    assert_eq!(world.ledger.balance(user(2)), balance);
    let (sent, undone) = (Leg::WithdrawBackSent, Leg::WithdrawBackUndone);
    for (leg, payer) in [(sent, Owner::User(user(2))), (undone, Owner::ExternalChain)] {
        assert_eq!(world.ledger.booked(1, leg).unwrap().debit, payer, "{leg}");
    }
    assert_eq!(world.ledger.booked(1, Leg::WithdrawBack), None);
    // The payment of a claim that is over may come late.
    let late = Movement::of(&taken_back(withdrawal(1))).payment();
    assert_eq!(
        world.ledger.post(vec![late]).await,
        Ok(vec![PostingOutcome::Posted { replayed: true }])
    );
    assert_eq!(world.ledger.balance(user(2)), balance);
    world.assert_coins_conserved().await;
}

#[tokio::test]
async fn a_way_back_whose_user_spends_the_balance_before_it_is_paid_is_given_up_and_their_coins_are_swept() {
    let world = unanswered(Trouble::NotBooked).await;
    world.ledger.change(user(2), -COIN);
    world.finish().await;
    assert_given_up(&world, 2 * COIN).await;
    // What was sold goes where it belongs, and what is bought later stays the user's.
    assert_eq!(world.service.coin_sweep().round().await.unwrap().confirmed, 1);
    assert_eq!(world.coins_of(user(2)).await, 2 * COIN);
    world.ledger.change(user(2), COIN);
    world.finish().await;
    assert_eq!(world.confirmed(1, Step::WithdrawBack).await, 0);
    assert_eq!(world.ledger.balance(user(2)), 3 * COIN);
}

#[tokio::test]
async fn a_way_back_that_is_paid_and_then_refused_gives_the_crypto_back() {
    let world = unanswered(Trouble::BookedWithoutAnswer).await;
    assert_eq!(world.ledger.balance(user(2)), 0);
    world.manners.refuse_all(true);
    world.finish().await;
    assert_given_up(&world, 3 * COIN).await;
    assert_eq!(world.coins_of(user(2)).await, 3 * COIN);
}

#[tokio::test]
async fn a_way_back_whose_payment_got_no_answer_is_paid_once_and_goes_on() {
    for trouble in [Trouble::NotBooked, Trouble::BookedWithoutAnswer] {
        let world = unanswered(trouble).await;
        world.finish().await;
        assert_sent_back(&world).await;
    }
}

#[tokio::test]
async fn a_way_back_that_may_be_paid_can_only_be_given_up_by_undoing_it() {
    let world = unanswered(Trouble::BookedWithoutAnswer).await;
    let taken_back = world.record(1, Step::WithdrawBack).await;
    let again = NewCommand {
        key: taken_back.key,
        content: taken_back.content,
        progress: taken_back.progress,
    };
    let now = world.clock.now();
    let cancelled = world
        .commands
        .entomb(now, again, FailureCode::Cancelled, beyond_recall)
        .await;
    assert!(matches!(cancelled, Ok(Entombment::TooLate(_))), "{cancelled:?}");
    world.finish().await;
    assert_sent_back(&world).await;
}

#[tokio::test]
async fn a_compensation_that_repeats_another_withdrawal_is_refused_at_the_door() {
    let world = World::withdrawn().await;
    for other in [
        WithdrawCommand {
            amount: btc(COIN),
            ..withdrawal(1)
        },
        WithdrawCommand {
            acquirer_user_id: user(3),
            ..withdrawal(1)
        },
    ] {
        assert_eq!(world.submit(taken_back(other)).await, Submission::Conflict);
    }
    assert_eq!(world.commands.record(key(1, Step::WithdrawBack)).await.unwrap(), None);
    assert_eq!(world.ledger.balance(user(2)), 3 * COIN);
}

#[tokio::test]
async fn a_refused_withdrawal_has_nothing_to_take_back() {
    let world = World::new();
    world.manners.refuse_all(true);
    world.accept(withdrawal(1)).await;
    world.finish().await;
    world.accept(taken_back(withdrawal(1))).await;
    world.finish().await;
    assert_eq!(world.result(1, Step::WithdrawBack).await, Some(StepResult::Reversed));
    assert_eq!(world.ledger.count(), 0);
}

#[tokio::test]
async fn cancelling_races_with_signing_and_one_of_them_wins() {
    for round in 0..20 {
        let world = World::new();
        world.accept(withdrawal(1)).await;
        world.accept(taken_back(withdrawal(1))).await;
        let (forth, back) = (
            world.claim(key(1, Step::Withdraw)).await,
            world.claim(key(1, Step::WithdrawBack)).await,
        );
        if round % 2 == 0 {
            tokio::join!(world.handle(forth), world.handle(back));
        } else {
            tokio::join!(world.handle(back), world.handle(forth));
        }
        world.clock.advance(LEASE);
        world.finish().await;
        if world.record(1, Step::Withdraw).await.state == State::Done {
            assert_sent_back(&world).await;
        } else {
            assert_cancelled(&world).await;
        }
        assert_eq!(world.coins_of(UserId::HOT_WALLET).await, crate::world::GENESIS);
    }
}
