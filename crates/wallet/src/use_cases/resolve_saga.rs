//! Records what an operator established about an attempt, in the service that made it. The saga moves by the result that
//! this service then publishes, never by its answer.

use contracts::clients::ClientError;
use contracts::operators::{ChainRuling, RulingOutcome, VenueRuling};
use thiserror::Error;

use super::Wallet;

/// A ruling, by whom it is for.
pub(crate) enum Ruling {
    Venue(VenueRuling),
    Chain(ChainRuling),
}

/// Why nothing was recorded.
#[derive(Debug, Error)]
pub(crate) enum ResolveError {
    #[error("there is no such attempt")]
    NoSuchStep,
    #[error("{0}")]
    Contradicted(String),
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// Hands the ruling over. Whether it had been recorded before.
pub(crate) async fn resolve_saga(wallet: &Wallet, ruling: Ruling) -> Result<bool, ResolveError> {
    let outcome = match ruling {
        Ruling::Venue(ruling) => wallet.ports.exchanger.rule(ruling).await?,
        Ruling::Chain(ruling) => wallet.ports.bc_gateway.rule(ruling).await?,
    };
    match outcome {
        RulingOutcome::Recorded { replayed } => Ok(replayed),
        RulingOutcome::Contradicted { detail } => Err(ResolveError::Contradicted(detail)),
        RulingOutcome::Invalid { detail } => Err(ResolveError::Invalid(detail)),
        RulingOutcome::Unknown => Err(ResolveError::NoSuchStep),
    }
}
