//! Every end of a transfer with every combination of its bookings: one each is right.

use contracts::clients::WithdrawCommand;
use contracts::messages::FailureCode;
use contracts::{Amount, Asset, OrderId, UserId};
use jiff::Timestamp;

use super::*;

fn movement(compensate: bool) -> Movement {
    let user = |number| UserId::try_new(number).unwrap();
    Movement::of(&WithdrawCommand {
        order_id: OrderId::FIRST,
        source_user_id: if compensate { UserId::HOT_WALLET } else { user(2) },
        acquirer_user_id: if compensate { user(2) } else { user(3) },
        amount: Amount::new(5, Asset::BTC),
        compensate,
    })
}

fn posted(postings: &[Posting]) -> Vec<PostedTransfer> {
    let transfers = postings.iter().flat_map(|posting| posting.transfers.clone());
    transfers
        .map(|transfer| PostedTransfer {
            entry_id: 1,
            debit_balance_after: transfer.amount,
            credit_balance_after: transfer.amount,
            posted_at: Timestamp::UNIX_EPOCH,
            transfer,
        })
        .collect()
}

fn fact(movement: Movement, state: State, begun: bool) -> WithdrawalFact {
    let result = match state {
        State::Done => Some(StepResult::Transferred {
            transaction: "t".to_owned(),
        }),
        State::Failed => Some(StepResult::Failure {
            code: FailureCode::WithdrawalRefused,
            detail: String::new(),
        }),
        State::Open | State::Dead => None,
    };
    WithdrawalFact {
        movement,
        state,
        result,
        begun,
    }
}

#[test]
fn each_payment_has_exactly_one_end_once_its_transfer_has_one_and_none_comes_unpaid() {
    // In the books: nothing, paid, paid and arrived, paid and given back; allowed where the record stands so.
    let table = [
        (State::Open, false, [true, false, false, false]),
        (State::Open, true, [true, true, true, true]),
        (State::Dead, true, [true, true, true, true]),
        (State::Done, true, [false, false, true, false]),
        (State::Failed, true, [true, false, false, true]),
    ];
    for compensate in [false, true] {
        let movement = movement(compensate);
        let (paid, arrived, undone) = (movement.payment(), movement.arrival(), movement.undoing());
        let books = [
            vec![],
            vec![paid.clone()],
            vec![paid.clone(), arrived.clone()],
            vec![paid.clone(), undone.clone()],
        ];
        for (state, begun, allowed) in table {
            let facts = [fact(movement, state, begun)];
            for (books, allowed) in books.iter().zip(allowed) {
                let problems = problems(&posted(books), &facts);
                assert_eq!(problems.is_empty(), allowed, "{state:?} {begun} {books:?} {problems:?}");
            }
            // Never sound, wherever it stands.
            for books in [
                vec![arrived.clone()],
                vec![undone.clone()],
                vec![paid.clone(), arrived.clone(), undone.clone()],
            ] {
                assert_ne!(
                    problems(&posted(&books), &facts),
                    Vec::<String>::new(),
                    "{state:?} {books:?}"
                );
            }
        }
    }
}

#[test]
fn what_is_paid_and_has_no_end_is_in_transit_while_its_transfer_is_under_way() {
    let movement = movement(true);
    let (paid, arrived, undone) = (movement.payment(), movement.arrival(), movement.undoing());
    let open = [fact(movement, State::Open, true)];
    let in_transit = |books: &[Posting]| {
        let nets = under_way(&posted(books), &open);
        let of_transit = nets
            .iter()
            .find(|(owner, _)| **owner == contracts::ledger::Owner::ExternalChain);
        of_transit.map_or(0, |(_, amount)| amount.units())
    };
    assert_eq!(in_transit(&[]), 0);
    assert_eq!(in_transit(std::slice::from_ref(&paid)), 5);
    assert_eq!(in_transit(&[paid.clone(), arrived]), 0);
    assert_eq!(in_transit(&[paid.clone(), undone]), 0);
    let ended = [fact(movement, State::Failed, true)];
    assert_eq!(under_way(&posted(&[paid]), &ended), Nets::default());
}

#[test]
fn what_an_earlier_program_booked_straight_to_the_receiver_is_explained() {
    let direct = Movement {
        passage: Passage::Direct,
        ..movement(true)
    };
    let paid = posted(&[direct.payment()]);
    let given_back = posted(&[direct.payment(), direct.undoing()]);
    let fact = |state| [fact(movement(true), state, true)];
    assert_eq!(problems(&paid, &fact(State::Done)), Vec::<String>::new());
    assert_eq!(problems(&paid, &fact(State::Open)), Vec::<String>::new());
    assert_eq!(problems(&given_back, &fact(State::Failed)), Vec::<String>::new());
    assert_eq!(
        problems(&paid, &fact(State::Failed)),
        ["has a withdraw_back that is failed and is paid and arrived in the books"]
    );
}

#[test]
fn a_payment_that_no_transfer_explains_is_found() {
    let books = posted(&[movement(true).payment()]);
    assert_eq!(
        problems(&books, &[]),
        ["has a leg withdraw_back_sent that no transfer on the chain explains"]
    );
}
