//! What customers pay goes through an account in transit: nobody's balance grows before the coins are there, whatever is
//! given up is given back whatever anybody has spent, and an operator reaches every step of it.

use std::time::Duration;

use bc_gateway::chain::simulated::{Manner, SimulatedChain};
use bc_gateway::domain::movement::{Movement, Passage};
use bc_gateway::domain::progress::Progress;
use bc_gateway::ports::{BroadcastAnswer, Chain as _, SignedTransfer, TransferDraft};
use contracts::clients::{Balance as _, WithdrawCommand};
use contracts::ledger::{Leg, Owner};
use contracts::messages::{FailureCode, Step, StepResult};
use contracts::operators::{ChainVerdict, Instruction, Retried, RulingOutcome};
use contracts::{Clock as _, UserId};
use storage::commands::{Settlement, State};

use crate::compensate::{assert_sent_back, unanswered};
use crate::ledger::Trouble;
use crate::rulings::{RECORDED, rule_on};
use crate::world::{COIN, World, btc, key, onward, order, purpose, taken_back, user, withdrawal};

/// User 2 has 3 BTC by order 9, and order 1 sends them to user 3; its first payment went so.
pub(crate) async fn sending(trouble: Option<Trouble>) -> World {
    let world = World::new();
    world.accept(withdrawal(9)).await;
    world.finish().await;
    world.accept(onward(1)).await;
    world.ledger.fail_next(trouble);
    if trouble.is_some() {
        world.try_all().await;
    }
    world
}

/// Order 1 has 3 BTC of user 2 to send: on to user 3, or back.
async fn asked_for(step: Step) -> World {
    if step == Step::Withdraw {
        return sending(None).await;
    }
    let world = World::withdrawn().await;
    world.accept(taken_back(withdrawal(1))).await;
    world
}

pub(crate) fn balances(world: &World) -> (i128, i128) {
    (world.ledger.balance(user(2)), world.ledger.balance(user(3)))
}

pub(crate) async fn assert_refused(world: &World, step: Step) {
    let result = world.result(1, step).await;
    let refused = FailureCode::WithdrawalRefused;
    assert!(
        matches!(result, Some(StepResult::Failure { code, .. }) if code == refused),
        "{step}: {result:?}"
    );
    assert_eq!(world.ledger.in_transit(), 0);
    world.assert_coins_conserved().await;
}

/// Lets the answer be missing for so long that it is reported.
pub(crate) async fn wait_for_doubt(world: &World, step: Step) {
    for _ in 0..30 {
        world.clock.advance(Duration::from_secs(7));
        world.try_all().await;
    }
    let standing = world.commands.standing(key(1, step)).await.unwrap().unwrap();
    assert!(standing.is_in_doubt(), "{standing:?}");
}

#[tokio::test]
async fn a_receiver_is_credited_when_the_coins_are_there_and_not_before() {
    let world = sending(Some(Trouble::BookedWithoutAnswer)).await;
    assert_eq!((balances(&world), world.ledger.in_transit()), ((0, 0), 3 * COIN));
    world.manners.next_broadcasts(
        purpose(1, Step::Withdraw),
        [Manner::LateConfirmation(Duration::from_secs(60))],
    );
    world.clock.advance(Duration::from_secs(30));
    world.try_all().await;
    assert_eq!(balances(&world), (0, 0), "signed, sent, and not confirmed");
    world.finish().await;
    assert_eq!((balances(&world), world.ledger.in_transit()), ((0, 3 * COIN), 0));
    for (leg, debit, credit) in [
        (Leg::WithdrawSent, Owner::User(user(2)), Owner::ExternalChain),
        (Leg::Withdraw, Owner::ExternalChain, Owner::User(user(3))),
    ] {
        let booked = world.ledger.booked(1, leg).unwrap();
        assert_eq!((booked.debit, booked.credit), (debit, credit));
    }
}

#[tokio::test]
async fn what_is_given_up_needs_nothing_of_a_receiver_who_spends_all_they_have() {
    let world = sending(Some(Trouble::BookedWithoutAnswer)).await;
    world.ledger.change(user(3), -world.ledger.balance(user(3)));
    world.manners.refuse_all(true);
    world.finish().await;
    assert_refused(&world, Step::Withdraw).await;
    assert_eq!(balances(&world), (3 * COIN, 0));
}

#[tokio::test]
async fn what_is_sent_on_can_be_taken_back_and_both_have_bookings_of_their_own() {
    let world = sending(None).await;
    world.finish().await;
    world.accept(taken_back(onward(1))).await;
    world.finish().await;
    assert_eq!((balances(&world), world.ledger.in_transit()), ((3 * COIN, 0), 0));
    assert_eq!(world.coins_of(user(2)).await, 3 * COIN);
    for leg in [
        Leg::WithdrawSent,
        Leg::Withdraw,
        Leg::WithdrawBackSent,
        Leg::WithdrawBack,
    ] {
        assert!(world.ledger.booked(1, leg).is_some(), "{leg}");
    }
    assert_eq!(world.ledger.count(), 5);
}

#[tokio::test]
async fn somebody_without_a_wallet_neither_sends_nor_receives_and_nobody_waits_for_them() {
    for stranger in [user(2), user(3)] {
        let world = sending(None).await;
        world.ledger.without_wallet(stranger);
        world.finish().await;
        assert_refused(&world, Step::Withdraw).await;
        assert_eq!((balances(&world), world.ledger.count()), ((3 * COIN, 0), 1));
    }
}

#[tokio::test]
async fn coins_that_are_paid_for_and_not_signed_yet_are_not_swept() {
    let world = unanswered(Trouble::BookedWithoutAnswer).await;
    assert_eq!(
        (world.ledger.balance(user(2)), world.coins_of(user(2)).await),
        (0, 3 * COIN)
    );
    assert_eq!(world.service.coin_sweep().round().await.unwrap().begun, 0);
    world.finish().await;
    assert_sent_back(&world).await;
}

#[tokio::test]
async fn coins_that_are_reserved_for_one_are_missing_for_the_next_until_it_is_given_up() {
    let world = sending(Some(Trouble::BookedWithoutAnswer)).await;
    // The balance would do for both, the coins do not.
    world.ledger.change(user(2), 3 * COIN);
    world.accept(onward(2)).await;
    world.handle(world.claim(key(2, Step::Withdraw)).await).await;
    assert_eq!(world.record(2, Step::Withdraw).await.state, State::Failed);
    world.manners.refuse_all(true);
    world.finish().await;
    assert_refused(&world, Step::Withdraw).await;
    world.manners.refuse_all(false);
    world.accept(onward(3)).await;
    world.finish().await;
    assert_eq!(world.record(3, Step::Withdraw).await.state, State::Done);
    assert_eq!((balances(&world), world.ledger.in_transit()), ((3 * COIN, 3 * COIN), 0));
}

/// Order 1's bytes are signed, never arrive, and another transfer takes their nonce for good.
async fn replaced(step: Step) -> World {
    let world = asked_for(step).await;
    world.manners.otherwise(Manner::LostBroadcast);
    world.try_all().await;
    wait_for_doubt(&world, step).await;
    world.manners.otherwise(Manner::Confirm);
    let draft = TransferDraft {
        from: world.service.address(user(2)),
        to: world.service.address(user(4)),
        amount: btc(COIN),
        purpose: purpose(99, Step::Withdraw),
    };
    let keys = world.custody.keys(SimulatedChain::NAME, user(2));
    let rival = world.chain.sign(&keys, &draft, 0);
    assert_eq!(world.chain.broadcast(&rival).await, BroadcastAnswer::Taken);
    world
}

#[tokio::test]
async fn a_signed_transfer_that_never_confirms_gives_back_what_was_paid_before_it_ends() {
    for step in [Step::Withdraw, Step::WithdrawBack] {
        let world = replaced(step).await;
        assert_eq!(
            (world.ledger.balance(user(2)), world.ledger.in_transit()),
            (0, 3 * COIN)
        );
        let gateway = world.service.client();
        let outcome = rule_on(gateway.as_ref(), step, ChainVerdict::NeverConfirms {}).await;
        assert_eq!(outcome, RECORDED, "{step}");
        // Not ended before the payment is given back, and the bytes are kept.
        world.ledger.fail_next([Trouble::NotBooked]);
        world.try_all().await;
        let record = world.record(1, step).await;
        let progress = Progress::from_json(&record.progress).unwrap();
        let hash = gateway.view(order(1), step).await.unwrap().unwrap().attempt;
        assert_eq!(
            (record.state, progress.signed().map(|signed| signed.hash.clone())),
            (State::Open, hash)
        );
        assert!(progress.signed().is_some());
        world.finish().await;
        assert_refused(&world, step).await;
        assert_eq!(world.ledger.balance(user(2)), 3 * COIN);
        let again = rule_on(gateway.as_ref(), step, ChainVerdict::NeverConfirms {}).await;
        assert_eq!(again, RulingOutcome::Recorded { replayed: true });
        world.finish().await;
        assert_eq!(
            (world.ledger.balance(user(2)), world.ledger.balance(user(3))),
            (3 * COIN, 0)
        );
    }
}

#[tokio::test]
async fn a_signed_transfer_that_may_still_confirm_is_not_given_up_and_arrives() {
    for step in [Step::Withdraw, Step::WithdrawBack] {
        let world = asked_for(step).await;
        world.manners.otherwise(Manner::LostBroadcast);
        wait_for_doubt(&world, step).await;
        let outcome = rule_on(world.service.client().as_ref(), step, ChainVerdict::NeverConfirms {}).await;
        assert!(matches!(outcome, RulingOutcome::Contradicted { .. }), "{outcome:?}");
        world.manners.otherwise(Manner::Confirm);
        world.finish().await;
        assert_eq!((world.confirmed(1, step).await, world.ledger.in_transit()), (1, 0));
    }
}

#[tokio::test]
async fn what_is_paid_and_cannot_be_signed_is_given_back_on_an_operators_word() {
    let world = sending(Some(Trouble::BookedWithoutAnswer)).await;
    world.manners.silence(true);
    wait_for_doubt(&world, Step::Withdraw).await;
    assert_eq!(balances(&world), (0, 0));
    let gateway = world.service.client();
    let outcome = rule_on(gateway.as_ref(), Step::Withdraw, ChainVerdict::NeverConfirms {}).await;
    assert_eq!(outcome, RECORDED);
    world.finish().await;
    assert_refused(&world, Step::Withdraw).await;
    assert_eq!(world.transfers.transfer(key(1, Step::Withdraw)).await, Ok(None));
    assert_eq!(balances(&world), (3 * COIN, 0));
}

#[tokio::test]
async fn an_operator_sees_and_retries_a_way_back_that_is_dead() {
    let world = unanswered(Trouble::NotBooked).await;
    let step = Step::WithdrawBack;
    world.clock.advance(Duration::from_secs(60));
    let claimed = world.claim(key(1, step)).await;
    let dead = Settlement::Dead {
        error: "nobody knows".into(),
    };
    let settled = vec![(claimed.key, claimed.epoch, dead)];
    world.commands.settle(world.clock.now(), settled).await.unwrap();
    let gateway = world.service.client();
    let view = gateway.view(order(1), step).await.unwrap().unwrap();
    assert_eq!((view.step, view.state.as_str()), (step, "dead"));
    let instruction = Instruction {
        operator: "operator:ann".into(),
        reason: "looked at it".into(),
    };
    let retried = gateway.retry(order(1), step, instruction.clone()).await.unwrap();
    assert_eq!(retried, Retried::Reopened);
    world.finish().await;
    assert_sent_back(&world).await;
    assert_eq!(
        gateway.retry(order(2), step, instruction).await.unwrap(),
        Retried::Unknown
    );
    assert_eq!(gateway.view(order(2), step).await.unwrap(), None);
}

/// As an earlier program left it: paid straight to the receiver, and nothing reserved.
async fn begun_by_an_earlier_program(progress: &Progress, booked: bool) -> World {
    let world = sending(None).await;
    let claimed = world.claim(key(1, Step::Withdraw)).await;
    let stored = world
        .commands
        .checkpoint(world.clock.now(), claimed.key, claimed.epoch, progress.to_json());
    stored.await.unwrap();
    if booked {
        let movement = Movement {
            passage: Passage::Direct,
            ..Movement::of(&onward(1))
        };
        world.ledger.post(vec![movement.payment()]).await.unwrap();
    }
    world.reborn()
}

#[tokio::test]
async fn what_an_earlier_program_had_paid_straight_to_the_receiver_is_not_paid_again() {
    for booked in [true, false] {
        let world = begun_by_an_earlier_program(&Progress::Paying, booked).await;
        world.finish().await;
        assert_eq!((balances(&world), world.ledger.in_transit()), ((0, 3 * COIN), 0));
        assert_eq!((world.ledger.count(), world.confirmed(1, Step::Withdraw).await), (2, 1));
        let given_up = Progress::Undoing {
            reason: "refused".into(),
            signed: None,
        };
        let world = begun_by_an_earlier_program(&given_up, booked).await;
        world.finish().await;
        assert_refused(&world, Step::Withdraw).await;
        assert_eq!(world.ledger.balance(user(2)), 3 * COIN);
    }
}

#[tokio::test]
async fn what_an_earlier_program_signed_unpaid_and_is_given_up_ends_though_its_receiver_has_nothing() {
    let given_up = Progress::Undoing {
        reason: "its nonce is another's".into(),
        signed: Some(SignedTransfer {
            nonce: 0,
            hash: "never sent".into(),
            bytes: vec![1],
        }),
    };
    let world = begun_by_an_earlier_program(&given_up, false).await;
    // Nor has its payer for now: then it waits.
    world.ledger.change(user(2), -3 * COIN);
    assert_eq!(world.work_for(3).await, 1);
    assert_eq!((balances(&world), world.ledger.count()), ((0, 0), 1));
    world.ledger.change(user(2), 3 * COIN);
    world.finish().await;
    assert_refused(&world, Step::Withdraw).await;
    assert_eq!(balances(&world), (3 * COIN, 0));
    // A payment that was on its way all the time changes nothing any more.
    let movement = Movement {
        passage: Passage::Direct,
        ..Movement::of(&onward(1))
    };
    world.ledger.post(vec![movement.payment()]).await.unwrap();
    assert_eq!(balances(&world), (3 * COIN, 0));
}

#[test]
fn what_was_begun_without_a_reservation_goes_directly_as_earlier_programs_had_it() {
    use bc_gateway::domain::progress::Phase;
    let (customers, houses) = (Movement::of(&onward(1)), Movement::of(&withdrawal(1)));
    let passage = |movement: Movement, phase, reserved| movement.as_begun(phase, reserved).passage;
    for phase in [Phase::Paying, Phase::Undoing, Phase::Signed, Phase::Confirmed] {
        assert_eq!(passage(customers, phase, true), Passage::InTransit);
        assert_eq!(passage(customers, phase, false), Passage::Direct);
    }
    assert_eq!(passage(customers, Phase::Unsigned, false), Passage::InTransit);
    assert_eq!(passage(houses, Phase::Signed, false), Passage::Direct);
}

#[tokio::test]
async fn nobody_but_a_customer_pays_before_it_is_signed() {
    let command = |from, to| WithdrawCommand {
        source_user_id: from,
        acquirer_user_id: to,
        ..withdrawal(1)
    };
    for (command, prepaid) in [
        (command(UserId::HOT_WALLET, user(2)), false),
        (command(user(2), UserId::HOT_WALLET), true),
        (command(user(2), user(3)), true),
    ] {
        let movement = Movement::of(&command);
        assert_eq!(movement.is_prepaid(), prepaid);
        assert_eq!(movement.payment() == movement.arrival(), !prepaid);
    }
}
