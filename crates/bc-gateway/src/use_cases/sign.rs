//! Signing: nonces without gaps, for many commands at once.
//!
//! Whoever wants a signature stands in line; one of them serves the line, a batch in one transaction, while the next
//! batch gathers. So the hot wallet's nonces, which all withdrawals share, cost one commit for a hundred of them, and no
//! signature is computed while the database is held. A nonce is used up by the commit of its bytes and by nothing else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use contracts::clients::MAX_COMMANDS;
use contracts::{Clock, UserId};
use moka::sync::Cache;
use storage::commands::CommandKey;
use tokio::sync::oneshot;

use crate::domain::custody::Custody;
use crate::domain::movement::Movement;
use crate::ports::{
    Address, Chain, Commitment, Funds, NonceAnswer, Party, SignedBatch, SignedCommand, SignedTransfer, TransferDraft,
    TransferStore,
};

/// How often a batch is signed anew because nonces went to somebody else, or a neighbour dropped out, before its
/// commands are put off. Each neighbour that drops out costs one round.
const MAX_ROUNDS: usize = MAX_COMMANDS + 3;

/// The most addresses that are remembered; to make one from its keys takes longer than to look up a balance.
const KNOWN_ADDRESSES: u64 = 100_000;

/// A wish for a signature.
#[derive(Debug, Clone)]
pub(crate) struct SigningRequest {
    pub(crate) key: CommandKey,
    pub(crate) epoch: i64,
    pub(crate) movement: Movement,
    /// What the chain was asked about.
    pub(crate) draft: TransferDraft,
    /// The source's, as the chain answered.
    pub(crate) funds: Funds,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signature {
    /// The bytes are on disk.
    Stored(SignedTransfer),
    /// The command is in other hands, or at its end.
    Fenced,
    /// The source has too few coins.
    CoinsMissing,
    /// Not now.
    NotNow {
        /// Why, for people.
        reason: String,
        /// Whether it is the chain that does not answer.
        chain_silent: bool,
    },
}

struct Waiting {
    request: SigningRequest,
    answer: oneshot::Sender<Signature>,
}

/// The line in front of the signing desk.
pub(crate) struct SigningDesk {
    pub(crate) chain: Arc<dyn Chain>,
    pub(crate) custody: Custody,
    pub(crate) store: Arc<dyn TransferStore>,
    pub(crate) clock: Arc<dyn Clock>,
    addresses: Cache<UserId, Address>,
    line: Mutex<VecDeque<Waiting>>,
    /// Held by whoever serves; the hot wallet's next nonce as far as is known here.
    serving: tokio::sync::Mutex<Option<u64>>,
}

impl SigningDesk {
    pub(crate) fn new(
        chain: Arc<dyn Chain>,
        custody: Custody,
        store: Arc<dyn TransferStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            chain,
            custody,
            store,
            clock,
            addresses: Cache::new(KNOWN_ADDRESSES),
            line: Mutex::default(),
            serving: tokio::sync::Mutex::default(),
        }
    }

    /// A user and their address.
    pub(crate) fn party(&self, user_id: UserId) -> Party {
        let make = || self.chain.address(&self.custody.keys(self.chain.name(), user_id));
        Party {
            user_id,
            address: self.addresses.get_with(user_id, make),
        }
    }

    /// What a movement is on the chain, before it has a nonce.
    pub(crate) fn draft(&self, movement: &Movement) -> TransferDraft {
        TransferDraft {
            from: self.party(movement.from).address,
            to: self.party(movement.to).address,
            amount: movement.amount,
            purpose: movement.purpose(),
        }
    }

    /// Signs, and stores what was signed. When this future is dropped the signature may be stored all the same: the
    /// command's progress tells.
    pub(crate) async fn sign(&self, request: SigningRequest) -> Signature {
        let (sender, mut answer) = oneshot::channel();
        self.line().push_back(Waiting {
            request,
            answer: sender,
        });
        loop {
            let mut hot_nonce = tokio::select! {
                biased;
                answer = &mut answer => return answer.unwrap_or_else(|_| left_alone()),
                serving = self.serving.lock() => serving,
            };
            // Served while the desk was being taken over, or else still in the line: serve from its front.
            match answer.try_recv() {
                Ok(signature) => return signature,
                Err(oneshot::error::TryRecvError::Closed) => return left_alone(),
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let batch: Vec<Waiting> = {
                let mut line = self.line();
                let count = line.len().min(MAX_COMMANDS);
                line.drain(..count).collect()
            };
            let mut by_source: BTreeMap<UserId, Vec<Waiting>> = BTreeMap::new();
            for waiting in batch {
                by_source
                    .entry(waiting.request.movement.from)
                    .or_default()
                    .push(waiting);
            }
            for (source, waiting) in by_source {
                let mut unknown = None;
                let nonce = if source == UserId::HOT_WALLET {
                    &mut *hot_nonce
                } else {
                    &mut unknown
                };
                self.serve(source, waiting, nonce).await;
            }
        }
    }

    /// Serves all of `waiting`, whose coins come from one address. `known` is that address's next nonce, if known.
    async fn serve(&self, source: UserId, mut waiting: Vec<Waiting>, known: &mut Option<u64>) {
        let from = self.party(source);
        for _ in 0..MAX_ROUNDS {
            if waiting.is_empty() {
                return;
            }
            let first_nonce = match *known {
                Some(nonce) => nonce,
                None => match self.next_nonce(&from).await {
                    Ok(nonce) => nonce,
                    Err(not_now) => return dismiss(waiting, &not_now),
                },
            };
            let (batch, transfers) = self.sign_all(&from, first_nonce, &waiting);
            let outcomes = match self.store.commit(self.clock.now(), batch).await {
                Ok(outcomes) => outcomes,
                Err(error) => {
                    // Perhaps it is committed after all: then the stored nonce tells.
                    *known = None;
                    let not_now = Signature::NotNow {
                        reason: error.to_string(),
                        chain_silent: false,
                    };
                    return dismiss(waiting, &not_now);
                }
            };
            let written = outcomes
                .iter()
                .filter(|outcome| **outcome == Commitment::Written)
                .count();
            // None written: the nonce that was thought to be next may not be.
            *known = u64::try_from(written)
                .ok()
                .filter(|written| *written > 0)
                .map(|written| first_nonce + written);
            waiting = answer_those_decided(waiting, outcomes, transfers);
        }
        let reason = "the nonces kept going to others".to_owned();
        dismiss(
            waiting,
            &Signature::NotNow {
                reason,
                chain_silent: false,
            },
        );
    }

    fn sign_all(&self, from: &Party, first_nonce: u64, waiting: &[Waiting]) -> (SignedBatch, Vec<SignedTransfer>) {
        let keys = self.custody.keys(self.chain.name(), from.user_id);
        let mut commands = Vec::with_capacity(waiting.len());
        let mut transfers = Vec::with_capacity(waiting.len());
        for (nonce, Waiting { request, .. }) in (first_nonce..).zip(waiting) {
            let SigningRequest { movement, draft, .. } = request;
            let transfer = self.chain.sign(&keys, draft, nonce);
            transfers.push(transfer.clone());
            commands.push(SignedCommand {
                key: request.key,
                epoch: request.epoch,
                to: Party {
                    user_id: movement.to,
                    address: draft.to.clone(),
                },
                amount: movement.amount,
                funds: request.funds,
                transfer,
            });
        }
        let batch = SignedBatch {
            chain: self.chain.name(),
            from: from.clone(),
            first_nonce,
            commands,
        };
        (batch, transfers)
    }

    /// The next nonce by our own record; of an address that never sent, by the chain's.
    async fn next_nonce(&self, from: &Party) -> Result<u64, Signature> {
        match self.store.next_nonce(&from.address).await {
            Ok(Some(nonce)) => Ok(nonce),
            Ok(None) => match self.chain.next_nonce(&from.address).await {
                NonceAnswer::Next(nonce) => Ok(nonce),
                NonceAnswer::Unknown { reason } => Err(Signature::NotNow {
                    reason,
                    chain_silent: true,
                }),
            },
            Err(error) => Err(Signature::NotNow {
                reason: error.to_string(),
                chain_silent: false,
            }),
        }
    }

    fn line(&self) -> std::sync::MutexGuard<'_, VecDeque<Waiting>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever served gave up in the middle (a shutdown): the command's progress tells what was stored.
fn left_alone() -> Signature {
    Signature::NotNow {
        reason: "the signing was interrupted".to_owned(),
        chain_silent: false,
    }
}

fn dismiss(waiting: Vec<Waiting>, signature: &Signature) {
    for waiting in waiting {
        // Whoever does not wait any more has lost its lease or its process.
        let _ = waiting.answer.send(signature.clone());
    }
}

/// Tells those whose fate is decided; the others come back.
fn answer_those_decided(
    waiting: Vec<Waiting>,
    outcomes: Vec<Commitment>,
    transfers: Vec<SignedTransfer>,
) -> Vec<Waiting> {
    let mut rest = Vec::new();
    for ((waiting, outcome), transfer) in waiting.into_iter().zip(outcomes).zip(transfers) {
        let signature = match outcome {
            Commitment::Outdated => {
                rest.push(waiting);
                continue;
            }
            Commitment::Written => Signature::Stored(transfer),
            Commitment::Fenced => Signature::Fenced,
            Commitment::CoinsMissing => Signature::CoinsMissing,
            Commitment::WrongSeed => {
                tracing::error!(
                    order_id = %waiting.request.key.order_id,
                    "an address does not belong to the custody seed; nothing is signed until the right seed is back"
                );
                let reason = "the custody seed is not the one that made the addresses".to_owned();
                Signature::NotNow {
                    reason,
                    chain_silent: false,
                }
            }
        };
        let _ = waiting.answer.send(signature);
    }
    rest
}
