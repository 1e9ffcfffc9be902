//! One gateway with everything around it, driven by hand: nothing happens until a test says so.

use std::sync::Arc;
use std::time::Duration;

use bc_gateway::chain::simulated::{Manners, ScriptedManners, SimulatedChain};
use bc_gateway::ports::{Chain, Purpose, TransferStore};
use bc_gateway::{Custody, Dependencies, Service, Settings};
use contracts::clients::{Balance, Submission, WithdrawCommand};
use contracts::messages::{Message, Queue, Step, StepResult};
use contracts::{Amount, Asset, Clock, ManualClock, OrderId, SeededEntropy, UserId};
use jiff::Timestamp;
use service_kit::internal::InternalTokens;
use storage::commands::{Claimed, CommandKey, CommandStore, Record, Settlement};
use storage::outbox::{Destination, OutboxRows, OutboxStore};
use tempfile::TempDir;
use transport::local::LocalTransport;

use crate::ledger::HandmadeLedger;
pub(crate) use crate::stores::LEASE;
use crate::stores::{Audit, HAND_OVER, Stores, on_file, open};

/// The coins that the chain begins with.
pub(crate) const GENESIS: i128 = 1_000_000 * COIN;
/// The wei that chain and ledger begin with: far beyond 2⁶⁴.
pub(crate) const RICHES: i128 = 10_i128.pow(30);
/// One bitcoin.
pub(crate) const COIN: i128 = 100_000_000;

pub(crate) fn order(number: i64) -> OrderId {
    OrderId::try_new(number).unwrap()
}

pub(crate) fn user(number: i64) -> UserId {
    UserId::try_new(number).unwrap()
}

pub(crate) fn btc(units: i128) -> Amount {
    Amount::new(units, Asset::BTC)
}

/// 3 BTC from the hot wallet to user 2.
pub(crate) fn withdrawal(number: i64) -> WithdrawCommand {
    WithdrawCommand {
        order_id: order(number),
        source_user_id: UserId::HOT_WALLET,
        acquirer_user_id: user(2),
        amount: btc(3 * COIN),
        compensate: false,
    }
}

/// 3 BTC from user 2 to user 3.
pub(crate) fn onward(number: i64) -> WithdrawCommand {
    WithdrawCommand {
        source_user_id: user(2),
        acquirer_user_id: user(3),
        ..withdrawal(number)
    }
}

pub(crate) fn taken_back(mut withdrawal: WithdrawCommand) -> WithdrawCommand {
    withdrawal.compensate = true;
    withdrawal
}

pub(crate) fn key(number: i64, step: Step) -> CommandKey {
    CommandKey {
        order_id: order(number),
        step,
    }
}

pub(crate) fn purpose(number: i64, step: Step) -> Purpose {
    Purpose::Order {
        order_id: order(number),
        step,
    }
}

pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) ledger: Arc<HandmadeLedger>,
    pub(crate) manners: Arc<ScriptedManners>,
    pub(crate) chain: SimulatedChain,
    pub(crate) commands: Arc<dyn CommandStore>,
    pub(crate) transfers: Arc<dyn TransferStore>,
    pub(crate) outbox: Arc<dyn OutboxStore>,
    pub(crate) rows: OutboxRows,
    pub(crate) audit: Arc<dyn Audit>,
    pub(crate) custody: Custody,
    pub(crate) service: Service,
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let manners = Arc::new(ScriptedManners::new());
        Self::with_manners(Arc::clone(&manners) as _, manners)
    }

    /// Order 1 is carried out: 3 BTC are user 2's, on the chain and in the books.
    pub(crate) async fn withdrawn() -> Self {
        let world = Self::new();
        world.accept(withdrawal(1)).await;
        world.finish().await;
        world
    }

    /// With manners of the caller's; `scripted` are those a test can reach, if they are the same.
    pub(crate) fn with_manners(manners: Arc<dyn Manners>, scripted: Arc<ScriptedManners>) -> Self {
        let folder = TempDir::new().unwrap();
        let stores = on_file(&open(&folder.path().join("cambist.db")));
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        Self::with(
            stores,
            folder,
            clock,
            Arc::new(HandmadeLedger::new()),
            manners,
            scripted,
        )
    }

    /// On stores of the caller's, which are empty.
    pub(crate) fn on(stores: Stores) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let manners = Arc::new(ScriptedManners::new());
        let folder = TempDir::new().unwrap();
        let ledger = Arc::new(HandmadeLedger::new());
        Self::with(stores, folder, clock, ledger, Arc::clone(&manners) as _, manners)
    }

    fn with(
        stores: Stores,
        folder: TempDir,
        clock: Arc<ManualClock>,
        ledger: Arc<HandmadeLedger>,
        manners: Arc<dyn Manners>,
        scripted: Arc<ScriptedManners>,
    ) -> Self {
        let custody = Custody::try_new(&[7; 32]).unwrap();
        let Stores {
            commands,
            transfers,
            outbox,
            rows,
            audit,
        } = stores;
        let chain = SimulatedChain::try_open(
            &folder.path().join("chain.db"),
            &custody.keys("simulated", UserId::HOT_WALLET),
            vec![btc(GENESIS), Amount::new(RICHES, Asset::ETH)],
            Arc::clone(&clock) as _,
            manners,
        )
        .unwrap();
        let service = Service::new(Dependencies {
            commands: Arc::clone(&commands),
            transfers: Arc::clone(&transfers),
            outbox: Arc::clone(&outbox),
            balance: Arc::clone(&ledger) as _,
            chain: Arc::new(chain.clone()),
            custody: custody.clone(),
            transport: Arc::new(LocalTransport::new(64)),
            internal_tokens: Arc::new(InternalTokens::try_new([]).unwrap()),
            clock: Arc::clone(&clock) as _,
            entropy: Arc::new(SeededEntropy::new(1)),
            settings: Settings::default(),
        });
        Self {
            clock,
            ledger,
            manners: scripted,
            chain,
            commands,
            transfers,
            outbox,
            rows,
            audit,
            custody,
            service,
            folder,
        }
    }

    /// What the service is made of here, to make another one of it.
    pub(crate) fn dependencies(&self) -> Dependencies {
        Dependencies {
            commands: Arc::clone(&self.commands),
            transfers: Arc::clone(&self.transfers),
            outbox: Arc::clone(&self.outbox),
            balance: Arc::clone(&self.ledger) as _,
            chain: Arc::new(self.chain.clone()),
            custody: self.custody.clone(),
            transport: Arc::new(LocalTransport::new(1_024)),
            internal_tokens: Arc::new(InternalTokens::try_new([]).unwrap()),
            clock: Arc::clone(&self.clock) as _,
            entropy: Arc::new(SeededEntropy::new(2)),
            settings: Settings::default(),
        }
    }

    /// A new process on the same databases, which remembers nothing, after the dead one's leases have run out.
    pub(crate) fn reborn(mut self) -> Self {
        self.clock.advance(LEASE);
        self.service = Service::new(self.dependencies());
        self
    }

    /// As [`World::reborn`], after the databases were closed and opened again.
    pub(crate) fn reopened(self) -> Self {
        let Self {
            clock,
            ledger,
            manners,
            folder,
            chain,
            commands,
            transfers,
            outbox,
            rows,
            audit,
            custody: _,
            service,
        } = self;
        // The locks of the databases go with the last of these.
        drop((chain, commands, transfers, outbox, rows, audit, service));
        let stores = on_file(&open(&folder.path().join("cambist.db")));
        Self::with(stores, folder, clock, ledger, Arc::clone(&manners) as _, manners)
    }

    /// A service that remembers nothing, on these parts instead of the world's.
    pub(crate) fn service_with(
        &self,
        chain: Arc<dyn Chain>,
        transfers: Arc<dyn TransferStore>,
        commands: Arc<dyn CommandStore>,
        balance: Arc<dyn Balance>,
    ) -> Service {
        Service::new(Dependencies {
            chain,
            transfers,
            commands,
            balance,
            ..self.dependencies()
        })
    }

    pub(crate) async fn submit(&self, command: WithdrawCommand) -> Submission {
        self.service.client().submit(vec![command]).await.unwrap().remove(0)
    }

    pub(crate) async fn accept(&self, command: WithdrawCommand) {
        let outcome = self.submit(command).await;
        assert_eq!(outcome, Submission::Accepted { replayed: false });
        // Nobody carries its wake-up here: it is due once that counts as lost.
        self.clock.advance(HAND_OVER);
    }

    pub(crate) async fn claim(&self, key: CommandKey) -> Claimed {
        self.commands
            .claim(self.clock.now(), vec![key])
            .await
            .unwrap()
            .remove(0)
    }

    /// Handles a claimed command and settles it.
    pub(crate) async fn handle(&self, claimed: Claimed) -> Settlement {
        let (key, epoch) = (claimed.key, claimed.epoch);
        let settlement = self.service.handler().handle(claimed).await;
        self.commands
            .settle(self.clock.now(), vec![(key, epoch, settlement.clone())])
            .await
            .unwrap();
        settlement
    }

    /// One try of whatever is due now.
    pub(crate) async fn try_all(&self) {
        for claimed in self.commands.claim_due(self.clock.now(), 1_000).await.unwrap() {
            self.handle(claimed).await;
        }
    }

    /// Lets time pass and the worker work until no command is open.
    pub(crate) async fn finish(&self) {
        self.finish_within(200).await;
    }

    pub(crate) async fn finish_within(&self, rounds: usize) {
        let open = self.work_for(rounds).await;
        assert_eq!(open, 0, "commands are still open");
    }

    /// As [`World::finish`], but gives up after some rounds. How many commands are open then.
    pub(crate) async fn work_for(&self, rounds: usize) -> u64 {
        for _ in 0..rounds {
            if self.commands.open_count().await.unwrap() == 0 {
                break;
            }
            self.try_all().await;
            self.clock.advance(Duration::from_secs(7));
        }
        self.commands.open_count().await.unwrap()
    }

    pub(crate) async fn record(&self, number: i64, step: Step) -> Record {
        self.commands.record(key(number, step)).await.unwrap().unwrap()
    }

    pub(crate) async fn result(&self, number: i64, step: Step) -> Option<StepResult> {
        self.record(number, step).await.result
    }

    pub(crate) async fn coins_of(&self, user: UserId) -> i128 {
        self.chain
            .coins(&self.service.address(user), Asset::BTC)
            .await
            .unwrap()
            .units()
    }

    /// How many transfers the chain confirmed for this step of an order.
    pub(crate) async fn confirmed(&self, number: i64, step: Step) -> u64 {
        self.chain.confirmed(&purpose(number, step).to_string()).await.unwrap()
    }

    pub(crate) async fn next_hot_nonce(&self) -> Option<u64> {
        let address = self.service.address(UserId::HOT_WALLET);
        self.transfers.next_nonce(&address).await.unwrap()
    }

    /// No coin came into being or went out of it.
    pub(crate) async fn assert_coins_conserved(&self) {
        let sum: i128 = self
            .chain
            .accounts()
            .await
            .unwrap()
            .iter()
            .filter(|account| account.coins.asset() == Asset::BTC)
            .map(|account| account.coins.units())
            .sum();
        assert_eq!(sum, GENESIS);
    }

    /// The results that were published, oldest first.
    pub(crate) fn published(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Ok(row) = self.rows.try_recv() {
            if row.destination == Destination::Queue(Queue::SagaSteps) {
                messages.push(serde_json::from_str(&row.payload).unwrap());
            }
        }
        messages
    }
}
