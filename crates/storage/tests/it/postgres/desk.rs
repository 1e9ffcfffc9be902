//! A desk: who waits together is served together, everybody hears how it ended, and nobody suffers for a neighbour.

use std::sync::Arc;

use futures::future::{join_all, poll_immediate};
use storage::StoreError;
use storage::postgres::{Desk, Tx, TxError, Work};

use super::{Given, a_fresh_store, administer};

/// A gate that whoever works goes through: a lock that a test can hold.
const GATE: &str = "SELECT pg_advisory_xact_lock(77)::text";
const WAITERS: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'";

/// Stores numbers, refuses 13, and answers with how many calls were served at once. A call is made of as many numbers.
struct Storing;

impl Work for Storing {
    type Call = Vec<i64>;
    type Answer = usize;

    fn items(call: &Vec<i64>) -> usize {
        call.len()
    }

    async fn together(&self, tx: &mut Tx, calls: &[Arc<Vec<i64>>]) -> Result<Vec<Result<usize, StoreError>>, TxError> {
        tx.query(GATE, &[]).await?;
        let mut answers = Vec::new();
        for call in calls {
            if call.contains(&13) {
                answers.push(Err(StoreError::Unavailable("not that one".to_owned())));
                continue;
            }
            assert!(!call.contains(&26), "a number that nobody expects");
            let sql = "INSERT INTO exchanger.numbers SELECT unnest($1::bigint[])";
            tx.write(sql, vec![Box::new(call.to_vec())], Some(call.len() as u64));
            answers.push(Ok(calls.len()));
        }
        Ok(answers)
    }
}

/// Does nothing with what it is brought.
struct Idle;

impl Work for Idle {
    type Call = Arc<()>;
    type Answer = ();

    fn items(_: &Arc<()>) -> usize {
        1
    }

    async fn together(&self, _: &mut Tx, calls: &[Arc<Arc<()>>]) -> Result<Vec<Result<(), StoreError>>, TxError> {
        Ok(vec![Ok(()); calls.len()])
    }
}

async fn a_desk() -> (Given, Desk<Storing>) {
    let given = a_fresh_store().await;
    let table = "CREATE TABLE exchanger.numbers (number bigint PRIMARY KEY);
        GRANT ALL ON exchanger.numbers TO PUBLIC";
    administer(&given.url, &[table.to_owned()]).await;
    let desk = Desk::new(given.database.clone(), Storing);
    (given, desk)
}

impl Given {
    async fn numbers(&self) -> Vec<String> {
        self.texts("SELECT number::text FROM {}numbers ORDER BY number").await
    }

    /// Someone holds the gate.
    async fn a_closed_gate(&self) -> Tx {
        let mut tx = self.database.tries().begin().await.unwrap();
        tx.query(GATE, &[]).await.unwrap();
        tx
    }

    /// Returns when somebody waits at the gate.
    async fn wait_for_a_waiter(&self) {
        // A service does not see who connects as somebody else.
        let (owner, connection) = tokio_postgres::connect(&self.url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        while owner.query_one(WAITERS, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Brings each call in a task of its own, in this order, the others while the first is at work.
async fn brought_together(given: &Given, desk: &Desk<Storing>, calls: Vec<Vec<i64>>) -> Vec<Result<usize, StoreError>> {
    let gate = given.a_closed_gate().await;
    let mut brought = Vec::new();
    for call in calls {
        let mut one = Box::pin({
            let desk = desk.clone();
            async move { desk.bring(call).await }
        });
        assert!(poll_immediate(&mut one).await.is_none(), "nobody gets through");
        if brought.is_empty() {
            given.wait_for_a_waiter().await;
        }
        brought.push(one);
    }
    gate.roll_back().await;
    join_all(brought).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_call_is_left_at_the_desk_when_its_caller_is_answered() {
    let given = a_fresh_store().await;
    let desk = Desk::new(given.database.clone(), Idle);
    let taken = Arc::new(());
    // Whoever answers may be another thread, and is only seldom slower than who is answered.
    for _ in 0..500 {
        assert_eq!(desk.bring(Arc::clone(&taken)).await, Ok(()));
        assert_eq!(Arc::strong_count(&taken), 1);
    }
}

#[tokio::test]
async fn those_who_wait_are_served_in_one_transaction_and_each_is_answered() {
    let (given, desk) = a_desk().await;
    let answers = brought_together(&given, &desk, vec![vec![1], vec![2], vec![13], vec![3]]).await;
    let refused = Err(StoreError::Unavailable("not that one".to_owned()));
    assert_eq!(answers, [Ok(1), Ok(3), refused, Ok(3)]);
    assert_eq!(desk.bring(vec![4]).await, Ok(1), "and the line begins anew");
    assert_eq!(given.numbers().await, ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn more_than_two_hundred_items_are_served_one_after_the_other() {
    let (given, desk) = a_desk().await;
    let many = |from| (from..from + 150).collect();
    let answers = brought_together(&given, &desk, vec![vec![1], many(1_000), many(2_000), vec![2]]).await;
    assert_eq!(answers, [Ok(1), Ok(1), Ok(2), Ok(2)]);
}

#[tokio::test]
async fn one_who_gives_up_takes_nothing_away_from_those_behind() {
    let (given, desk) = a_desk().await;
    let gate = given.a_closed_gate().await;
    let mut brought: Vec<_> = [1, 2, 3].map(|number| Box::pin(desk.bring(vec![number]))).into();
    assert!(poll_immediate(&mut brought[0]).await.is_none());
    given.wait_for_a_waiter().await;
    for behind in &mut brought[1..] {
        assert!(poll_immediate(behind).await.is_none());
    }
    // The first is under way: it is done all the same. The second is not.
    drop(brought.drain(..2));
    gate.roll_back().await;
    assert_eq!(join_all(brought).await, [Ok(1)]);
    assert_eq!(given.numbers().await, ["1", "3"]);
}

#[tokio::test]
async fn those_whose_server_panics_hear_that_nobody_knows_and_the_desk_opens_again() {
    let (given, desk) = a_desk().await;
    let answers = brought_together(&given, &desk, vec![vec![1], vec![26], vec![3]]).await;
    assert_eq!(answers[0], Ok(1));
    let unknown = |answer: &Result<_, StoreError>| matches!(answer, Err(StoreError::Unknown(_)));
    assert!(answers[1..].iter().all(unknown), "{answers:?}");
    assert_eq!(desk.bring(vec![4]).await, Ok(1));
    assert_eq!(given.numbers().await, ["1", "4"]);
}

#[tokio::test]
async fn a_commit_that_is_lost_is_unknown_to_everybody_who_waited_for_it() {
    let (given, desk) = a_desk().await;
    let dies_at_commit = "
        CREATE FUNCTION exchanger.die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON exchanger.numbers DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION exchanger.die()";
    administer(&given.url, &[dies_at_commit.to_owned()]).await;
    let answers = brought_together(&given, &desk, vec![vec![1], vec![2], vec![3]]).await;
    let unknown = |answer: &Result<_, StoreError>| matches!(answer, Err(StoreError::Unknown(_)));
    assert!(answers.iter().all(unknown), "{answers:?}");
    administer(&given.url, &["DROP TRIGGER dies ON exchanger.numbers".to_owned()]).await;
    assert_eq!(given.numbers().await, Vec::<String>::new());
    assert_eq!(desk.bring(vec![1]).await, Ok(1));
}
