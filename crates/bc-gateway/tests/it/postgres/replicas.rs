//! Replicas at the same addresses at the same time: each nonce is one transfer's, coins are promised once, and nobody hears
//! of a deadlock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bc_gateway::ports::{
    Address, CoinReservation, Commitment, Funds, NewSweep, Party, Reservation, SignedBatch, SignedCommand,
};
use contracts::UserId;
use contracts::messages::Step;
use storage::commands::Claimed;
use tokio_postgres::Client;

use super::store::{CHAIN, NOW, Suite, bytes, party};
use super::{Given, a_fresh_store};
use crate::world::{btc, key, user};

/// Two processes on one database.
pub(super) struct Two {
    given: Given,
    pub(super) one: Arc<Suite>,
    pub(super) two: Arc<Suite>,
}

pub(super) async fn two() -> Two {
    let given = a_fresh_store().await;
    let (one, two) = (given.stores(), given.beside().await);
    // Whoever waits for a deadlock waits until its statement ends it, and the test fails.
    let owner = given.owner().await;
    let sql =
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''1h''', current_database()); END $$";
    owner.batch_execute(sql).await.unwrap();
    Two {
        given,
        one: Arc::new(one.into()),
        two: Arc::new(two.into()),
    }
}

/// Returns when as many callers wait for a lock in the database of `owner`.
async fn wait_for_waiters(owner: &Client, wanted: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while owner.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) < wanted {
        tokio::task::yield_now().await;
    }
}

impl Two {
    /// Runs both while nobody gets at the address of `user`, so that both have begun when the first one goes on.
    async fn race<T: Send + 'static>(
        &self,
        user: UserId,
        one: impl Future<Output = T> + Send + 'static,
        two: impl Future<Output = T> + Send + 'static,
    ) -> [T; 2] {
        let (holder, watcher) = (self.given.owner().await, self.given.owner().await);
        let place = i32::try_from(user.get()).unwrap();
        let of_users = 0x6263_6701_i32;
        let hold = "SELECT pg_advisory_lock($1, $2)::text";
        holder.query(hold, &[&of_users, &place]).await.unwrap();
        let racers = [tokio::spawn(one), tokio::spawn(two)];
        wait_for_waiters(&watcher, 2).await;
        let release = "SELECT pg_advisory_unlock($1, $2)";
        holder.query(release, &[&of_users, &place]).await.unwrap();
        let [one, two] = racers;
        [one.await.unwrap(), two.await.unwrap()]
    }
}

fn commit(
    suite: &Arc<Suite>,
    from: UserId,
    nonce: u64,
    commands: Vec<SignedCommand>,
) -> impl Future<Output = Vec<Commitment>> + Send + use<> {
    let suite = Arc::clone(suite);
    async move { suite.commit(from, nonce, commands).await }
}

/// Claims of the withdrawals with these numbers.
pub(super) async fn claims(suite: &Suite, numbers: impl IntoIterator<Item = i64>, step: Step) -> Vec<Claimed> {
    let mut claims = Vec::new();
    for number in numbers {
        claims.push(suite.claimed(key(number, step)).await);
    }
    claims
}

pub(super) fn items(claims: &[Claimed], to: impl Fn(usize) -> UserId, first: u64) -> Vec<SignedCommand> {
    let numbered = claims.iter().enumerate();
    let item = numbered.map(|(at, claimed)| Suite::item(claimed, to(at), btc(1), first + at as u64));
    item.collect()
}

#[tokio::test]
async fn of_two_that_sign_with_one_nonce_one_writes_and_the_other_signs_anew() {
    let both = two().await;
    let mut next = 0;
    // The first round is about an address that never sent: no row is there yet.
    for round in 0..3 {
        let of_one = claims(&both.one, [round * 10 + 1, round * 10 + 2], Step::Withdraw).await;
        let of_two = claims(&both.two, [round * 10 + 3, round * 10 + 4], Step::Withdraw).await;
        let to = |at| if at == 0 { user(2) } else { user(3) };
        let one = commit(&both.one, UserId::HOT_WALLET, next, items(&of_one, to, next));
        let two = commit(&both.two, UserId::HOT_WALLET, next, items(&of_two, to, next));
        let outcomes = both.race(UserId::HOT_WALLET, one, two).await;
        let mut sorted = outcomes.clone();
        sorted.sort_by_key(|outcomes| outcomes[0] == Commitment::Outdated);
        assert_eq!(sorted, [[Commitment::Written; 2], [Commitment::Outdated; 2]]);
        next += 2;
        let late = if outcomes[0][0] == Commitment::Outdated {
            &of_one
        } else {
            &of_two
        };
        let again = commit(&both.one, UserId::HOT_WALLET, next, items(late, to, next)).await;
        assert_eq!(again, [Commitment::Written; 2]);
        next += 2;
        let hot = party(UserId::HOT_WALLET).address;
        assert_eq!(both.two.store.next_nonce(&hot).await, Ok(Some(next)));
    }
    let mut nonces = BTreeSet::new();
    for number in (0..3).flat_map(|round| (1..=4).map(move |one| round * 10 + one)) {
        let stored = both.one.store.transfer(key(number, Step::Withdraw)).await.unwrap();
        nonces.insert(stored.unwrap().nonce);
    }
    assert_eq!(nonces, (0..12).collect());
}

#[tokio::test]
async fn one_command_that_two_replicas_sign_is_signed_once() {
    let both = two().await;
    let claimed = claims(&both.one, [1], Step::Withdraw).await;
    let sign = |suite| commit(suite, UserId::HOT_WALLET, 0, items(&claimed, |_| user(2), 0));
    let outcomes = both.race(UserId::HOT_WALLET, sign(&both.one), sign(&both.two)).await;
    assert!(outcomes.contains(&vec![Commitment::Written]), "{outcomes:?}");
    assert!(outcomes.contains(&vec![Commitment::Outdated]), "{outcomes:?}");
    let hot = party(UserId::HOT_WALLET).address;
    assert_eq!(both.one.store.next_nonce(&hot).await, Ok(Some(1)));
    // A new claim is another's, whatever the nonce.
    let later = NOW + Duration::from_secs(3_600);
    let heir = both
        .two
        .commands
        .claim(later, vec![key(1, Step::Withdraw)])
        .await
        .unwrap();
    assert_eq!(heir[0].epoch, claimed[0].epoch + 1);
    let stale = commit(&both.one, UserId::HOT_WALLET, 1, items(&claimed, |_| user(2), 1)).await;
    assert_eq!(stale, [Commitment::Fenced]);
}

#[tokio::test]
async fn the_hot_wallets_last_coins_go_to_one_of_two_replicas() {
    let both = two().await;
    let claimed = claims(&both.one, [1, 2], Step::Withdraw).await;
    let funds = Funds {
        coins: btc(10),
        nonce: 0,
    };
    let item = |at: usize, nonce| SignedCommand {
        funds,
        ..Suite::item(&claimed[at], user(2), btc(6), nonce)
    };
    let one = commit(&both.one, UserId::HOT_WALLET, 0, vec![item(0, 0)]);
    let two = commit(&both.two, UserId::HOT_WALLET, 0, vec![item(1, 0)]);
    let outcomes = both.race(UserId::HOT_WALLET, one, two).await;
    let late = usize::from(outcomes[0] == [Commitment::Written]);
    assert_eq!(outcomes[late], [Commitment::Outdated]);
    // Signed anew, on an answer of the chain that knows nothing of the first.
    let again = commit(&both.two, UserId::HOT_WALLET, 1, vec![item(late, 1)]).await;
    assert_eq!(again, [Commitment::CoinsMissing]);
}

/// User 2 has this much, and all of it is counted.
async fn with_coins(both: &Two, units: i128) {
    both.one.withdrawn(100, 0, user(2), units).await;
    both.one.store.count_coins(NOW, 10).await.unwrap();
}

fn reserve(suite: &Arc<Suite>, claimed: &Claimed, units: i128) -> impl Future<Output = Reservation> + Send + use<> {
    let reservation = CoinReservation {
        key: claimed.key,
        epoch: claimed.epoch,
        from: user(2),
        amount: btc(units),
    };
    let suite = Arc::clone(suite);
    async move { suite.store.reserve(NOW, reservation).await.unwrap() }
}

fn sweep(suite: &Arc<Suite>, counted: i128, nonce: u64) -> impl Future<Output = Option<i64>> + Send + use<> {
    let sweep = NewSweep {
        chain: CHAIN,
        from: party(user(2)),
        counted: btc(counted),
        reservations: 0,
        amount: btc(1),
        transfer: bytes(nonce),
    };
    let suite = Arc::clone(suite);
    async move { suite.store.begin_sweep(NOW, sweep).await.unwrap() }
}

#[tokio::test]
async fn a_customers_coins_are_reserved_by_one_of_two_replicas() {
    let both = two().await;
    with_coins(&both, 10).await;
    let claimed = claims(&both.one, [1, 2], Step::WithdrawBack).await;
    let (one, two) = (reserve(&both.one, &claimed[0], 6), reserve(&both.two, &claimed[1], 6));
    let mut outcomes = both.race(user(2), one, two).await;
    outcomes.sort_by_key(|outcome| *outcome == Reservation::CoinsMissing);
    assert_eq!(outcomes, [Reservation::Reserved, Reservation::CoinsMissing]);
    // One command, which two replicas believe to have: it is reserved for once, and said so once.
    let claimed = claims(&both.one, [3], Step::WithdrawBack).await;
    let again = |suite: &Arc<Suite>| {
        let (suite, claimed) = (Arc::clone(suite), claimed[0].clone());
        async move {
            let reservation = CoinReservation {
                key: claimed.key,
                epoch: claimed.epoch,
                from: user(2),
                amount: btc(2),
            };
            suite.store.reserve(NOW, reservation).await.ok()
        }
    };
    let outcomes = both.race(user(2), again(&both.one), again(&both.two)).await;
    assert!(outcomes.contains(&Some(Reservation::Reserved)), "{outcomes:?}");
    assert!(outcomes.contains(&None), "{outcomes:?}");
}

#[tokio::test]
async fn coins_are_swept_by_one_replica_and_not_where_the_other_reserves_them() {
    let both = two().await;
    with_coins(&both, 10).await;
    let begun = both
        .race(user(2), sweep(&both.one, 10, 0), sweep(&both.two, 10, 0))
        .await;
    let id = begun.iter().flatten().copied().collect::<Vec<_>>();
    assert_eq!(id.len(), 1, "{begun:?}");
    // Both are told that it is confirmed; it is taken off once.
    let finish = |suite: &Arc<Suite>| {
        let (suite, id) = (Arc::clone(suite), id[0]);
        async move { suite.store.finish_sweep(NOW, id).await }
    };
    let finished = both.race(user(2), finish(&both.one), finish(&both.two)).await;
    assert_eq!(finished, [Ok(()), Ok(())]);
    for round in 1..=10 {
        let counted = both.one.store.count_coins(NOW, 10).await.unwrap().remove(0);
        assert_eq!((counted.coins, counted.settled), (btc(9), true), "round {round}");
        let claimed = claims(&both.one, [round], Step::WithdrawBack).await;
        let reservation = CoinReservation {
            key: claimed[0].key,
            epoch: claimed[0].epoch,
            from: user(2),
            amount: btc(9),
        };
        let wish = NewSweep {
            chain: CHAIN,
            from: party(user(2)),
            counted: btc(9),
            reservations: counted.reservations,
            amount: btc(9),
            transfer: bytes(1),
        };
        let (reserving, sweeping) = (Arc::clone(&both.one), Arc::clone(&both.two));
        let [reserved, begun] = both
            .race(
                user(2),
                async move { reserving.store.reserve(NOW, reservation).await.unwrap() == Reservation::Reserved },
                async move { sweeping.store.begin_sweep(NOW, wish).await.unwrap().is_some() },
            )
            .await;
        assert!(reserved != begun, "round {round}: {reserved} {begun}");
        if begun {
            return;
        }
        // Given up, for the next round.
        both.one.done(&claimed[0]).await;
    }
}

#[tokio::test]
async fn whoever_is_at_an_address_is_passed_over_by_the_count_and_not_waited_for() {
    let both = two().await;
    with_coins(&both, 10).await;
    both.one.withdrawn(101, 1, user(3), 5).await;
    let holder = both.given.owner().await;
    let hold = "SELECT pg_advisory_lock($1, 2)::text";
    holder.query(hold, &[&0x6263_6701_i32]).await.unwrap();
    let counted = both.two.store.count_coins(NOW, 10).await.unwrap();
    let users: Vec<_> = counted.iter().map(|counted| counted.user_id).collect();
    assert_eq!(users, [user(3)]);
    holder.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    assert_eq!(both.two.store.count_coins(NOW, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn an_address_that_two_replicas_assign_at_once_is_assigned_once() {
    let both = two().await;
    let claimed = claims(&both.one, [1, 2], Step::Withdraw).await;
    let with_address = |at: usize, address: &str| {
        let mut item = Suite::item(&claimed[at], user(7), btc(1), 0);
        item.to.address = Address::try_new(address).unwrap();
        item
    };
    // Two senders, so that only the receiver's lock is between them.
    both.one.withdrawn(100, 0, user(2), 5).await;
    let back = SignedBatch {
        chain: CHAIN,
        from: Party { ..party(user(2)) },
        first_nonce: 0,
        commands: vec![with_address(0, "here")],
    };
    let out = SignedBatch {
        chain: CHAIN,
        from: party(UserId::HOT_WALLET),
        first_nonce: 1,
        commands: vec![SignedCommand {
            transfer: bytes(1),
            ..with_address(1, "there")
        }],
    };
    let (one, two) = (Arc::clone(&both.one), Arc::clone(&both.two));
    let outcomes = both
        .race(
            user(7),
            async move { one.store.commit(NOW, back).await.unwrap() },
            async move { two.store.commit(NOW, out).await.unwrap() },
        )
        .await;
    assert!(outcomes.contains(&vec![Commitment::Written]), "{outcomes:?}");
    assert!(outcomes.contains(&vec![Commitment::WrongSeed]), "{outcomes:?}");
}
