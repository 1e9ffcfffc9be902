//! Which problem answers which error.

use contracts::clients::ClientError;
use service_kit::problem::{Problem, ProblemCode};
use storage::StoreError;

use crate::use_cases::{AdjustError, OpenError, PostError, ReadStatementError, ReadWalletError};

const NO_WALLET: &str = "the user has no wallet";

pub(super) fn open_problem(error: OpenError) -> Problem {
    match error {
        OpenError::Store(error) => store_problem(error),
    }
}

pub(super) fn wallet_problem(error: ReadWalletError) -> Problem {
    match error {
        ReadWalletError::NoWallet => Problem::not_found(NO_WALLET),
        ReadWalletError::Store(error) => store_problem(error),
    }
}

pub(super) fn statement_problem(error: ReadStatementError) -> Problem {
    match error {
        ReadStatementError::NoWallet => Problem::not_found(NO_WALLET),
        ReadStatementError::Store(error) => store_problem(error),
    }
}

pub(super) fn post_problem(error: PostError) -> Problem {
    match error {
        PostError::Store(error) => store_problem(error),
    }
}

pub(super) fn adjust_problem(error: AdjustError) -> Problem {
    match error {
        AdjustError::NoWallet => Problem::not_found(NO_WALLET),
        AdjustError::InsufficientFunds(asset) => {
            Problem::new(ProblemCode::InsufficientFunds).with_detail(format!("the wallet has too little {asset}"))
        }
        AdjustError::KeyReused => Problem::new(ProblemCode::IdempotencyKeyReused),
        AdjustError::Invalid(detail) => Problem::invalid("", detail),
        AdjustError::Store(error) => store_problem(error),
    }
}

/// 503, with the time to wait.
fn store_problem(error: StoreError) -> Problem {
    ClientError::from(error).into()
}
