//! Sudden death: everything the gateway calls, wrapped so that a chosen call never comes back, before or after its
//! effect. Whoever waits for it is then dropped, as a process is when it is killed.

use std::future::{Future, pending};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bc_gateway::Service;
use bc_gateway::chain::simulated::SimulatedChain;
use bc_gateway::ports::{
    Address, BroadcastAnswer, Chain, CoinReservation, Commitment, CountedCoins, FindAnswer, Keys, NewSweep,
    NonceAnswer, OpenSweep, Reservation, SendCheck, SignedBatch, SignedTransfer, StoredTransfer, TransferDraft,
    TransferStore, Unfinished,
};
use contracts::UserId;
use contracts::clients::{Balance, ClientError, Opened, WalletBalances};
use contracts::ledger::{Posting, PostingOutcome, StatementLine};
use contracts::messages::FailureCode;
use jiff::Timestamp;
use storage::StoreError;
use storage::commands::{
    Acceptance, Amended, BeyondRecall, Claimed, CommandKey, CommandStore, Entombment, Fencing, Held, Intervention,
    NewCommand, Record, Settlement, Standing,
};
use tokio::sync::Notify;

use crate::world::World;

/// Burns down by one before and after each call outside; the call at which it is spent never ends.
#[derive(Clone)]
pub(crate) struct Fuse(Arc<Parts>);

struct Parts {
    left: AtomicUsize,
    spent: Notify,
}

impl Fuse {
    pub(crate) fn new(length: usize) -> Self {
        Self(Arc::new(Parts {
            left: AtomicUsize::new(length),
            spent: Notify::new(),
        }))
    }

    async fn burn(&self) {
        let burnt = self
            .0
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if burnt == Ok(1) {
            self.0.spent.notify_one();
            pending::<()>().await;
        }
        // A dead process makes no calls.
        if burnt.is_err() {
            pending::<()>().await;
        }
    }

    /// `None` when it died.
    pub(crate) async fn live<T>(&self, life: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.0.spent.notified() => None,
            lived = life => Some(lived),
        }
    }

    async fn call<T>(&self, call: impl Future<Output = T>) -> T {
        self.burn().await;
        let answer = call.await;
        self.burn().await;
        answer
    }
}

/// `chain` in a process that dies when the fuse is spent.
pub(crate) fn mortal_chain(chain: &SimulatedChain, fuse: &Fuse) -> Arc<dyn Chain> {
    Arc::new(Fused(Arc::new(chain.clone()) as Arc<dyn Chain>, fuse.clone()))
}

/// A process on `world`'s databases that dies when the fuse is spent.
pub(crate) fn mortal(world: &World, fuse: &Fuse) -> Service {
    world.service_with(
        mortal_chain(&world.chain, fuse),
        Arc::new(Fused(
            Arc::clone(&world.transfers) as Arc<dyn TransferStore>,
            fuse.clone(),
        )),
        Arc::new(Fused(
            Arc::clone(&world.commands) as Arc<dyn CommandStore>,
            fuse.clone(),
        )),
        Arc::new(Fused(Arc::clone(&world.ledger) as Arc<dyn Balance>, fuse.clone())),
    )
}

struct Fused<T: ?Sized>(Arc<T>, Fuse);

#[async_trait]
impl Chain for Fused<dyn Chain> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn address(&self, keys: &Keys) -> Address {
        self.0.address(keys)
    }

    fn sign(&self, keys: &Keys, draft: &TransferDraft, nonce: u64) -> SignedTransfer {
        self.0.sign(keys, draft, nonce)
    }

    async fn can_send(&self, draft: &TransferDraft) -> SendCheck {
        self.1.call(self.0.can_send(draft)).await
    }

    async fn next_nonce(&self, address: &Address) -> NonceAnswer {
        self.1.call(self.0.next_nonce(address)).await
    }

    async fn confirmed_nonce(&self, address: &Address, depth: u32) -> NonceAnswer {
        self.1.call(self.0.confirmed_nonce(address, depth)).await
    }

    async fn broadcast(&self, transfer: &SignedTransfer) -> BroadcastAnswer {
        self.1.call(self.0.broadcast(transfer)).await
    }

    async fn find(&self, hash: &str) -> FindAnswer {
        self.1.call(self.0.find(hash)).await
    }
}

#[async_trait]
impl TransferStore for Fused<dyn TransferStore> {
    async fn address(&self, chain: &'static str, user: UserId) -> Result<Option<Address>, StoreError> {
        self.1.call(self.0.address(chain, user)).await
    }

    async fn next_nonce(&self, address: &Address) -> Result<Option<u64>, StoreError> {
        self.1.call(self.0.next_nonce(address)).await
    }

    async fn confirmed_nonce(&self, user: UserId) -> Result<Option<u64>, StoreError> {
        self.1.call(self.0.confirmed_nonce(user)).await
    }

    async fn reserve(&self, now: Timestamp, reservation: CoinReservation) -> Result<Reservation, StoreError> {
        self.1.call(self.0.reserve(now, reservation)).await
    }

    async fn was_reserved(&self, key: CommandKey) -> Result<bool, StoreError> {
        self.1.call(self.0.was_reserved(key)).await
    }

    async fn commit(&self, now: Timestamp, batch: SignedBatch) -> Result<Vec<Commitment>, StoreError> {
        self.1.call(self.0.commit(now, batch)).await
    }

    async fn transfer(&self, key: CommandKey) -> Result<Option<StoredTransfer>, StoreError> {
        self.1.call(self.0.transfer(key)).await
    }

    async fn unfinished(&self, after: Option<i64>, limit: usize) -> Result<Vec<Unfinished>, StoreError> {
        self.1.call(self.0.unfinished(after, limit)).await
    }

    async fn count_coins(&self, now: Timestamp, limit: usize) -> Result<Vec<CountedCoins>, StoreError> {
        self.1.call(self.0.count_coins(now, limit)).await
    }

    async fn begin_sweep(&self, now: Timestamp, sweep: NewSweep) -> Result<Option<i64>, StoreError> {
        self.1.call(self.0.begin_sweep(now, sweep)).await
    }

    async fn open_sweeps(&self, now: Timestamp, limit: usize) -> Result<Vec<OpenSweep>, StoreError> {
        self.1.call(self.0.open_sweeps(now, limit)).await
    }

    async fn postpone_sweep(&self, id: i64, until: Timestamp) -> Result<(), StoreError> {
        self.1.call(self.0.postpone_sweep(id, until)).await
    }

    async fn finish_sweep(&self, now: Timestamp, id: i64) -> Result<(), StoreError> {
        self.1.call(self.0.finish_sweep(now, id)).await
    }

    async fn bring_forward(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.1.call(self.0.bring_forward(now)).await
    }
}

#[async_trait]
impl CommandStore for Fused<dyn CommandStore> {
    async fn accept(
        &self,
        now: Timestamp,
        commands: Vec<NewCommand>,
        grant: bool,
    ) -> Result<Vec<Acceptance>, StoreError> {
        self.1.call(self.0.accept(now, commands, grant)).await
    }

    async fn claim_beside(
        &self,
        now: Timestamp,
        keys: Vec<CommandKey>,
        held: Held,
    ) -> Result<Vec<Claimed>, StoreError> {
        self.1.call(self.0.claim_beside(now, keys, held)).await
    }

    async fn claim_due_beside(&self, now: Timestamp, limit: usize, held: Held) -> Result<Vec<Claimed>, StoreError> {
        self.1.call(self.0.claim_due_beside(now, limit, held)).await
    }

    fn lease(&self) -> Duration {
        self.0.lease()
    }

    async fn checkpoint(
        &self,
        now: Timestamp,
        key: CommandKey,
        epoch: i64,
        progress: String,
    ) -> Result<Fencing, StoreError> {
        self.1.call(self.0.checkpoint(now, key, epoch, progress)).await
    }

    async fn settle(
        &self,
        now: Timestamp,
        settlements: Vec<(CommandKey, i64, Settlement)>,
    ) -> Result<Vec<Fencing>, StoreError> {
        self.1.call(self.0.settle(now, settlements)).await
    }

    async fn entomb(
        &self,
        now: Timestamp,
        command: NewCommand,
        code: FailureCode,
        beyond_recall: BeyondRecall,
    ) -> Result<Entombment, StoreError> {
        self.1.call(self.0.entomb(now, command, code, beyond_recall)).await
    }

    async fn record(&self, key: CommandKey) -> Result<Option<Record>, StoreError> {
        self.1.call(self.0.record(key)).await
    }

    async fn intervene(&self, now: Timestamp, intervention: Intervention) -> Result<Amended, StoreError> {
        self.1.call(self.0.intervene(now, intervention)).await
    }

    async fn standing(&self, key: CommandKey) -> Result<Option<Standing>, StoreError> {
        self.1.call(self.0.standing(key)).await
    }

    async fn open_count(&self) -> Result<u64, StoreError> {
        self.1.call(self.0.open_count()).await
    }

    async fn bring_forward(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.1.call(self.0.bring_forward(now)).await
    }

    async fn release_leases(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.1.call(self.0.release_leases(now)).await
    }
}

#[async_trait]
impl Balance for Fused<dyn Balance> {
    async fn open_wallet(&self, user: UserId) -> Result<Opened, ClientError> {
        self.1.call(self.0.open_wallet(user)).await
    }

    async fn wallet(&self, user: UserId) -> Result<Option<WalletBalances>, ClientError> {
        self.1.call(self.0.wallet(user)).await
    }

    async fn statement(
        &self,
        user: UserId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Option<Vec<StatementLine>>, ClientError> {
        self.1.call(self.0.statement(user, before, limit)).await
    }

    async fn post(&self, postings: Vec<Posting>) -> Result<Vec<PostingOutcome>, ClientError> {
        self.1.call(self.0.post(postings)).await
    }
}
