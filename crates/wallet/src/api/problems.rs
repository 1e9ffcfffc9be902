//! From a verb's error to the problem that a client reads.

use contracts::clients::ClientError;
use service_kit::problem::{Problem, ProblemCode};
use storage::StoreError;

use crate::domain::InvalidTerms;
use crate::use_cases::deposit::DepositError;
use crate::use_cases::place_order::PlaceOrderError;
use crate::use_cases::resolve_saga::ResolveError;

pub(super) fn invalid(error: InvalidTerms) -> Problem {
    Problem::invalid(format!("/{}", error.field), error.detail)
}

pub(super) fn store(error: StoreError) -> Problem {
    ClientError::from(error).into()
}

pub(super) fn no_wallet() -> Problem {
    Problem::not_found("the user has no wallet; open one with POST /wallet/{user_id}")
}

pub(super) fn no_order() -> Problem {
    Problem::not_found("the user has no such order")
}

pub(super) fn no_saga() -> Problem {
    Problem::not_found("there is no such order")
}

/// The kinds of [`ResolveError`] that say what speaks against an operator's word.
pub(super) fn resolve(error: ResolveError) -> Problem {
    match error {
        ResolveError::NoSuchStep => Problem::not_found("no such attempt was ever made for this order"),
        ResolveError::Contradicted(detail) => Problem::new(ProblemCode::Conflict).with_detail(detail),
        ResolveError::Invalid(detail) => Problem::invalid("", detail),
        ResolveError::Client(error) => error.into(),
    }
}

pub(super) fn place_order(error: PlaceOrderError) -> Problem {
    match error {
        PlaceOrderError::NoWallet => no_wallet(),
        PlaceOrderError::Frozen => Problem::new(ProblemCode::UserFrozen),
        PlaceOrderError::KeyReused => Problem::new(ProblemCode::IdempotencyKeyReused),
        PlaceOrderError::ReferenceTaken(id) => Problem::new(ProblemCode::Conflict)
            .with_detail("an order of this user has this client_reference already: the same one, if an earlier request got no clear answer")
            .with_extension("order_id", id.get()),
        PlaceOrderError::Store(error) => store(error),
        PlaceOrderError::Client(error) => error.into(),
    }
}

pub(super) fn deposit(error: DepositError) -> Problem {
    match error {
        DepositError::NoWallet => no_wallet(),
        DepositError::Frozen => Problem::new(ProblemCode::UserFrozen),
        DepositError::KeyReused => Problem::new(ProblemCode::IdempotencyKeyReused),
        DepositError::ReferenceTaken(id) => Problem::new(ProblemCode::Conflict)
            .with_detail("a deposit of this user has this reference already: the same one, if an earlier request got no clear answer")
            .with_extension("deposit_id", id.get()),
        DepositError::Store(error) => store(error),
        DepositError::Client(error) => error.into(),
    }
}

/// [`deposit`], as operators read it: nothing was booked, and they have to know which of their payments that is.
pub(super) fn booking(error: DepositError) -> Problem {
    let taken = matches!(error, DepositError::ReferenceTaken(_));
    let problem = deposit(error);
    if taken {
        problem.with_detail(
            "not booked: the user has another deposit of this reference, of another amount or one that they made \
             themselves; look at it, and book this payment under another reference if it is not the same money",
        )
    } else {
        problem
    }
}
