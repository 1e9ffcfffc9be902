//! The server or the way to it breaks at a commit: whoever asked is told that nobody knows, and what was signed is found
//! again and never signed twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bc_gateway::ports::{Commitment, SignedBatch};
use contracts::UserId;
use contracts::messages::Step;
use storage::StoreError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use contracts::{Clock as _, ServiceName};
use storage::commands::Settlement;

use super::store::{CHAIN, NOW, Suite, party};
use super::{a_fresh_store, connect, stores};
use crate::world::{COIN, World, btc, key, onward, user, withdrawal};

#[tokio::test]
async fn a_server_that_dies_while_it_commits_leaves_the_outcome_unknown_and_the_nonce_to_whoever_asks_again() {
    let given = a_fresh_store().await;
    let suite = Suite::from(given.stores());
    let owner = given.owner().await;
    let dies_at_commit = "
        CREATE FUNCTION bc_gateway.die() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
        $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(5); RETURN NULL; END $$;
        CREATE CONSTRAINT TRIGGER dies AFTER INSERT ON bc_gateway.transfers DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION bc_gateway.die()";
    owner.batch_execute(dies_at_commit).await.unwrap();
    let claimed = suite.claimed(key(1, Step::Withdraw)).await;
    let batch = || SignedBatch {
        chain: CHAIN,
        from: party(UserId::HOT_WALLET),
        first_nonce: 0,
        commands: vec![Suite::item(&claimed, user(2), btc(1), 0)],
    };
    let lost = suite.store.commit(NOW, batch()).await;
    assert!(matches!(lost, Err(StoreError::Unknown(_))), "{lost:?}");
    owner
        .batch_execute("DROP TRIGGER dies ON bc_gateway.transfers")
        .await
        .unwrap();
    assert_eq!(suite.store.transfer(claimed.key).await, Ok(None));
    let hot = party(UserId::HOT_WALLET).address;
    assert_eq!(suite.store.next_nonce(&hot).await, Ok(None));
    assert_eq!(suite.store.commit(NOW, batch()).await, Ok(vec![Commitment::Written]));
    // The same once more, as if its answer had been lost.
    assert_eq!(suite.store.commit(NOW, batch()).await, Ok(vec![Commitment::Outdated]));
    assert_eq!(suite.store.next_nonce(&hot).await, Ok(Some(1)));
}

/// Stands between a process and its server, and cuts the connection when as many commits have passed as it is told, before
/// the last of them is answered.
async fn a_way_that_breaks(server: &str, commits_left: Arc<AtomicI64>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = server.to_owned();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(&server).await.unwrap();
            tokio::spawn(carry(near, far, Arc::clone(&commits_left)));
        }
    });
    address
}

async fn carry(mut near: TcpStream, mut far: TcpStream, commits_left: Arc<AtomicI64>) {
    let (mut from_near, mut from_far) = ([0; 65_536], [0; 65_536]);
    loop {
        tokio::select! {
            read = near.read(&mut from_near) => {
                let Ok(count @ 1..) = read else { return };
                let said = &from_near[..count];
                far.write_all(said).await.unwrap();
                let commits = said.windows(7).any(|word| word == b"COMMIT\0");
                if commits && commits_left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    // The server's answer says that it is done. Nobody hears it.
                    let _ = far.read(&mut from_far).await;
                    return;
                }
            }
            read = far.read(&mut from_far) => {
                let Ok(count @ 1..) = read else { return };
                if near.write_all(&from_far[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_customer_pays_is_signed_and_sent_once_whichever_commits_answer_is_lost() {
    let given = a_fresh_store().await;
    let world = World::on(given.stores());
    let commits_left = Arc::new(AtomicI64::new(0));
    let (before, database) = given.url.split_once('@').unwrap();
    let (server, database) = database.split_once('/').unwrap();
    let way = a_way_that_breaks(server, Arc::clone(&commits_left)).await;
    let far = connect(&format!("{before}@{way}/{database}"), ServiceName::BcGateway).await;
    let (mut lost_commits, mut signed_and_lost) = (0, 0);
    for number in 1_i64.. {
        world.accept(withdrawal(1_000 + number)).await;
        world.finish().await;
        world.accept(onward(number)).await;
        // A process that remembers nothing, on the way that breaks.
        let far = stores(&far);
        let process = world.service_with(
            Arc::new(world.chain.clone()),
            far.transfers,
            far.commands,
            Arc::clone(&world.ledger) as _,
        );
        let claimed = world.claim(key(number, Step::Withdraw)).await;
        let (name, epoch) = (claimed.key, claimed.epoch);
        commits_left.store(number, Ordering::SeqCst);
        let settlement = process.handler().handle(claimed).await;
        let lost = commits_left.swap(0, Ordering::SeqCst) <= 0;
        let waits = matches!(settlement, Settlement::Postponed { .. });
        let signed = world.transfers.transfer(name).await.unwrap();
        assert!(!lost || waits || signed.is_some(), "{number}: {settlement:?}");
        signed_and_lost +=
            u64::from(lost && waits && signed.is_some() && world.confirmed(number, name.step).await == 0);
        let settled = vec![(name, epoch, settlement)];
        world.commands.settle(world.clock.now(), settled).await.unwrap();
        world.finish().await;
        let after = world.transfers.transfer(name).await.unwrap();
        assert!(signed.is_none() || signed == after, "{number}: {signed:?} {after:?}");
        assert_eq!(world.confirmed(number, name.step).await, 1, "lost at {number}");
        let arrived = i128::from(number) * 3 * COIN;
        let balances = (world.ledger.balance(user(2)), world.ledger.balance(user(3)));
        assert_eq!(balances, (0, arrived), "lost at {number}");
        assert_eq!(world.coins_of(user(3)).await, arrived, "lost at {number}");
        if !lost {
            break;
        }
        lost_commits += 1;
    }
    assert!(lost_commits >= 3, "only {lost_commits} were lost");
    assert_eq!(
        signed_and_lost, 1,
        "of one the signed bytes were on disk, and nobody knew"
    );
    let nonce = world.transfers.next_nonce(&world.service.address(user(2))).await;
    assert_eq!(nonce, Ok(Some(lost_commits + 1)));
    assert_eq!(world.ledger.in_transit(), 0);
    world.assert_coins_conserved().await;
}
