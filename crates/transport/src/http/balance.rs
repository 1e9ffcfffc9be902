//! The ledger over HTTP.

use async_trait::async_trait;
use contracts::clients::{Balance, ClientError, Opened, WalletBalances};
use contracts::ledger::{MAX_POSTINGS, Origin, Posting, PostingOutcome, Refusal, StatementLine};
use contracts::{OrderId, UserId};
use serde::Deserialize;

use super::batch;
use super::failure::{Answer, Unreadable};
use super::peer::{Peer, Request};
use super::retry::Repeat;

/// The most lines of a page.
const MAX_LINES: usize = 100;

/// [`Balance`] at a peer.
#[derive(Debug, Clone)]
pub struct HttpBalance(pub Peer);

#[derive(Deserialize)]
struct Page {
    items: Vec<StatementLine>,
}

#[async_trait]
impl Balance for HttpBalance {
    /// Repeated only where nothing was done: opening twice does no harm, but the second answer (there already) would be wrong
    /// about the first request.
    async fn open_wallet(&self, user: UserId) -> Result<Opened, ClientError> {
        let request = Request::post(format!("/wallet/{user}"), None, Repeat::IfNothingWasDone);
        let read = |answer: Answer<'_>| match answer {
            Answer::Success(201, _) => Ok(Opened::Now),
            Answer::AlreadyExists => Ok(Opened::Before),
            other @ (Answer::Success(..) | Answer::NotFound | Answer::Invalid(_)) => {
                Err(Unreadable::unexpected(&other))
            }
        };
        self.0.call(&request, self.0.deadline(), read).await
    }

    /// Repeated after any failure: it only looks.
    async fn wallet(&self, user: UserId) -> Result<Option<WalletBalances>, ClientError> {
        let request = Request::get(format!("/wallet/{user}"));
        let read = |answer: Answer<'_>| match answer {
            Answer::Success(_, body) => {
                let wallet: WalletBalances = serde_json::from_slice(body)?;
                if wallet.user_id == user {
                    Ok(Some(wallet))
                } else {
                    Err(Unreadable(format!(
                        "the wallet of {} instead of {user}'s",
                        wallet.user_id
                    )))
                }
            }
            Answer::NotFound => Ok(None),
            other @ (Answer::AlreadyExists | Answer::Invalid(_)) => Err(Unreadable::unexpected(&other)),
        };
        self.0.call(&request, self.0.deadline(), read).await
    }

    /// Repeated after any failure: it only looks.
    async fn statement(
        &self,
        user: UserId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Option<Vec<StatementLine>>, ClientError> {
        let limit = limit.clamp(1, MAX_LINES);
        let cursor = before.map(|before| format!("&cursor={before}")).unwrap_or_default();
        let request = Request::get(format!("/wallet/{user}/transactions?limit={limit}{cursor}"));
        let read = |answer: Answer<'_>| match answer {
            Answer::Success(_, body) => {
                let Page { items } = serde_json::from_slice(body)?;
                Ok(Some(items))
            }
            Answer::NotFound => Ok(None),
            other @ (Answer::AlreadyExists | Answer::Invalid(_)) => Err(Unreadable::unexpected(&other)),
        };
        self.0.call(&request, self.0.deadline(), read).await
    }

    /// Repeated after any failure: a transfer's id names it for good. `replayed` is then said of the last request.
    async fn post(&self, postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, ClientError> {
        let refuse = |detail| PostingOutcome::Refused {
            refusal: Refusal::Invalid { detail },
        };
        let repeat = Repeat::Always;
        batch::send(&self.0, "/transfers", &postings, MAX_POSTINGS, repeat, refuse, order_of).await
    }
}

fn order_of(posting: &Posting) -> Option<OrderId> {
    match posting.transfers.first()?.id.origin {
        Origin::Order(order) => Some(order),
        Origin::Deposit(_) | Origin::Adjustment(_) | Origin::Funding => None,
    }
}
