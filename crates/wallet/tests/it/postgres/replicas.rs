//! Two processes at the same thing at the same moment: it is done once, and each is told what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use contracts::OrderId;
use contracts::clients::Side;
use contracts::operators::Instruction;
use futures::future::join;
use wallet::domain::{Fact, OrderState, replay};
use wallet::ports::{Advanced, Frozen, NewDeposit, NewOrder, Placement, SagaRecord};

use super::{Given, given, wait_for_waiters};
use crate::conformance::{Replica, after, key, new_order, start};
use crate::samples::*;

type Placed = Placement<Box<wallet::domain::Order>, OrderId>;

fn create(replica: &Replica, orders: Vec<NewOrder>) -> impl Future<Output = Vec<Placed>> + Send + use<> {
    let store = Arc::clone(&replica.orders);
    async move {
        let placed = store.create_orders(start(), after(3), orders, Box::new(|_| {})).await;
        placed.unwrap()
    }
}

async fn create_one(replica: &Replica) -> OrderId {
    match create(replica, vec![new_order(2)]).await.as_slice() {
        [Placement::Created(order)] => order.id,
        other => panic!("a new order, not {other:?}"),
    }
}

fn sent(replica: &Replica) -> usize {
    let mut rows = replica.rows.lock().unwrap();
    std::iter::from_fn(|| rows.try_recv().ok()).count()
}

fn new_deposit(reference: String) -> NewDeposit {
    NewDeposit {
        user_id: user(2),
        amount: usd("600"),
        reference,
        idempotency: None,
        instruction: None,
    }
}

fn instruction() -> Instruction {
    Instruction {
        operator: "operator:ann".to_owned(),
        reason: "card stolen".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_reaches_both_at_once_makes_one_order() {
    let given = given().await;
    let (one, two) = (&given.one, &given.two);
    for round in 0..100 {
        let keyed = |request| NewOrder {
            idempotency: key(&format!("k{round}"), request),
            ..new_order(2)
        };
        let (first, second) = join(create(one, vec![keyed(1), keyed(2)]), create(two, vec![keyed(1)])).await;
        let ((Placement::Created(new), Placement::Replayed(again))
        | (Placement::Replayed(again), Placement::Created(new))) = (&first[0], &second[0])
        else {
            panic!("{first:?} {second:?}")
        };
        assert_eq!(new, again);
        assert_eq!(first[1], Placement::KeyReused);
    }
    assert_eq!(sent(one) + sent(two), 100, "one hold each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposit_that_reaches_both_at_once_is_one() {
    let given = given().await;
    let (one, two) = (&given.one, &given.two);
    for round in 0..50 {
        let deposit = |number: i32| NewDeposit {
            idempotency: key(&format!("k{round}"), 1),
            ..new_deposit(format!("{round} {number}"))
        };
        let create = |replica: &Replica, deposit| {
            let store = Arc::clone(&replica.deposits);
            async move {
                let placed = store
                    .create_deposits(start(), after(3), vec![deposit], Box::new(|_| {}))
                    .await;
                placed.unwrap().remove(0)
            }
        };
        let (first, second) = join(create(one, deposit(1)), create(two, deposit(2))).await;
        let ((Placement::Created(new), Placement::Replayed(again))
        | (Placement::Replayed(again), Placement::Created(new))) = (&first, &second)
        else {
            panic!("{first:?} {second:?}")
        };
        assert_eq!(new, again);
    }
    assert_eq!(sent(one) + sent(two), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_that_reaches_both_at_once_moves_its_order_once() {
    let given = given().await;
    let (one, two) = (&given.one, &given.two);
    for _ in 0..50 {
        let id = create_one(one).await;
        for (fact, revision) in [(Fact::Held, 2), (exchanged(Side::Buy), 3), (withdrawn(), 4)] {
            let advance = |replica: &Replica| {
                let (store, events) = (Arc::clone(&replica.orders), vec![(id, event(fact.clone()))]);
                async move { store.advance(after(1), after(4), events).await.unwrap().remove(0) }
            };
            let (first, second) = join(advance(one), advance(two)).await;
            let ((Advanced::Moved { order, .. }, Advanced::Ignored { state, .. })
            | (Advanced::Ignored { state, .. }, Advanced::Moved { order, .. })) = (&first, &second)
            else {
                panic!("{first:?} {second:?}")
            };
            assert_eq!((order.revision, *state), (revision, order.saga.state));
        }
        let SagaRecord { order, log, .. } = two.orders.saga(id).await.unwrap().unwrap();
        assert_eq!((order.saga.state, log.len()), (OrderState::Completed, 4));
        assert_eq!(replay(&log), Ok(order.saga));
    }
    assert_eq!(sent(one) + sent(two), 50 * 4, "hold, trade, transfer and mail of each");
}

/// Takes everything that is due, ten at a time, from both at once.
async fn swept<Id: Ord + Copy>(sweep: impl AsyncFn(&Replica) -> Vec<Id>, given: &Given) -> BTreeMap<Id, u32> {
    let mut taken = BTreeMap::new();
    loop {
        let (first, second) = join(sweep(&given.one), sweep(&given.two)).await;
        if first.is_empty() && second.is_empty() {
            return taken;
        }
        for id in first.into_iter().chain(second) {
            *taken.entry(id).or_default() += 1;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_is_taken_by_one_of_two_sweeps() {
    let given = given().await;
    let pauses = || vec![Duration::from_secs(5)];
    for _ in 0..3 {
        create(&given.one, vec![new_order(2); 100]).await;
    }
    let deposits = (0..100).map(|number| new_deposit(number.to_string())).collect();
    let placed = given
        .one
        .deposits
        .create_deposits(start(), after(3), deposits, Box::new(|_| {}));
    assert_eq!(placed.await.unwrap().len(), 100);

    let orders = async |replica: &Replica| -> Vec<_> {
        let claimed = replica.orders.claim_due(after(3), 10, pauses()).await.unwrap();
        claimed.iter().map(|order| order.id).collect()
    };
    let taken = swept(orders, &given).await;
    assert_eq!((taken.len(), taken.values().max()), (300, Some(&1)));
    let deposits = async |replica: &Replica| -> Vec<_> {
        let claimed = replica.deposits.claim_due(after(3), 10, pauses()).await.unwrap();
        claimed.iter().map(|deposit| deposit.id).collect()
    };
    let taken = swept(deposits, &given).await;
    assert_eq!((taken.len(), taken.values().max()), (100, Some(&1)));
}

#[tokio::test]
async fn of_many_that_are_due_at_the_same_moment_none_is_left_out() {
    const MANY: i64 = 5_000;
    let given = given().await;
    let owner = given.owner().await;
    // More at each of three moments than one turn takes.
    let many = format!(
        "INSERT INTO wallet.orders (order_id, user_id, side, asset, currency, requested, definition, state, revision,
            next_attempt_at, created_at, updated_at)
         SELECT number, 2, 'buy', 'BTC', 'USD', 1, 1, 'created', 1, {} + number % 3, 0, 0
         FROM generate_series(1, {MANY}) AS number",
        after(60).as_microsecond()
    );
    owner.batch_execute(&many).await.unwrap();
    assert_eq!(given.one.orders.make_due(after(1)).await, Ok(MANY.unsigned_abs()));
    let left = "SELECT count(*) FROM wallet.orders WHERE next_attempt_at <> $1";
    let left = owner.query_one(left, &[&after(1).as_microsecond()]).await.unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_sweep_passes_over_what_another_process_has_in_hand() {
    let given = given().await;
    let (in_hand, free) = (create_one(&given.one).await, create_one(&given.one).await);
    let mut owner = given.owner().await;
    let locked = owner.transaction().await.unwrap();
    let lock = "SELECT 1 FROM wallet.orders WHERE order_id = $1 FOR UPDATE";
    locked.execute(lock, &[&in_hand.get()]).await.unwrap();
    let claim = async || -> Vec<_> {
        let claimed = given
            .two
            .orders
            .claim_due(after(3), 10, vec![Duration::from_secs(5)])
            .await
            .unwrap();
        claimed.iter().map(|order| order.id).collect()
    };
    assert_eq!(claim().await, [free]);
    locked.rollback().await.unwrap();
    assert_eq!(claim().await, [in_hand]);
}

/// Someone holds the user's lock; `first` comes to wait for it, then `second`, and then it is let go.
async fn one_behind_the_other<A: Send + 'static, B: Send + 'static>(
    given: &Given,
    first: impl Future<Output = A> + Send + 'static,
    second: impl Future<Output = B> + Send + 'static,
) -> (A, B) {
    let (mut owner, watcher) = (given.owner().await, given.owner().await);
    let held = owner.transaction().await.unwrap();
    held.execute("SELECT wallet.lock_users(ARRAY[2::bigint])", &[])
        .await
        .unwrap();
    let first = tokio::spawn(first);
    wait_for_waiters(&watcher, 1).await;
    let second = tokio::spawn(second);
    wait_for_waiters(&watcher, 2).await;
    held.rollback().await.unwrap();
    (first.await.unwrap(), second.await.unwrap())
}

#[tokio::test]
async fn nothing_is_stored_behind_a_freeze_that_another_process_was_asked_for_first() {
    let given = given().await;
    let (freezes, deposits) = (Arc::clone(&given.one.freezes), Arc::clone(&given.two.deposits));
    let freeze = async move { freezes.freeze(after(1), user(2), instruction()).await.unwrap() };
    let behind = create(&given.two, vec![new_order(2), new_order(3)]);
    let behind = async move {
        let deposits =
            deposits.create_deposits(after(1), after(3), vec![new_deposit("a".to_owned())], Box::new(|_| {}));
        let (orders, deposits) = join(behind, deposits).await;
        (orders, deposits.unwrap())
    };
    let (frozen, (orders, deposits)) = one_behind_the_other(&given, freeze, behind).await;
    assert!(matches!(frozen, Frozen::Now(_)), "{frozen:?}");
    assert!(
        matches!(orders.as_slice(), [Placement::Frozen, Placement::Created(_)]),
        "{orders:?}"
    );
    assert_eq!(deposits, [Placement::Frozen]);
    assert_eq!(given.one.freezes.is_frozen(user(2)).await, Ok(true));
    assert_eq!(given.two.freezes.is_frozen(user(2)).await, Ok(true));
}

#[tokio::test]
async fn a_freeze_is_answered_after_what_was_asked_for_before_it_is_stored() {
    let given = given().await;
    let orders = Arc::clone(&given.one.orders);
    let freezes = Arc::clone(&given.two.freezes);
    let freeze = async move {
        let frozen = freezes.freeze(after(1), user(2), instruction()).await.unwrap();
        (frozen, orders.orders(user(2), None, 10).await.unwrap().len())
    };
    let before = create(&given.one, vec![new_order(2)]);
    let (placed, (frozen, stored)) = one_behind_the_other(&given, before, freeze).await;
    assert!(matches!(placed.as_slice(), [Placement::Created(_)]), "{placed:?}");
    assert!(matches!(frozen, Frozen::Now(_)), "{frozen:?}");
    assert_eq!(stored, 1);
}

#[tokio::test]
async fn no_key_is_taken_for_older_than_it_is_however_late_its_order_is_committed() {
    let given = given().await;
    let mut owner = given.owner().await;
    let watcher = given.owner().await;
    // Whoever wants this reference now has drawn a number, and waits for what becomes of the other row.
    let held = owner.transaction().await.unwrap();
    let rival = "INSERT INTO wallet.orders (order_id, user_id, client_reference, side, asset, currency, requested,
         definition, state, revision, next_attempt_at, created_at, updated_at)
         VALUES (1000000, 2, 'rent', 'buy', 'BTC', 'USD', 1, 1, 'created', 1, 0, 0, 0)";
    held.execute(rival, &[]).await.unwrap();
    let late = NewOrder {
        client_reference: Some("rent".to_owned()),
        idempotency: key("k", 1),
        ..new_order(2)
    };
    let late = tokio::spawn(create(&given.one, vec![late]));
    wait_for_waiters(&watcher, 1).await;
    assert!(matches!(
        create(&given.two, vec![new_order(3)]).await.as_slice(),
        [Placement::Created(_)]
    ));
    let count = async || {
        let seconds = Duration::from_secs;
        given.two.keys.count_running_time(seconds(0), seconds(10)).await
    };
    count().await.unwrap_err();
    held.rollback().await.unwrap();
    let late = late.await.unwrap();
    let [Placement::Created(late)] = late.as_slice() else {
        panic!("{late:?}")
    };
    assert_eq!(count().await, Ok(Duration::from_secs(10)));
    let refused = vec![(late.id, event(Fact::HoldRefused))];
    given.one.orders.advance(after(1), after(4), refused).await.unwrap();
    assert_eq!(given.two.keys.forget_keys(Duration::from_secs(10), 10).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_that_two_processes_count_at_once_is_counted_once() {
    let given = given().await;
    let (one, two) = (&given.one, &given.two);
    let mut ran = Duration::ZERO;
    for round in 1..=50 {
        let count = |replica: &Replica, more| {
            let keys = Arc::clone(&replica.keys);
            async move {
                loop {
                    // The other one may have the gate for longer than is waited for it.
                    if let Ok(counted) = keys.count_running_time(ran, more).await {
                        return counted;
                    }
                }
            }
        };
        let (first, second) = (Duration::from_secs(round), Duration::from_secs(round + 1));
        let counted = join(count(one, first), count(two, second)).await;
        assert_eq!(counted.0, counted.1);
        assert!([ran + first, ran + second].contains(&counted.0), "{counted:?}");
        ran = counted.0;
    }
}
