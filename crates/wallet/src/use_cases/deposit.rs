//! Books a deposit: first a row, then the ledger.

use contracts::clients::ClientError;
use contracts::operators::Instruction;
use contracts::{Amount, DepositId, UserId};
use storage::StoreError;
use thiserror::Error;
use tokio::time::Instant;

use super::Wallet;
use super::carry::carry;
use crate::domain::effects::deposit_posting;
use crate::domain::{Command, Deposit, DepositStatus};
use crate::ports::{Idempotency, NewDeposit, Placement, Undecided};

/// A request to deposit.
pub(crate) struct MakeDeposit {
    pub(crate) user_id: UserId,
    pub(crate) amount: Amount,
    /// What the payment is called; made up if it has no name.
    pub(crate) reference: Option<String>,
    pub(crate) idempotency: Option<Idempotency>,
    /// Of one that an operator books.
    pub(crate) instruction: Option<Instruction>,
}

/// A stored deposit.
pub(crate) struct Deposited {
    pub(crate) deposit: Deposit,
    /// Whether an earlier request had stored it.
    pub(crate) replayed: bool,
}

/// Why there is no deposit.
#[derive(Debug, Error)]
pub(crate) enum DepositError {
    #[error("the user has no wallet")]
    NoWallet,
    #[error("the user is frozen")]
    Frozen,
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("deposit {0} has this reference")]
    ReferenceTaken(DepositId),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Stores a deposit and waits a little for its booking. Idempotent by key, and of an operator's by its reference; what is
/// not booked yet will be, by itself. A repetition tells how far it is by now. Users who are frozen make none; what an
/// operator books arrives all the same.
pub(crate) async fn deposit(wallet: &Wallet, request: MakeDeposit) -> Result<Deposited, DepositError> {
    if !wallet.has_wallet(request.user_id).await? {
        return Err(DepositError::NoWallet);
    }
    let reference = request.reference.unwrap_or_else(|| wallet.ports.entropy.next_id());
    let new = NewDeposit {
        user_id: request.user_id,
        amount: request.amount,
        reference,
        idempotency: request.idempotency,
        instruction: request.instruction,
    };
    let (mut seat, mut registration) = wallet.bookings.seat();
    let announce = Box::new(move |undecided: Undecided<DepositId>| registration.register(undecided.id));
    let placements = wallet
        .ports
        .deposits
        .create_deposits(wallet.now(), wallet.first_due(), vec![new], announce)
        .await?;
    let (mut deposit, replayed) = match placements.into_iter().next() {
        Some(Placement::Created(deposit)) => (deposit, false),
        Some(Placement::Replayed(deposit)) => (deposit, true),
        Some(Placement::Frozen) => return Err(DepositError::Frozen),
        Some(Placement::KeyReused) => return Err(DepositError::KeyReused),
        Some(Placement::ReferenceTaken(id)) => return Err(DepositError::ReferenceTaken(id)),
        None => return Err(StoreError::Unavailable("the store did not answer for the deposit".to_owned()).into()),
    };
    if deposit.status == DepositStatus::Pending {
        let deadline = Instant::now() + wallet.ports.settings.hold_wait;
        if replayed {
            // The first request may have died before the ledger was asked.
            let posting = Command::Post(deposit_posting(&deposit));
            let _ = tokio::time::timeout_at(deadline, carry(wallet, vec![posting])).await;
        }
        if seat.wait(deadline).await.is_some() {
            deposit.status = DepositStatus::Booked;
        }
    }
    Ok(Deposited { deposit, replayed })
}
