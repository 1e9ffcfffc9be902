//! Booking a batch of postings for another service or an operator.

use contracts::Clock;
use contracts::ledger::{MAX_POSTINGS, Origin, Posting, PostingOutcome, Refusal};
use storage::StoreError;
use thiserror::Error;

use crate::domain::check;
use crate::ports::LedgerStore;

/// Why there are no outcomes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PostError {
    /// The books do not answer; whether anything was booked is unknown. Ask again with the same content.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whose name stands under a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer<'a> {
    /// A service says itself for whom it books.
    Service,
    /// An operator books under this name only (`operator:ann`), so that nobody else's stands in the audit log.
    Operator(&'a str),
}

/// When a caller is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// When what was booked is on disk.
    OnDisk,
    /// As soon as nothing that the caller stores from now on can be on disk without it ([`LedgerStore::post_ahead`]).
    Ahead,
}

/// Books postings in one transaction; `outcomes[i]` answers `postings[i]`, and one's refusal undoes no other.
///
/// Bounds: at most [`MAX_POSTINGS`] in a call (else nothing is booked and every outcome says so), each as
/// [`crate::domain::check`] wants it. Adjustments and the funding have their own verbs, which give them their numbers.
///
/// # Errors
/// [`PostError::Store`].
pub async fn post_transfers(
    ledger: &dyn LedgerStore,
    clock: &dyn Clock,
    signer: Signer<'_>,
    reply: Reply,
    postings: Vec<Posting>,
) -> Result<Vec<PostingOutcome>, PostError> {
    if postings.len() > MAX_POSTINGS {
        let refusal = invalid(&format!("a call carries at most {MAX_POSTINGS} postings"));
        return Ok(vec![PostingOutcome::Refused { refusal }; postings.len()]);
    }
    let mut admitted = Vec::with_capacity(postings.len());
    let mut refusals = Vec::with_capacity(postings.len());
    for posting in postings {
        match admit(&posting, signer) {
            Ok(()) => {
                admitted.push(posting);
                refusals.push(None);
            }
            Err(refusal) => refusals.push(Some(refusal)),
        }
    }
    if admitted.is_empty() {
        return merge(refusals, Vec::new());
    }
    let outcomes = match reply {
        Reply::OnDisk => ledger.post(clock.now(), admitted).await?,
        Reply::Ahead => ledger.post_ahead(clock.now(), admitted).await?,
    };
    merge(refusals, outcomes)
}

/// Whether the books need to be asked at all.
fn admit(posting: &Posting, signer: Signer<'_>) -> Result<(), Refusal> {
    check(posting)?;
    for transfer in &posting.transfers {
        match transfer.id.origin {
            Origin::Order(_) | Origin::Deposit(_) => {}
            Origin::Adjustment(_) | Origin::Funding => {
                return Err(invalid(
                    "adjustments and the funding are numbered and booked by the ledger itself",
                ));
            }
        }
        match signer {
            Signer::Service => {}
            Signer::Operator(name) if transfer.actor == name => {}
            Signer::Operator(_) => return Err(invalid("an operator books under their own name")),
        }
    }
    Ok(())
}

/// Puts the store's outcomes where nothing was refused beforehand.
fn merge(refusals: Vec<Option<Refusal>>, outcomes: Vec<PostingOutcome>) -> Result<Vec<PostingOutcome>, PostError> {
    let mut outcomes = outcomes.into_iter();
    let merged = refusals.into_iter().map(|refusal| match refusal {
        Some(refusal) => Ok(PostingOutcome::Refused { refusal }),
        None => outcomes
            .next()
            .ok_or_else(|| StoreError::Unavailable("the store left a posting unanswered".to_owned()).into()),
    });
    merged.collect()
}

fn invalid(detail: &str) -> Refusal {
    Refusal::Invalid {
        detail: detail.to_owned(),
    }
}
