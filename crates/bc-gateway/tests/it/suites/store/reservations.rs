//! The part of the suite about coins that are to be signed away: whoever reserves them first has them, and nobody counts them
//! twice.

use bc_gateway::domain::movement::Passage;
use bc_gateway::domain::progress::{Phase, Progress};
use bc_gateway::ports::{CoinReservation, Commitment, CountedCoins, NewSweep, Reservation};
use contracts::UserId;
use contracts::messages::{FailureCode, Step, StepResult};
use storage::commands::{Claimed, Settlement, State};

use super::{CHAIN, NOW, Suite, bytes, party};
use crate::world::{btc, key, user};

impl Suite {
    async fn reserve(&self, claimed: &Claimed, units: i128) -> Reservation {
        let reservation = CoinReservation {
            key: claimed.key,
            epoch: claimed.epoch,
            from: user(3),
            amount: btc(units),
        };
        self.store.reserve(NOW, reservation).await.unwrap()
    }

    async fn sign_away(&self, claimed: &Claimed, units: i128, nonce: u64) -> Commitment {
        let item = Self::item(claimed, UserId::HOT_WALLET, btc(units), nonce);
        self.commit(user(3), nonce, vec![item]).await.remove(0)
    }

    async fn count(&self) -> CountedCoins {
        let counts = self.store.count_coins(NOW, 100).await.unwrap();
        counts.into_iter().find(|counted| counted.user_id == user(3)).unwrap()
    }

    async fn begins(&self, seen: &CountedCoins, counted: i128, nonce: u64) -> bool {
        let sweep = NewSweep {
            chain: CHAIN,
            from: party(user(3)),
            counted: btc(counted),
            reservations: seen.reservations,
            amount: btc(1),
            transfer: bytes(nonce),
        };
        self.store.begin_sweep(NOW, sweep).await.unwrap().is_some()
    }

    async fn can_sweep(&self, counted: i128, nonce: u64) -> bool {
        let seen = self.count().await;
        let begun = self.begins(&seen, counted, nonce).await;
        assert_eq!(seen.settled, begun);
        begun
    }

    async fn given_up(&self, claimed: &Claimed) {
        let result = StepResult::Failure {
            code: FailureCode::WithdrawalRefused,
            detail: String::new(),
        };
        let failed = Settlement::Finished { result, progress: None };
        let settled = vec![(claimed.key, claimed.epoch, failed)];
        self.commands.settle(NOW, settled).await.unwrap();
    }

    async fn progress(&self, claimed: &Claimed) -> Progress {
        let record = self.commands.record(claimed.key).await.unwrap().unwrap();
        Progress::from_json(&record.progress).unwrap()
    }

    /// So far user 3 has 17, and nothing is under way.
    pub(super) async fn reserved_coins_are_nobody_elses_until_they_are_signed_away_or_given_up(&self) {
        let before = self.store.unfinished(None, 10).await.unwrap();
        let before = before.last().map(|step| step.number);
        let (one, two) = (
            self.claimed(key(13, Step::WithdrawBack)).await,
            self.claimed(key(14, Step::WithdrawBack)).await,
        );
        assert!(!self.store.was_reserved(one.key).await.unwrap());
        assert_eq!(self.reserve(&one, 10).await, Reservation::Reserved);
        assert!(self.store.was_reserved(one.key).await.unwrap());
        assert_eq!(self.progress(&one).await, Progress::Paying);
        let facts = self.audit.withdrawals(one.key.order_id, one.key.order_id).await;
        let begun = facts[0].withdrawal.as_ref().unwrap();
        assert_eq!(
            (begun.phase, begun.movement.passage),
            (Phase::Paying, Passage::InTransit)
        );
        assert_eq!(self.reserve(&two, 8).await, Reservation::CoinsMissing);
        let stale = Claimed {
            epoch: two.epoch + 1,
            ..two.clone()
        };
        assert_eq!(self.reserve(&stale, 7).await, Reservation::Fenced);
        assert!(!self.store.was_reserved(two.key).await.unwrap());
        assert_eq!(self.progress(&two).await, Progress::Unsigned);
        assert_eq!(self.sign_away(&two, 8, 0).await, Commitment::CoinsMissing);
        assert!(!self.can_sweep(17, 0).await);
        // Whose they are can sign them away, and then they are gone once.
        assert_eq!(self.sign_away(&one, 10, 0).await, Commitment::Written);
        assert_eq!(self.reserve(&two, 7).await, Reservation::Reserved);
        let unfinished = self.store.unfinished(before, 10).await.unwrap();
        let steps: Vec<_> = unfinished
            .iter()
            .map(|step| (step.order_id.get(), step.state))
            .collect();
        assert_eq!(steps, [(13, State::Open), (14, State::Open)]);
        assert_eq!(
            self.store.unfinished(Some(unfinished[0].number), 10).await.unwrap(),
            unfinished[1..]
        );
        assert_eq!(self.store.unfinished(before, 1).await.unwrap(), unfinished[..1]);
        self.done(&one).await;
        assert!(!self.can_sweep(7, 1).await);
        self.given_up(&two).await;
        assert!(self.can_sweep(7, 1).await);
        assert_eq!(self.store.unfinished(before, 10).await.unwrap(), []);
    }
    /// So far user 3 has 7, of which 1 is being swept with nonce 1.
    pub(super) async fn coins_that_were_reserved_and_given_up_since_the_count_are_not_swept(&self) {
        let sweep = self.store.open_sweeps(NOW, 10).await.unwrap().remove(0);
        self.store.finish_sweep(NOW, sweep.id).await.unwrap();
        let before = self.count().await;
        assert_eq!((before.coins, before.settled), (btc(6), true));
        // It reserves, pays, and is given up: who reads the balance in between takes the coins for nobody's.
        let back = self.claimed(key(15, Step::WithdrawBack)).await;
        assert_eq!(self.reserve(&back, 6).await, Reservation::Reserved);
        self.given_up(&back).await;
        // Another one wants more than there is: that releases what has ended.
        let other = self.claimed(key(16, Step::WithdrawBack)).await;
        assert_eq!(self.reserve(&other, 7).await, Reservation::CoinsMissing);
        assert!(!self.begins(&before, 6, 2).await);
        let after = self.count().await;
        assert_eq!((after.coins, after.settled), (before.coins, true));
        assert!(self.begins(&after, 6, 2).await);
        self.given_up(&other).await;
    }
    /// After all others: it leaves some open and some dead.
    pub(super) async fn pages_of_what_is_open_and_what_is_dead_leave_nothing_out_and_are_in_order(&self) {
        let before = self.store.unfinished(None, 100).await.unwrap();
        let before = before.last().map(|step| step.number);
        for number in 21..=28 {
            let claimed = self.claimed(key(number, Step::Withdraw)).await;
            if !matches!(number, 21 | 22 | 25) {
                continue;
            }
            let error = "nobody can read it".to_owned();
            let dead = vec![(claimed.key, claimed.epoch, Settlement::Dead { error })];
            self.commands.settle(NOW, dead).await.unwrap();
        }
        for limit in 1..=9 {
            let (mut seen, mut after) = (Vec::new(), before);
            loop {
                let page = self.store.unfinished(after, limit).await.unwrap();
                let Some(last) = page.last() else { break };
                after = Some(last.number);
                assert!(page.len() <= limit);
                seen.extend(page.iter().map(|step| (step.order_id.get(), step.state)));
            }
            let expected = (21..=28).map(|number| {
                let dead = matches!(number, 21 | 22 | 25);
                (number, if dead { State::Dead } else { State::Open })
            });
            assert_eq!(seen, expected.collect::<Vec<_>>(), "{limit}");
        }
    }
}
