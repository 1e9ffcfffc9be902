//! What this service needs from outside: a chain, and a store for what it signs.

use async_trait::async_trait;
use contracts::messages::Step;
use contracts::{Amount, OrderId, UserId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use storage::StoreError;
use storage::commands::{CommandKey, State};
use utoipa::ToSchema;

pub use crate::domain::custody::Keys;
use crate::domain::movement::Movement;
pub use crate::domain::progress::FindAnswer;
pub use crate::domain::purse::Funds;
pub use crate::domain::transfer::{Address, Purpose, SignedTransfer, TransferDraft};

/// Whether a chain would take a transfer, as far as it can tell beforehand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SendCheck {
    /// Nothing speaks against it.
    Sendable {
        /// What the source has of the transfer's asset: at least its amount.
        funds: Funds,
    },
    /// It would never be taken: no such address, a refused party, coins missing at the source.
    Refused {
        /// Why, for people.
        reason: String,
    },
    /// No usable answer.
    Unknown {
        /// Why, for people.
        reason: String,
    },
}

/// One of an address's nonces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NonceAnswer {
    /// The first nonce that no transfer of the kind asked for has used.
    Next(u64),
    /// No usable answer.
    Unknown {
        /// Why, for people.
        reason: String,
    },
}

/// What became of a broadcast.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BroadcastAnswer {
    /// The chain has the bytes, now or since an earlier broadcast of the same bytes. They may still get lost.
    Taken,
    /// The chain does not take these bytes now. Says nothing about earlier broadcasts of them.
    Refused {
        /// Why, for people.
        reason: String,
    },
    /// No usable answer: they may have arrived.
    Unknown {
        /// Why, for people.
        reason: String,
    },
}

/// A blockchain with accounts and nonces: each address counts its transfers, and they are confirmed in that order.
///
/// An implementation MUST:
/// - never panic, and answer within ten seconds; the gateway cuts longer calls off and takes them for `Unknown`;
/// - answer `Unknown` whenever it is not sure. Unknown is not failed: the gateway then asks again and sends nothing new;
/// - let at most one transfer of (address, nonce) succeed, whatever is broadcast;
/// - answer `NotFound` only where the transfer is in no block and in no queue that it knows of.
#[async_trait]
pub trait Chain: Send + Sync {
    /// The chain's name: lower-case letters, digits, `_` and `-`. Part of the derivation of every key, so it never
    /// changes.
    fn name(&self) -> &'static str;

    /// The address that belongs to a key. Pure.
    fn address(&self, keys: &Keys) -> Address;

    /// Signs a transfer. MUST be pure and deterministic: the same input gives the same bytes and the same hash.
    fn sign(&self, keys: &Keys, draft: &TransferDraft, nonce: u64) -> SignedTransfer;

    /// Whether a transfer could be sent: the only moment at which the chain can refuse it for good. It knows nothing of
    /// what is signed and not confirmed, so the store still holds the answered funds against that.
    ///
    /// The funds SHOULD be read from one block; where that cannot be, the nonce MUST be read before the coins. The other
    /// way round a transfer that is confirmed in between counts as gone from coins that it is still in.
    async fn can_send(&self, draft: &TransferDraft) -> SendCheck;

    /// The first nonce that no transfer of the address has used, as far as the chain knows: neither a confirmed one nor one
    /// that waits. For an address this service has no record of.
    async fn next_nonce(&self, address: &Address) -> NonceAnswer;

    /// The first nonce that no transfer of the address has used which lies at least `depth` blocks deep: all below it are
    /// used up for good. Never counts what waits or lies less deep, and what [`Chain::find`] is asked afterwards MUST be
    /// answered with at least these blocks in view: by the same node, or by one that is as far.
    ///
    /// Where the chain is Ethereum's: `eth_getTransactionCount` at the block `depth - 1` below the latest.
    async fn confirmed_nonce(&self, address: &Address, depth: u32) -> NonceAnswer;

    /// Sends the bytes. Sending the same bytes again MUST be harmless.
    async fn broadcast(&self, transfer: &SignedTransfer) -> BroadcastAnswer;

    /// What has become of the transfer with this hash.
    async fn find(&self, hash: &str) -> FindAnswer;
}

/// A wallet and its address on the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Whose.
    pub user_id: UserId,
    /// Where.
    pub address: Address,
}

/// Signed bytes that are to be committed for a claimed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCommand {
    /// The command.
    pub key: CommandKey,
    /// The claim under which it is worked on.
    pub epoch: i64,
    /// Who receives.
    pub to: Party,
    /// How much.
    pub amount: Amount,
    /// The sender's coins of that asset, as the chain answered when it was asked about this command. Of any age: what was
    /// signed since is known by its nonce.
    pub funds: Funds,
    /// What was signed; its nonce is the batch's first plus its place in the batch.
    pub transfer: SignedTransfer,
}

/// Transfers of one address, with consecutive nonces in the order of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBatch {
    /// The chain's name.
    pub chain: &'static str,
    /// Who sends.
    pub from: Party,
    /// The nonce of the first one.
    pub first_nonce: u64,
    /// At most [`contracts::clients::MAX_COMMANDS`].
    pub commands: Vec<SignedCommand>,
}

/// What became of one command of a [`SignedBatch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commitment {
    /// The bytes are on disk: the point of no return is passed.
    Written,
    /// Somebody else has the command now, or it is at its end. Nothing was written.
    Fenced,
    /// Less what is signed already, the source has too few coins: a customer's address by this service's own count, the
    /// hot wallet's by the chain's answer. Nothing was written.
    CoinsMissing,
    /// The nonce is not the next one (any more). Nothing was written; sign again with the next nonce.
    Outdated,
    /// A party's stored address is not the one that its key has: this is not the seed that made it. Nothing was
    /// written, and nothing can be until the right seed is back.
    WrongSeed,
}

/// Coins at a customer's address that a claimed command is about to sign away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CoinReservation {
    /// The command.
    pub key: CommandKey,
    /// The claim under which it is worked on.
    pub epoch: i64,
    /// At whose address.
    pub from: UserId,
    /// How many.
    pub amount: Amount,
}

/// What became of a [`CoinReservation`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reservation {
    /// The coins are kept for the command until it has signed or ended, and its record says that it is paying.
    Reserved,
    /// By this service's own count too few are left. Nothing was written.
    CoinsMissing,
    /// Somebody else has the command now, or it is at its end. Nothing was written.
    Fenced,
}

/// A customer's coins of one asset, as counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CountedCoins {
    /// At whose address.
    pub user_id: UserId,
    /// How many; confirmed in, less confirmed out.
    pub coins: Amount,
    /// How often coins of theirs were ever reserved: the same number later says that none were since.
    pub reservations: u64,
    /// Whether nothing of that address is under way or reserved, so that the count is all there is.
    pub settled: bool,
}

/// A sweep that is to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSweep {
    /// The chain's name.
    pub chain: &'static str,
    /// Whose coins' address.
    pub from: Party,
    /// The coins there, as counted when the excess was computed.
    pub counted: Amount,
    /// How often coins had been reserved there by then; the balance was read after that.
    pub reservations: u64,
    /// How many of them go.
    pub amount: Amount,
    /// What was signed.
    pub transfer: SignedTransfer,
}

/// A sweep that is not confirmed yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenSweep {
    /// Its number.
    pub id: i64,
    /// From whose address.
    pub user_id: UserId,
    /// How many coins.
    pub amount: Amount,
    /// The bytes.
    pub transfer: SignedTransfer,
    /// How many times it was postponed.
    pub tries: u32,
}

/// A transfer as it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTransfer {
    /// The order.
    pub order_id: OrderId,
    /// Which of its steps.
    pub step: Step,
    /// Who sends.
    pub from: UserId,
    /// Who receives.
    pub to: UserId,
    /// How much.
    pub amount: Amount,
    /// The sender's nonce.
    pub nonce: u64,
    /// The chain's name for it.
    pub hash: String,
}

/// A step of an order that is not at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    /// Ascending in the order in which they were accepted.
    pub number: i64,
    /// The order.
    pub order_id: OrderId,
    /// Which of its steps.
    pub step: Step,
    /// What is to move; none of a dead one whose stored content is no command.
    pub movement: Option<Movement>,
    /// Open or dead.
    pub state: State,
    /// How many times it was postponed.
    pub tries: u32,
    /// Why, the last time; of a dead one, what is wrong with it.
    pub last_reason: Option<String>,
    /// Since when the chain's answer is missing.
    pub answer_missing_since: Option<Timestamp>,
    /// When it was accepted.
    pub created_at: Timestamp,
}

/// Nonces, signed transfers, coins and sweeps. Each call is one transaction.
#[async_trait]
pub trait TransferStore: Send + Sync {
    /// The address that was assigned to `user` on `chain`, once it was used.
    async fn address(&self, chain: &'static str, user: UserId) -> Result<Option<Address>, StoreError>;

    /// The next nonce of `address`; `None` when this service never used one of it.
    async fn next_nonce(&self, address: &Address) -> Result<Option<u64>, StoreError>;

    /// The first nonce above all of `user`'s whose commands are done; `None` when none is. Sweeps do not count: no use is
    /// made of this but for the hot wallet, which is never swept.
    async fn confirmed_nonce(&self, user: UserId) -> Result<Option<u64>, StoreError>;

    /// Reserves a customer's coins and stores [`Progress::Paying`](crate::domain::progress::Progress::Paying) under the
    /// claim, in one transaction. From then on no sweep and no other command takes them. Once for a command.
    async fn reserve(&self, now: Timestamp, reservation: CoinReservation) -> Result<Reservation, StoreError>;

    /// Whether coins were ever reserved for this command.
    async fn was_reserved(&self, key: CommandKey) -> Result<bool, StoreError>;

    /// Commits signed bytes as the progress of their commands, each under its claim, and uses up their nonces, in one
    /// transaction. `outcomes[i]` answers `commands[i]`. The first command that is not written uses no nonce, and those
    /// after it are [`Commitment::Outdated`]: nonces have no gaps.
    ///
    /// From the hot wallet's address no more is signed than it has: of the newest of the commands' [`Funds`], all that is
    /// committed with their nonce or a greater one is taken off, whichever process committed it.
    async fn commit(&self, now: Timestamp, batch: SignedBatch) -> Result<Vec<Commitment>, StoreError>;

    /// What was committed for a command.
    async fn transfer(&self, key: CommandKey) -> Result<Option<StoredTransfer>, StoreError>;

    /// At most `limit` steps that are not at their end, with a number above `after`, oldest first.
    async fn unfinished(&self, after: Option<i64>, limit: usize) -> Result<Vec<Unfinished>, StoreError>;

    /// Counts the coins at those `limit` customers' addresses that were not looked at for longest and had transfers or
    /// have coins, and puts them at the end of the line.
    async fn count_coins(&self, now: Timestamp, limit: usize) -> Result<Vec<CountedCoins>, StoreError>;

    /// Commits a sweep with its signed bytes and uses up its nonce; `None` when something of that address is under way or
    /// reserved, or was reserved since the count, the count or the nonce is not what it was, or the address is not the one
    /// that was assigned.
    async fn begin_sweep(&self, now: Timestamp, sweep: NewSweep) -> Result<Option<i64>, StoreError>;

    /// At most `limit` unconfirmed sweeps that are due, those due longest first.
    async fn open_sweeps(&self, now: Timestamp, limit: usize) -> Result<Vec<OpenSweep>, StoreError>;

    /// Looks at a sweep again not before `until`.
    async fn postpone_sweep(&self, id: i64, until: Timestamp) -> Result<(), StoreError>;

    /// Records that a sweep is confirmed, and takes its coins off the count. Idempotent.
    async fn finish_sweep(&self, now: Timestamp, id: i64) -> Result<(), StoreError>;

    /// Makes every unconfirmed sweep due at `now` at the latest, and lets no address have been looked at after `now`: for a
    /// clock that was set back, by which sweeps would sleep as much longer, and those that are looked at in the meantime
    /// would stay at the head of the line. Returns how many rows changed; twice is as good as once.
    async fn bring_forward(&self, now: Timestamp) -> Result<u64, StoreError>;
}
