//! A simulated chain: a real component with accounts, nonces, a mempool and signatures, in a database file of its own.
//!
//! It keeps what it was told through crashes, as a chain would, so that a gateway that comes back asks about the truth
//! and not about its own memory. It believes nobody: bytes count only with a valid signature of the address that pays,
//! with the nonce that is next, and with coins to pay from. Its faults come from [`Manners`], which are handed in; they
//! lose or delay messages, and never break these rules.
//!
//! Blocks cost nothing here: what is ready is confirmed at once and buried at once, [`DEPTH`] deep.

mod block;
mod ledger;
mod manners;
mod memory;
pub(super) mod wire;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use contracts::{Amount, Asset, AssetKind, Clock, ServiceName};
use jiff::Timestamp;
use storage::StoreError;
use storage::migrations::{Migrations, SchemaError};
use storage::sqlite::{Database, Desk, OpenError, Options, Tx, migrate};
use thiserror::Error;

use self::block::Block;
pub use self::ledger::{Account, accounts};
use self::ledger::{Entry, Standing};
pub use self::manners::{InvalidRates, Manner, Manners, RandomManners, Rates, ScriptedManners, WellBehaved};
use self::memory::Memory;
use crate::ports::{
    Address, BroadcastAnswer, Chain, FindAnswer, Funds, Keys, NonceAnswer, SendCheck, SignedTransfer, TransferDraft,
};

/// How deep a transfer lies as soon as it is confirmed for good.
pub const DEPTH: u32 = 6;

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
    signer: Arc<wire::Signer>,
    /// Where broadcasts wait for their block.
    mempool: Desk<Entry, BroadcastAnswer>,
    memory: Arc<Memory>,
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
            .then("cheaper checks", ledger::CHEAPER_CHECKS)
            .then("by nonce", ledger::BY_NONCE)];
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
        let memory: Arc<Memory> = Arc::default();
        let mempool = mempool(&database, &clock, &manners, &memory);
        Ok(Self {
            database,
            clock,
            manners,
            signer: Arc::default(),
            mempool,
            memory,
        })
    }

    /// Its books: when they fail, there is no chain any more.
    #[must_use]
    pub const fn database(&self) -> &Database {
        &self.database
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

    /// How many transfers with this memo (an order's or a sweep's purpose) are confirmed for good. For auditors and tests:
    /// it looks at all there are.
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
        let blocks = match self.memory.tip.funds(address, asset) {
            // What is remembered counts for as long as the books can be kept.
            Ok(funds) if !self.database.has_failed() => return Ok(funds),
            Ok(_) => return Err(self.database.failure().await),
            Err(blocks) => blocks,
        };
        let funds = self
            .database
            .readers()
            .look_up(|connection| {
                Ok(Funds {
                    coins: ledger::coins(connection, address.as_str(), asset)?,
                    nonce: ledger::next_nonce(connection, address.as_str())?,
                })
            })
            .await?;
        self.memory.tip.remember(blocks, address.clone(), asset, funds);
        Ok(funds)
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

    async fn look_up(&self, hash: &str) -> Result<FindAnswer, StoreError> {
        let confirmed = FindAnswer::Confirmed { confirmations: DEPTH };
        if self.memory.confirmed.recall(hash) {
            return Ok(confirmed);
        }
        // Whatever stands fast needs no writer.
        let standing = self
            .database
            .readers()
            .look_up(|connection| ledger::standing(connection, hash))
            .await?;
        match standing {
            Some(Standing::Confirmed) => Ok(confirmed),
            None => Ok(FindAnswer::NotFound),
            Some(Standing::Pending | Standing::Shallow) => {
                let hash = hash.to_owned();
                self.write(move |block| block.look_up(&hash)).await
            }
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Block<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (now, memory) = (self.clock.now(), Arc::clone(&self.memory));
        self.database
            .writer()
            .run(move |tx| in_a_block(tx, now, &memory, work))
            .await
    }
}

/// Those that wait when a block is made go into the same one.
fn mempool(
    database: &Database,
    clock: &Arc<dyn Clock>,
    manners: &Arc<dyn Manners>,
    memory: &Arc<Memory>,
) -> Desk<Entry, BroadcastAnswer> {
    let (clock, manners, memory) = (Arc::clone(clock), Arc::clone(manners), Arc::clone(memory));
    Desk::new(database.clone(), move |tx, entries: &[Arc<Entry>]| {
        in_a_block(tx, clock.now(), &memory, |block| {
            block.take_all(manners.as_ref(), entries)
        })
    })
}

/// Makes a block of what `work` does in a transaction; once that is on disk, what was seen before it no longer counts.
fn in_a_block<T>(
    tx: &mut Tx<'_>,
    now: Timestamp,
    memory: &Arc<Memory>,
    work: impl FnOnce(&mut Block<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let mut block = Block::open(tx, now)?;
    let done = work(&mut block)?;
    let confirmed = block.close()?;
    let memory = Arc::clone(memory);
    tx.after_commit(move || memory.take_in(confirmed));
    Ok(done)
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
        let address = address.clone();
        to_nonce_answer(self.write(move |block| block.confirmed_nonce(address.as_str())).await)
    }

    async fn broadcast(&self, transfer: &SignedTransfer) -> BroadcastAnswer {
        if !self.is_reached().await {
            return BroadcastAnswer::Unknown {
                reason: SILENT.to_owned(),
            };
        }
        match self.signer.open(&transfer.bytes) {
            Err(error) => BroadcastAnswer::Refused {
                reason: error.to_string(),
            },
            Ok(entry) => match self.mempool.bring(entry).await {
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
