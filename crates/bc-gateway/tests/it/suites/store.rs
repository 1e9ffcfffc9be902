//! The conformance suite of the transfer store: what every adapter must do, whatever its database.

#[path = "store/auditing.rs"]
mod auditing;
#[path = "store/hot_wallet.rs"]
mod hot_wallet;
#[path = "store/reservations.rs"]
mod reservations;

use std::sync::Arc;

use bc_gateway::ports::{
    Address, Commitment, Funds, NewSweep, Party, SignedBatch, SignedCommand, SignedTransfer, TransferStore,
};
use contracts::clients::WithdrawCommand;
use contracts::messages::{Step, StepResult};
use contracts::{Amount, UserId};
use jiff::Timestamp;
use storage::commands::{Acceptance, Claimed, CommandKey, CommandStore, NewCommand, Settlement};

use super::a_fresh_store;
use crate::stores::{Audit, Stores};
use crate::world::{btc, key, user, withdrawal};

pub(super) const NOW: Timestamp = Timestamp::UNIX_EPOCH;
pub(super) const CHAIN: &str = "paper";

pub(super) struct Suite {
    pub(super) commands: Arc<dyn CommandStore>,
    pub(super) store: Arc<dyn TransferStore>,
    pub(super) audit: Arc<dyn Audit>,
}

pub(super) fn party(user_id: UserId) -> Party {
    Party {
        user_id,
        address: Address::try_new(format!("address-{user_id}")).unwrap(),
    }
}

pub(super) fn bytes(nonce: u64) -> SignedTransfer {
    SignedTransfer {
        nonce,
        hash: format!("hash-{nonce}"),
        bytes: vec![1, 2, 3],
    }
}

fn funds(coins: i128, nonce: u64) -> Funds {
    Funds {
        coins: btc(coins),
        nonce,
    }
}

impl From<Stores> for Suite {
    fn from(stores: Stores) -> Self {
        Self {
            commands: stores.commands,
            store: stores.transfers,
            audit: stores.audit,
        }
    }
}

impl Suite {
    pub(super) async fn claimed(&self, key: CommandKey) -> Claimed {
        let command = WithdrawCommand {
            compensate: key.step == Step::WithdrawBack,
            ..withdrawal(key.order_id.get())
        };
        let content = serde_json::to_string(&command).unwrap();
        let command = NewCommand {
            key,
            content,
            progress: r#"{"phase":"unsigned"}"#.into(),
        };
        let mut accepted = self.commands.accept(NOW, vec![command], true).await.unwrap();
        let Acceptance::New(Some(claimed)) = accepted.remove(0) else {
            panic!("not new: {key:?}");
        };
        claimed
    }

    pub(super) fn item(claimed: &Claimed, to: UserId, amount: Amount, nonce: u64) -> SignedCommand {
        SignedCommand {
            key: claimed.key,
            epoch: claimed.epoch,
            to: party(to),
            amount,
            funds: funds(1_000_000, 0),
            transfer: bytes(nonce),
        }
    }

    pub(super) async fn commit(&self, from: UserId, first_nonce: u64, commands: Vec<SignedCommand>) -> Vec<Commitment> {
        let batch = SignedBatch {
            chain: CHAIN,
            from: party(from),
            first_nonce,
            commands,
        };
        self.store.commit(NOW, batch).await.unwrap()
    }

    pub(super) async fn done(&self, claimed: &Claimed) {
        let result = StepResult::Transferred {
            transaction: "x".into(),
        };
        let settlement = Settlement::Finished { result, progress: None };
        self.commands
            .settle(NOW, vec![(claimed.key, claimed.epoch, settlement)])
            .await
            .unwrap();
    }

    /// A confirmed withdrawal of `units` to `to` with this number and nonce.
    pub(super) async fn withdrawn(&self, number: i64, nonce: u64, to: UserId, units: i128) {
        let claimed = self.claimed(key(number, Step::Withdraw)).await;
        let outcomes = self
            .commit(
                UserId::HOT_WALLET,
                nonce,
                vec![Self::item(&claimed, to, btc(units), nonce)],
            )
            .await;
        assert_eq!(outcomes, [Commitment::Written]);
        self.done(&claimed).await;
    }

    fn sweep(counted: i128, amount: i128, nonce: u64) -> NewSweep {
        NewSweep {
            chain: CHAIN,
            from: party(user(2)),
            counted: btc(counted),
            reservations: 0,
            amount: btc(amount),
            transfer: bytes(nonce),
        }
    }

    async fn a_commit_stores_bytes_nonce_and_addresses_together(&self) {
        let hot = party(UserId::HOT_WALLET);
        assert_eq!(self.store.next_nonce(&hot.address).await.unwrap(), None);
        assert_eq!(self.store.address(CHAIN, user(2)).await.unwrap(), None);
        let (one, two) = (
            self.claimed(key(1, Step::Withdraw)).await,
            self.claimed(key(2, Step::Withdraw)).await,
        );
        let items = vec![
            Self::item(&one, user(2), btc(5), 40),
            Self::item(&two, user(3), btc(6), 41),
        ];
        assert_eq!(
            self.commit(UserId::HOT_WALLET, 40, items).await,
            [Commitment::Written; 2]
        );
        assert_eq!(self.store.next_nonce(&hot.address).await.unwrap(), Some(42));
        assert_eq!(
            self.store.address(CHAIN, user(2)).await.unwrap(),
            Some(party(user(2)).address)
        );
        assert_eq!(
            self.store.address(CHAIN, UserId::HOT_WALLET).await.unwrap(),
            Some(hot.address)
        );
        let stored = self.store.transfer(key(2, Step::Withdraw)).await.unwrap().unwrap();
        assert_eq!(
            (stored.from, stored.to, stored.amount),
            (UserId::HOT_WALLET, user(3), btc(6))
        );
        assert_eq!((stored.nonce, stored.hash.as_str()), (41, "hash-41"));
        let progress = self
            .commands
            .record(key(1, Step::Withdraw))
            .await
            .unwrap()
            .unwrap()
            .progress;
        assert_eq!(
            progress,
            r#"{"phase":"signed","nonce":40,"hash":"hash-40","bytes":"010203"}"#
        );
        self.done(&one).await;
        self.done(&two).await;
    }

    async fn only_the_next_nonce_is_taken(&self) {
        let claimed = self.claimed(key(3, Step::Withdraw)).await;
        for wrong in [41, 43] {
            let item = Self::item(&claimed, user(2), btc(1), wrong);
            assert_eq!(
                self.commit(UserId::HOT_WALLET, wrong, vec![item]).await,
                [Commitment::Outdated]
            );
        }
        assert_eq!(self.store.transfer(claimed.key).await.unwrap(), None);
        // A stale epoch uses nothing up, and those behind it are signed anew.
        let next = self.claimed(key(4, Step::Withdraw)).await;
        let mut stale = Self::item(&claimed, user(2), btc(1), 42);
        stale.epoch += 1;
        let items = vec![stale, Self::item(&next, user(2), btc(1), 43)];
        assert_eq!(
            self.commit(UserId::HOT_WALLET, 42, items).await,
            [Commitment::Fenced, Commitment::Outdated]
        );
        assert_eq!(
            self.store.next_nonce(&party(UserId::HOT_WALLET).address).await.unwrap(),
            Some(42)
        );
        let items = vec![
            Self::item(&next, user(2), btc(1), 42),
            Self::item(&claimed, user(2), btc(1), 43),
        ];
        assert_eq!(
            self.commit(UserId::HOT_WALLET, 42, items).await,
            [Commitment::Written; 2]
        );
        self.done(&claimed).await;
        self.done(&next).await;
        // A finished command is beyond every claim.
        let late = Self::item(&claimed, user(2), btc(1), 44);
        assert_eq!(
            self.commit(UserId::HOT_WALLET, 44, vec![late]).await,
            [Commitment::Fenced]
        );
    }

    async fn another_address_for_the_same_user_is_refused(&self) {
        let claimed = self.claimed(key(5, Step::Withdraw)).await;
        let mut item = Self::item(&claimed, user(2), btc(1), 44);
        item.to.address = Address::try_new("elsewhere").unwrap();
        assert_eq!(
            self.commit(UserId::HOT_WALLET, 44, vec![item.clone()]).await,
            [Commitment::WrongSeed]
        );
        item.to = party(user(2));
        let from = Party {
            address: item.to.address.clone(),
            ..party(UserId::HOT_WALLET)
        };
        let batch = SignedBatch {
            chain: CHAIN,
            from,
            first_nonce: 0,
            commands: vec![item.clone()],
        };
        assert_eq!(self.store.commit(NOW, batch).await.unwrap(), [Commitment::WrongSeed]);
        assert_eq!(
            self.commit(UserId::HOT_WALLET, 44, vec![item]).await,
            [Commitment::Written]
        );
        self.done(&claimed).await;
    }

    /// So far user 2 got 5 + 1 + 1 + 1, user 3 got 6.
    async fn coins_are_counted_once_and_the_longest_waiting_first(&self) {
        let later = |seconds| Timestamp::from_second(seconds).unwrap();
        let counts = self.store.count_coins(later(1), 1).await.unwrap();
        assert_eq!(counts.len(), 1);
        let mut all = self.store.count_coins(later(2), 1).await.unwrap();
        all.extend(counts);
        all.sort_by_key(|counted| counted.user_id);
        let seen: Vec<_> = all
            .iter()
            .map(|counted| (counted.user_id, counted.coins, counted.settled))
            .collect();
        assert_eq!(seen, [(user(2), btc(8), true), (user(3), btc(6), true)]);
        let again = self.store.count_coins(later(3), 100).await.unwrap();
        assert_eq!(again.iter().map(|counted| counted.coins.units()).sum::<i128>(), 14);
        // What is signed and not confirmed is not counted, and says so.
        let claimed = self.claimed(key(6, Step::Withdraw)).await;
        self.commit(UserId::HOT_WALLET, 45, vec![Self::item(&claimed, user(2), btc(2), 45)])
            .await;
        let counts = self.store.count_coins(later(4), 100).await.unwrap();
        let of_two = counts.iter().find(|counted| counted.user_id == user(2)).unwrap();
        assert_eq!((of_two.coins, of_two.settled), (btc(8), false));
        assert_eq!(self.store.begin_sweep(NOW, Self::sweep(8, 1, 0)).await.unwrap(), None);
        self.done(&claimed).await;
    }

    async fn a_sweep_begins_only_on_a_true_count_and_ends_once(&self) {
        // Confirmed and not counted yet: 8 is an old count.
        assert_eq!(self.store.begin_sweep(NOW, Self::sweep(8, 1, 0)).await.unwrap(), None);
        self.store.count_coins(NOW, 100).await.unwrap();
        assert_eq!(self.store.begin_sweep(NOW, Self::sweep(8, 1, 0)).await.unwrap(), None);
        let mut stranger = Self::sweep(10, 4, 0);
        stranger.from.address = Address::try_new("elsewhere").unwrap();
        assert_eq!(self.store.begin_sweep(NOW, stranger).await.unwrap(), None);
        let id = self
            .store
            .begin_sweep(NOW, Self::sweep(10, 4, 0))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(self.store.begin_sweep(NOW, Self::sweep(10, 4, 1)).await.unwrap(), None);
        assert_eq!(self.store.next_nonce(&party(user(2)).address).await.unwrap(), Some(1));
        let open = self.store.open_sweeps(NOW, 10).await.unwrap();
        assert_eq!(
            (open.len(), open[0].id, open[0].amount, open[0].tries),
            (1, id, btc(4), 0)
        );
        assert_eq!(open[0].transfer, bytes(0));
        let later = Timestamp::from_second(9).unwrap();
        self.store.postpone_sweep(id, later).await.unwrap();
        assert_eq!(self.store.open_sweeps(NOW, 10).await.unwrap(), []);
        assert_eq!(self.store.open_sweeps(later, 10).await.unwrap()[0].tries, 1);
        for _ in 0..2 {
            self.store.finish_sweep(later, id).await.unwrap();
        }
        assert_eq!(self.store.open_sweeps(later, 10).await.unwrap(), []);
        let counts = self.store.count_coins(NOW, 100).await.unwrap();
        let of_two = counts.iter().find(|counted| counted.user_id == user(2)).unwrap();
        assert_eq!((of_two.coins, of_two.settled), (btc(6), true));
    }

    async fn a_customers_coins_are_promised_once(&self) {
        let (one, two) = (
            self.claimed(key(1, Step::WithdrawBack)).await,
            self.claimed(key(2, Step::WithdrawBack)).await,
        );
        let items = vec![
            Self::item(&one, UserId::HOT_WALLET, btc(4), 1),
            Self::item(&two, UserId::HOT_WALLET, btc(3), 2),
        ];
        let outcomes = self.commit(user(2), 1, items).await;
        assert_eq!(outcomes, [Commitment::Written, Commitment::CoinsMissing]);
        assert_eq!(self.store.next_nonce(&party(user(2)).address).await.unwrap(), Some(2));
        let item = Self::item(&two, UserId::HOT_WALLET, btc(2), 2);
        assert_eq!(self.commit(user(2), 2, vec![item]).await, [Commitment::Written]);
        self.done(&one).await;
        self.done(&two).await;
        // New coins count as soon as they are confirmed, even before anybody counts them.
        self.withdrawn(7, 46, user(2), 1).await;
        let three = self.claimed(key(3, Step::WithdrawBack)).await;
        let item = Self::item(&three, UserId::HOT_WALLET, btc(1), 3);
        assert_eq!(self.commit(user(2), 3, vec![item]).await, [Commitment::Written]);
        self.done(&three).await;
    }

    /// So far user 3 has 6, of which 1 is being swept with nonce 2.
    async fn what_was_put_off_by_another_clock_is_brought_forward(&self) {
        let an_hour_later = Timestamp::from_second(3_600).unwrap();
        let sweep = self.store.open_sweeps(NOW, 10).await.unwrap().remove(0);
        self.store.postpone_sweep(sweep.id, an_hour_later).await.unwrap();
        let looked_at = self.store.count_coins(an_hour_later, 100).await.unwrap();
        let expected = self.audit.expected_coins().await;
        let leaving: Vec<_> = expected.iter().map(|line| line.leaving.units()).collect();
        let arriving: Vec<_> = expected.iter().map(|line| line.arriving.units()).collect();
        assert_eq!((leaving, arriving), (vec![0, 0, 1], vec![1, 0, 0]));
        assert_eq!(self.store.open_sweeps(NOW, 10).await.unwrap(), []);
        let in_line = looked_at.iter().filter(|counted| !counted.coins.is_zero()).count() as u64;
        assert_eq!(self.store.bring_forward(NOW).await, Ok(1 + in_line));
        assert_eq!(self.store.open_sweeps(NOW, 10).await.unwrap().len(), 1);
        assert_eq!(self.store.bring_forward(NOW).await, Ok(0));
    }
}

#[tokio::test]
async fn what_is_signed_counted_reserved_and_swept_fits_together() {
    let given = a_fresh_store().await;
    let suite = Suite::from(given.stores());
    // One after the other on one database: each finds what the ones before it left.
    suite.a_commit_stores_bytes_nonce_and_addresses_together().await;
    suite.only_the_next_nonce_is_taken().await;
    suite.another_address_for_the_same_user_is_refused().await;
    suite.coins_are_counted_once_and_the_longest_waiting_first().await;
    suite.a_sweep_begins_only_on_a_true_count_and_ends_once().await;
    suite.a_customers_coins_are_promised_once().await;
    suite.the_hot_wallets_coins_are_promised_once().await;
    suite.an_auditor_reads_what_is_where().await;
    suite
        .reserved_coins_are_nobody_elses_until_they_are_signed_away_or_given_up()
        .await;
    suite
        .coins_that_were_reserved_and_given_up_since_the_count_are_not_swept()
        .await;
    suite.what_was_put_off_by_another_clock_is_brought_forward().await;
    suite
        .pages_of_what_is_open_and_what_is_dead_leave_nothing_out_and_are_in_order()
        .await;
    suite
        .an_auditor_reads_each_phase_and_goes_on_where_something_cannot_be_read()
        .await;
}
