//! A simulated chain: a real component with accounts, nonces, a mempool and signatures, in a database file of its own.
//!
//! It keeps what it was told through crashes, as a chain would, so that a gateway that comes back asks about the truth
//! and not about its own memory. It believes nobody: bytes count only with a valid signature of the address that pays,
//! with the nonce that is next, and with coins to pay from. Its faults come from [`Manners`], which are handed in; they
//! lose or delay messages, and never break these rules.
//!
//! Blocks cost nothing here: what is ready is confirmed at once and buried at once, [`DEPTH`] deep.

mod ledger;
mod manners;
mod wire;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::{Amount, Asset, AssetKind, Clock, ServiceName};
use jiff::Timestamp;
use storage::StoreError;
use storage::migrations::{Migrations, SchemaError};
use storage::sqlite::{Database, OpenError, Options, migrate};
use thiserror::Error;

use self::ledger::Entry;
pub use self::ledger::{Account, accounts};
pub use self::manners::{InvalidRates, Manner, Manners, RandomManners, Rates, ScriptedManners, WellBehaved};
use crate::ports::{
    Address, BroadcastAnswer, Chain, FindAnswer, Funds, Keys, NonceAnswer, SendCheck, SignedTransfer, TransferDraft,
};

/// How deep a transfer lies as soon as it is confirmed for good.
pub const DEPTH: u32 = 6;

/// How far ahead of the next one a nonce may be and still wait in the mempool.
const MAX_AHEAD: u64 = 100_000;

/// How much of its file it keeps in memory: a chain elsewhere would take none of ours.
const CACHE_KIB: u32 = 8 * 1_024;

/// Why the simulated chain could not be opened.
#[derive(Debug, Error)]
pub enum OpenChainError {
    /// Its file cannot be used.
    #[error(transparent)]
    File(#[from] OpenError),
    /// Its tables are another version's.
    #[error("the simulated chain's tables: {0}")]
    Schema(#[from] SchemaError),
}

/// The simulated chain. Clones are the same chain.
#[derive(Clone)]
pub struct SimulatedChain {
    database: Database,
    clock: Arc<dyn Clock>,
    manners: Arc<dyn Manners>,
    signer: wire::Signer,
}

impl SimulatedChain {
    /// Its name as a chain, which is part of every key and so never changes.
    pub const NAME: &'static str = "simulated";

    /// Opens the chain in `path`, a file of its own, creating it where absent. `genesis` is made out of nothing at
    /// `rich`'s address, once for each asset however often the chain is opened.
    ///
    /// # Errors
    /// [`OpenChainError`].
    pub fn try_open(
        path: &Path,
        rich: &Keys,
        genesis: Vec<Amount>,
        clock: Arc<dyn Clock>,
        manners: Arc<dyn Manners>,
    ) -> Result<Self, OpenChainError> {
        let schema = [Migrations::new(ServiceName::BcGateway)
            .then("chain", ledger::SCHEMA)
            .then("cheaper checks", ledger::CHEAPER_CHECKS)];
        let (now, rich) = (clock.now(), wire::address(rich));
        let options = Options {
            cache_kib: CACHE_KIB,
            ..Options::default()
        };
        let database = Database::open(path, options, |connection| -> Result<(), OpenChainError> {
            migrate(connection, &schema, now)?;
            let tx = connection.transaction().map_err(SchemaError::from)?;
            for coins in genesis {
                ledger::create(&tx, rich.as_str(), coins).map_err(SchemaError::from)?;
            }
            tx.commit().map_err(SchemaError::from)?;
            Ok(())
        })?;
        Ok(Self {
            database,
            clock,
            manners,
            signer: wire::Signer::default(),
        })
    }

    /// The confirmed coins at an address.
    ///
    /// # Errors
    /// What the store says.
    pub async fn coins(&self, address: &Address, asset: Asset) -> Result<Amount, StoreError> {
        let address = address.clone();
        self.database
            .readers()
            .run(move |connection| ledger::coins(connection, address.as_str(), asset))
            .await
    }

    /// All accounts, for auditors and tests.
    ///
    /// # Errors
    /// What the store says.
    pub async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.database.readers().run(accounts).await
    }

    /// How many transfers with this memo (an order's or a sweep's purpose) are confirmed for good.
    ///
    /// # Errors
    /// What the store says.
    pub async fn confirmed(&self, memo: &str) -> Result<u64, StoreError> {
        let memo = memo.to_owned();
        self.database
            .readers()
            .run(move |connection| ledger::count_confirmed(connection, &memo))
            .await
    }

    /// What an address has, and after which of its transfers: both from one snapshot.
    async fn funds(&self, address: &Address, asset: Asset) -> Result<Funds, StoreError> {
        let address = address.clone();
        self.database
            .readers()
            .look_up(move |connection| {
                Ok(Funds {
                    coins: ledger::coins(connection, address.as_str(), asset)?,
                    nonce: ledger::next_nonce(connection, address.as_str())?,
                })
            })
            .await
    }

    /// The way to the chain; whether it leads there.
    async fn is_reached(&self) -> bool {
        let latency = self.manners.latency();
        if !latency.is_zero() {
            // sleep: the simulated way to the chain and back; nothing could be waited for instead
            tokio::time::sleep(latency).await;
        }
        !self.manners.silent()
    }

    async fn take(&self, entry: Entry) -> Result<BroadcastAnswer, StoreError> {
        let (manners, now) = (Arc::clone(&self.manners), self.clock.now());
        self.database
            .writer()
            .run(move |tx| take(tx, now, manners.as_ref(), &entry))
            .await
    }

    async fn look_up(&self, hash: &str) -> Result<FindAnswer, StoreError> {
        let (hash, now) = (hash.to_owned(), self.clock.now());
        let wanted = hash.clone();
        // Most transfers are asked for once they are confirmed, and that needs no writer.
        let answer = self
            .database
            .readers()
            .look_up(move |connection| ledger::standing(connection, &wanted))
            .await?;
        if answer == Some(ledger::Standing::Confirmed) {
            return Ok(FindAnswer::Confirmed { confirmations: DEPTH });
        }
        if answer.is_none() {
            return Ok(FindAnswer::NotFound);
        }
        self.database
            .writer()
            .run(move |tx| ledger::look_up(tx, now, &hash))
            .await
    }
}

/// What the chain does with sound bytes.
fn take(
    tx: &rusqlite::Connection,
    now: Timestamp,
    manners: &dyn Manners,
    entry: &Entry,
) -> rusqlite::Result<BroadcastAnswer> {
    match ledger::holder_of_nonce(tx, &entry.from, entry.nonce)? {
        Some(hash) if hash == entry.hash => return Ok(BroadcastAnswer::Taken),
        Some(_) => {
            return Ok(BroadcastAnswer::Refused {
                reason: "the nonce belongs to another transfer".to_owned(),
            });
        }
        None => {}
    }
    if entry.nonce > ledger::next_nonce(tx, &entry.from)?.saturating_add(MAX_AHEAD) {
        return Ok(BroadcastAnswer::Refused {
            reason: "the nonce is too far ahead".to_owned(),
        });
    }
    let number = ledger::vain_broadcasts(tx, &entry.hash)?.saturating_add(1);
    let silence = BroadcastAnswer::Unknown {
        reason: "the connection broke".to_owned(),
    };
    let manner = manners.broadcast(&entry.memo, number);
    if matches!(
        manner,
        Manner::LostBroadcast | Manner::UnknownNotTaken | Manner::Reorganise
    ) {
        ledger::count_vain_broadcast(tx, &entry.hash)?;
    }
    let (ready_at, shallow, answer) = match manner {
        Manner::Confirm => (now, false, BroadcastAnswer::Taken),
        Manner::LostBroadcast => return Ok(BroadcastAnswer::Taken),
        Manner::UnknownButTaken => (now, false, silence),
        Manner::UnknownNotTaken => return Ok(silence),
        Manner::LateConfirmation(by) => (contracts::time::later(now, by), false, BroadcastAnswer::Taken),
        Manner::Reorganise => (now, true, BroadcastAnswer::Taken),
    };
    ledger::store(tx, entry, ready_at, shallow)?;
    ledger::advance(tx, now, &entry.from)?;
    Ok(answer)
}

#[async_trait]
impl Chain for SimulatedChain {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn address(&self, keys: &Keys) -> Address {
        wire::address(keys)
    }

    fn sign(&self, keys: &Keys, draft: &TransferDraft, nonce: u64) -> SignedTransfer {
        self.signer.sign(keys, draft, nonce)
    }

    async fn can_send(&self, draft: &TransferDraft) -> SendCheck {
        if !self.is_reached().await {
            return SendCheck::Unknown {
                reason: SILENT.to_owned(),
            };
        }
        let refused = |reason: &str| SendCheck::Refused {
            reason: reason.to_owned(),
        };
        if !wire::is_address(draft.to.as_str()) || !wire::is_address(draft.from.as_str()) {
            return refused("not an address of this chain");
        }
        if draft.amount.asset().kind() != AssetKind::Crypto || !draft.amount.is_positive() {
            return refused("not an amount of a coin of this chain");
        }
        if self.manners.refuses(&draft.purpose.to_string()) {
            return refused("the chain refuses this transfer");
        }
        match self.funds(&draft.from, draft.amount.asset()).await {
            Ok(funds) if funds.coins.units() >= draft.amount.units() => SendCheck::Sendable { funds },
            Ok(_) => refused("coins are missing at the source"),
            Err(error) => SendCheck::Unknown {
                reason: error.to_string(),
            },
        }
    }

    async fn next_nonce(&self, address: &Address) -> NonceAnswer {
        if !self.is_reached().await {
            return NonceAnswer::Unknown {
                reason: SILENT.to_owned(),
            };
        }
        let address = address.clone();
        let next = self
            .database
            .readers()
            .run(move |connection| ledger::first_free_nonce(connection, address.as_str()))
            .await;
        to_nonce_answer(next)
    }

    async fn confirmed_nonce(&self, address: &Address, depth: u32) -> NonceAnswer {
        if !self.is_reached().await {
            return NonceAnswer::Unknown {
                reason: SILENT.to_owned(),
            };
        }
        if depth > DEPTH {
            return NonceAnswer::Next(0);
        }
        let (address, now) = (address.clone(), self.clock.now());
        let next = self
            .database
            .writer()
            .run(move |tx| {
                ledger::advance(tx, now, address.as_str())?;
                ledger::next_nonce(tx, address.as_str())
            })
            .await;
        to_nonce_answer(next)
    }

    async fn broadcast(&self, transfer: &SignedTransfer) -> BroadcastAnswer {
        if !self.is_reached().await {
            return BroadcastAnswer::Unknown {
                reason: SILENT.to_owned(),
            };
        }
        match wire::open(&transfer.bytes) {
            Err(error) => BroadcastAnswer::Refused {
                reason: error.to_string(),
            },
            Ok(entry) => match self.take(entry).await {
                Ok(answer) => answer,
                Err(error) => BroadcastAnswer::Unknown {
                    reason: error.to_string(),
                },
            },
        }
    }

    async fn find(&self, hash: &str) -> FindAnswer {
        if !self.is_reached().await {
            return FindAnswer::Unknown {
                reason: SILENT.to_owned(),
            };
        }
        match self.look_up(hash).await {
            Ok(answer) => answer,
            Err(error) => FindAnswer::Unknown {
                reason: error.to_string(),
            },
        }
    }
}

fn to_nonce_answer(next: Result<u64, StoreError>) -> NonceAnswer {
    match next {
        Ok(next) => NonceAnswer::Next(next),
        Err(error) => NonceAnswer::Unknown {
            reason: error.to_string(),
        },
    }
}

const SILENT: &str = "the chain is silent";
