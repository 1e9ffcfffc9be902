//! What a posting must look like before anybody looks at the books.

use std::collections::HashSet;

use contracts::UserId;
use contracts::ledger::{MAX_LINKED, MAX_REASON, Origin, Owner, Posting, Refusal, Transfer};

/// The longest actor, in bytes.
pub const MAX_ACTOR: usize = 64;

/// Whether a posting makes sense by itself: 1 … [`MAX_LINKED`] transfers of different ids, each of a positive amount
/// between two different owners that have a name, with a reason and an actor of bounded length.
///
/// # Errors
/// [`Refusal::Invalid`], saying what is wrong. It holds nothing the caller sent, so its length is bounded.
pub fn check(posting: &Posting) -> Result<(), Refusal> {
    let transfers = &posting.transfers;
    if transfers.is_empty() {
        return Err(invalid("it has no transfers"));
    }
    if transfers.len() > MAX_LINKED {
        return Err(invalid(format!("it links more than {MAX_LINKED} transfers")));
    }
    if transfers.len() > 1 {
        let mut ids = HashSet::with_capacity(transfers.len());
        if !transfers.iter().all(|transfer| ids.insert(transfer.id)) {
            return Err(invalid("two of its transfers have one id"));
        }
    }
    transfers.iter().try_for_each(check_transfer)
}

fn check_transfer(transfer: &Transfer) -> Result<(), Refusal> {
    if !transfer.amount.is_positive() {
        return Err(invalid("an amount is not greater than zero"));
    }
    if transfer.debit == transfer.credit {
        return Err(invalid("debit and credit are one account"));
    }
    if !(has_a_name(&transfer.debit) && has_a_name(&transfer.credit)) {
        return Err(invalid("an owner's name is none"));
    }
    let (kind, number) = transfer.id.origin.parts();
    if Origin::from_parts(kind, number).is_none() {
        return Err(invalid("an origin's number is none"));
    }
    if transfer.reason.len() > MAX_REASON {
        return Err(invalid(format!("a reason is longer than {MAX_REASON} bytes")));
    }
    if transfer.actor.len() > MAX_ACTOR {
        return Err(invalid(format!("an actor is longer than {MAX_ACTOR} bytes")));
    }
    Ok(())
}

/// Whether the owner's text leads back to it: in the books every account has exactly one name.
fn has_a_name(owner: &Owner) -> bool {
    match owner {
        Owner::User(id) => *id != UserId::HOT_WALLET,
        Owner::Venue(_) => owner.to_string().parse().as_ref() == Ok(owner),
        Owner::HotWallet
        | Owner::ExternalBank
        | Owner::ExternalChain
        | Owner::Treasury
        | Owner::Fees
        | Owner::Rounding => true,
    }
}

pub(super) fn invalid(detail: impl Into<String>) -> Refusal {
    Refusal::Invalid { detail: detail.into() }
}
