//! Every phase and every end of a transfer with every combination of its bookings: which are right.

use contracts::clients::WithdrawCommand;
use contracts::messages::FailureCode;
use contracts::{Amount, Asset, OrderId, UserId};
use jiff::Timestamp;
use storage::commands::CommandKey;

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

fn fact(movement: Movement, state: State, phase: Phase) -> WithdrawalFact {
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
        key: key_of(movement),
        withdrawal: Ok(Withdrawal {
            movement,
            state,
            result,
            phase,
        }),
    }
}

fn key_of(movement: Movement) -> CommandKey {
    let Movement { order_id, step, .. } = movement;
    CommandKey { order_id, step }
}

const OPEN: [State; 2] = [State::Open, State::Dead];

#[test]
fn each_payment_has_exactly_one_end_once_its_transfer_has_one_and_is_no_further_than_its_record_before() {
    // In the books: nothing, paid, paid and arrived, paid and given back; allowed where the record stands so.
    let table = [
        (&OPEN[..], Phase::Unsigned, [true, false, false, false]),
        (&OPEN, Phase::Paying, [true, true, false, false]),
        (&OPEN, Phase::Signed, [false, true, true, false]),
        (&OPEN, Phase::Confirmed, [false, true, true, false]),
        (&OPEN, Phase::Undoing, [true, true, false, true]),
        (&[State::Done], Phase::Signed, [false, false, true, false]),
        (&[State::Done], Phase::Confirmed, [false, false, true, false]),
        (&[State::Failed], Phase::Undoing, [true, false, false, true]),
        (&[State::Failed], Phase::Unsigned, [true, false, false, true]),
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
        for (states, phase, allowed) in table {
            for state in states {
                let facts = [fact(movement, *state, phase)];
                for (books, allowed) in books.iter().zip(allowed) {
                    let problems = problems(&posted(books), &facts);
                    assert_eq!(
                        problems.is_empty(),
                        allowed,
                        "{state:?} {phase:?} {books:?} {problems:?}"
                    );
                }
                // Never sound, wherever it stands.
                for books in [
                    vec![arrived.clone()],
                    vec![undone.clone()],
                    vec![paid.clone(), arrived.clone(), undone.clone()],
                ] {
                    let problems = problems(&posted(&books), &facts);
                    assert_ne!(problems, Vec::<String>::new(), "{state:?} {phase:?} {books:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_paid_and_has_no_end_is_in_transit_while_its_transfer_is_under_way() {
    let movement = movement(true);
    let (paid, arrived, undone) = (movement.payment(), movement.arrival(), movement.undoing());
    let open = [fact(movement, State::Open, Phase::Signed)];
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
    let ended = [fact(movement, State::Failed, Phase::Undoing)];
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
    let sound = Vec::<String>::new();
    let found = |books: &[PostedTransfer], state, phase| problems(books, &[fact(direct, state, phase)]);
    assert_eq!(found(&paid, State::Done, Phase::Signed), sound);
    for phase in [Phase::Paying, Phase::Signed, Phase::Confirmed] {
        // It may have signed first, to book then.
        assert_eq!(found(&[], State::Open, phase), sound, "{phase:?}");
        assert_eq!(found(&paid, State::Open, phase), sound, "{phase:?}");
        assert_ne!(found(&given_back, State::Open, phase), sound, "{phase:?}");
    }
    for books in [&[], &paid[..], &given_back] {
        assert_eq!(found(books, State::Open, Phase::Undoing), sound);
    }
    assert_eq!(found(&given_back, State::Failed, Phase::Undoing), sound);
    assert_eq!(
        found(&paid, State::Failed, Phase::Undoing),
        ["has a withdraw_back that is failed and is paid and arrived in the books"]
    );
}

#[test]
fn how_far_an_open_one_is_is_said_with_what_the_books_say() {
    let fact = fact(movement(true), State::Open, Phase::Signed);
    assert_eq!(
        problems(&[], &[fact]),
        ["has a withdraw_back that is open, signed, and is not there in the books"]
    );
}

#[test]
fn one_that_cannot_be_read_is_found_and_its_neighbours_are_looked_at() {
    let illegible = WithdrawalFact {
        key: key_of(movement(false)),
        withdrawal: Err("its command: expected value".to_owned()),
    };
    let open = fact(movement(true), State::Open, Phase::Paying);
    let books = posted(&[movement(true).payment()]);
    let facts = [illegible, open];
    assert_eq!(
        problems(&books, &facts),
        ["has a withdraw that cannot be read, its command: expected value"]
    );
    let nets = under_way(&books, &facts);
    assert_ne!(nets, Nets::default(), "the other one is in transit");
}

#[test]
fn a_payment_that_no_transfer_explains_is_found() {
    let books = posted(&[movement(true).payment()]);
    assert_eq!(
        problems(&books, &[]),
        ["has a leg withdraw_back_sent that no transfer on the chain explains"]
    );
}
