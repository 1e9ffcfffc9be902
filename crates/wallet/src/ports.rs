//! What the wallet needs of its store. (What it needs of other services are the client ports in `contracts`.)
//!
//! Batch-first: one call is one transaction, `outcomes[i]` answers item `i`, and one item's outcome never undoes a
//! neighbour. An adapter MUST take every decision from `domain`, MUST store a move, its log entry and its effects in
//! one transaction, and MUST answer after that is on disk.

use std::time::Duration;

use async_trait::async_trait;
use contracts::operators::{Act, Instruction};
use contracts::{DepositId, OrderId, UserId};
use jiff::Timestamp;
use storage::StoreError;
pub use storage::commands::MAX_ACTS;

use crate::domain::{Deposit, Event, LogEntry, Order, OrderState, Stage, Terms, Why};

/// The most items in one call.
pub const MAX_BATCH: usize = 100;

/// A client's name for a request, with what stands for the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The key, unique for the user within orders, and within deposits.
    pub key: String,
    /// SHA-256 over method, path and body.
    pub fingerprint: [u8; 32],
}

/// An order to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// Whose.
    pub user_id: UserId,
    /// What is agreed.
    pub terms: Terms,
    /// The user's own name for it, at most 64 characters.
    pub client_reference: Option<String>,
    /// The request's name, if it has one.
    pub idempotency: Option<Idempotency>,
}

/// A deposit to be accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeposit {
    /// Into whose wallet.
    pub user_id: UserId,
    /// Fiat, greater than zero.
    pub amount: contracts::Amount,
    /// What the payment is called.
    pub reference: String,
    /// The request's name, if it has one.
    pub idempotency: Option<Idempotency>,
    /// Of one that an operator books: who, and why. Then the reference is its name: the same amount under the same
    /// reference is a repetition of what an operator booked. What the user made under it is never that: it is taken then.
    pub instruction: Option<Instruction>,
}

/// What became of an order or a deposit that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement<T, Id> {
    /// It is stored, with its first effect.
    Created(T),
    /// The same request had stored it before. Nothing changed.
    Replayed(T),
    /// The idempotency key came before with another request. Nothing changed.
    KeyReused,
    /// The user has another one of this reference. Nothing changed.
    ReferenceTaken(Id),
    /// The user is frozen. Nothing changed, and nothing is said of what was there before.
    Frozen,
}

/// Said of an item that is undecided, before its command leaves the store: whoever waits for the decision registers now,
/// and so cannot miss it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undecided<Id> {
    /// Which item of the call.
    pub index: usize,
    /// Its id.
    pub id: Id,
    /// Whether this call creates it.
    pub new: bool,
}

/// Takes [`Undecided`]. Runs on the store's thread: it must not block. The transaction may still fail afterwards.
pub type Announce<Id> = Box<dyn FnMut(Undecided<Id>) + Send>;

/// What an event did to an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advanced {
    /// It moved.
    Moved {
        /// Where from.
        from: OrderState,
        /// The order after the move.
        order: Box<Order>,
        /// Whether an operator is to look.
        alert: bool,
    },
    /// Nothing changed.
    Ignored {
        /// Where it stands.
        state: OrderState,
        /// Why.
        why: Why,
    },
    /// There is no such order.
    Unknown,
    /// This program cannot read it: a newer one wrote it, and can apply the event. Nothing changed.
    Unreadable,
}

/// Which orders that are not at their end an operator wants to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SagaFilter {
    /// Only those in one of these states; all if none.
    pub state: Option<StateFilter>,
    /// Only those accepted at this time or before.
    pub created_until: Option<Timestamp>,
}

/// One state, or all that are stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateFilter {
    /// This one.
    Is(OrderState),
    /// Stuck, wherever.
    Stuck,
}

impl StateFilter {
    /// The states it admits.
    #[must_use]
    pub fn states(self) -> Vec<OrderState> {
        match self {
            Self::Is(state) => vec![state],
            Self::Stuck => [
                Stage::Exchanging,
                Stage::Withdrawing,
                Stage::Reversing,
                Stage::Releasing,
            ]
            .map(|from| OrderState::Stuck { from })
            .to_vec(),
        }
    }
}

/// The orders with their sagas.
#[async_trait]
pub trait OrderStore: Send + Sync {
    /// Stores orders that are new, each with its log's first entry and the command of its hold, to be issued again
    /// from `due` on. Idempotent by (user, key): the same request finds the order it stored, whatever became of it.
    /// Those of frozen users are refused in the transaction that would store them: none comes after a freeze that was
    /// answered, however long it had waited.
    async fn create_orders(
        &self,
        now: Timestamp,
        due: Timestamp,
        orders: Vec<NewOrder>,
        announce: Announce<OrderId>,
    ) -> Result<Vec<Placement<Box<Order>, OrderId>>, StoreError>;

    /// Applies events in order: loads, asks [`crate::domain::advance`], compares and sets by (state, revision), and
    /// stores the log entry and the commands of the effects. An order that moves is issued again from `due` on.
    /// Applying an event twice changes nothing.
    async fn advance(
        &self,
        now: Timestamp,
        due: Timestamp,
        events: Vec<(OrderId, Event)>,
    ) -> Result<Vec<Advanced>, StoreError>;

    /// Takes at most `limit` orders that are not at their end and due, those due longest first, and puts each off by
    /// `pauses[tries]` (the last one repeats), so that no other sweep takes it meanwhile.
    async fn claim_due(&self, now: Timestamp, limit: usize, pauses: Vec<Duration>) -> Result<Vec<Order>, StoreError>;

    /// Makes every order that is not at its end due now. Returns how many there are.
    async fn make_due(&self, now: Timestamp) -> Result<u64, StoreError>;

    /// One order of this user with its log, or `None`; another user's is `None` too.
    async fn order(&self, user: UserId, id: OrderId) -> Result<Option<(Order, Vec<LogEntry>)>, StoreError>;

    /// At most `limit` of the user's orders with an id below `before`, newest first.
    async fn orders(&self, user: UserId, before: Option<i64>, limit: usize) -> Result<Vec<Order>, StoreError>;

    /// The user's order of this client reference, or `None`.
    async fn order_named(&self, user: UserId, client_reference: String) -> Result<Option<Order>, StoreError>;

    /// At most `limit` entries of an order's log with a number above `after`, in their order.
    async fn log_after(&self, id: OrderId, after: i64, limit: usize) -> Result<Vec<LogEntry>, StoreError>;

    /// At most `limit` orders that are not at their end, with an id above `after`, oldest first.
    async fn open_orders(&self, filter: SagaFilter, after: Option<i64>, limit: usize)
    -> Result<Vec<Order>, StoreError>;

    /// How many orders are not at their end, counted no further than to `limit`. It is asked for several times a second.
    async fn count_open(&self, limit: usize) -> Result<u64, StoreError>;

    /// Any user's order with its log and what operators did to it, or `None`.
    async fn saga(&self, id: OrderId) -> Result<Option<SagaRecord>, StoreError>;

    /// Makes an order due now, as one that was never issued again, and records who wanted that. An order at its end is
    /// left as it is. `None` when there is no such order.
    async fn hurry(&self, now: Timestamp, id: OrderId, instruction: Instruction) -> Result<Option<Order>, StoreError>;

    /// Stores messages that nobody can understand, each with its error.
    async fn bury(&self, now: Timestamp, letters: Vec<DeadLetter>) -> Result<(), StoreError>;
}

/// An order as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SagaRecord {
    /// The order.
    pub order: Order,
    /// Its log.
    pub log: Vec<LogEntry>,
    /// What operators did to it here, oldest first; at most [`MAX_ACTS`].
    pub acts: Vec<Act>,
}

/// A message that nobody can understand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Where it came from.
    pub source: String,
    /// What it said.
    pub payload: String,
    /// What is wrong with it.
    pub error: String,
}

/// The deposits.
#[async_trait]
pub trait DepositStore: Send + Sync {
    /// Stores deposits that are new, each with the command of its booking, to be issued again from `due` on.
    /// Idempotent by (user, key). Those of frozen users are refused as their orders are, unless an operator books them.
    async fn create_deposits(
        &self,
        now: Timestamp,
        due: Timestamp,
        deposits: Vec<NewDeposit>,
        announce: Announce<DepositId>,
    ) -> Result<Vec<Placement<Deposit, DepositId>>, StoreError>;

    /// Records that the ledger has booked these. Recording it twice changes nothing.
    async fn book_deposits(&self, now: Timestamp, ids: Vec<DepositId>) -> Result<(), StoreError>;

    /// As [`OrderStore::claim_due`], of deposits that are pending.
    async fn claim_due(&self, now: Timestamp, limit: usize, pauses: Vec<Duration>) -> Result<Vec<Deposit>, StoreError>;

    /// Makes every pending deposit due now. Returns how many there are.
    async fn make_due(&self, now: Timestamp) -> Result<u64, StoreError>;
}

/// How long idempotency keys are kept. Their age is counted in the time for which workers have run on this store, added
/// up, and never read from a clock: that can be set.
#[async_trait]
pub trait KeyStore: Send + Sync {
    /// For how long workers have run, as far as was counted.
    async fn running_time(&self) -> Result<Duration, StoreError>;

    /// Counts `more`, unless another has counted since `seen` was the running time, and remembers which orders and
    /// deposits are there by now. Returns the running time.
    async fn count_running_time(&self, seen: Duration, more: Duration) -> Result<Duration, StoreError>;

    /// Forgets the keys of what is at its end and was there when this much running time was counted: at most `limit` of
    /// orders, and of deposits, and returns how many. Nobody asks for less than was asked for before.
    async fn forget_keys(&self, until: Duration, limit: usize) -> Result<usize, StoreError>;
}

/// A user who may do nothing at present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Who.
    pub user_id: UserId,
    /// By whom, and why.
    pub instruction: Instruction,
    /// Since when.
    pub since: Timestamp,
}

/// What became of the wish to freeze a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frozen {
    /// They are frozen from now on.
    Now(Freeze),
    /// They were frozen before; that freeze stands unchanged.
    Before(Freeze),
}

/// Who is frozen. Every change is recorded as an act, with who wanted it and why.
#[async_trait]
pub trait FreezeStore: Send + Sync {
    /// Freezes a user: whoever asks after the answer is told so, and nothing is stored for them any more.
    async fn freeze(&self, now: Timestamp, user: UserId, instruction: Instruction) -> Result<Frozen, StoreError>;

    /// Lifts a freeze. Whether there was one.
    async fn unfreeze(&self, now: Timestamp, user: UserId, instruction: Instruction) -> Result<bool, StoreError>;

    /// Whether a user is frozen. On the path of every request.
    async fn is_frozen(&self, user: UserId) -> Result<bool, StoreError>;

    /// A user's freeze, if there is one, and what operators did to them, oldest first; at most [`MAX_ACTS`].
    async fn freeze_of(&self, user: UserId) -> Result<(Option<Freeze>, Vec<Act>), StoreError>;

    /// At most `limit` freezes of users with an id above `after`, by user.
    async fn freezes(&self, after: Option<i64>, limit: usize) -> Result<Vec<Freeze>, StoreError>;
}
