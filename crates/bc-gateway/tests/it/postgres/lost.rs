//! The server or the way to it breaks at a commit: whoever asked is told that nobody knows, and what was signed is found
//! again and never signed twice.

use std::sync::Arc;

use bc_gateway::ports::{Commitment, SignedBatch};
use contracts::UserId;
use contracts::messages::Step;
use storage::StoreError;
use test_servers::postgres::Way;

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

#[tokio::test]
async fn what_a_customer_pays_is_signed_and_sent_once_whichever_commits_answer_is_lost() {
    let given = a_fresh_store().await;
    let world = World::on(given.stores());
    let way = Way::to(&given.url);
    let far = connect(way.url(), ServiceName::BcGateway).await;
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
        way.break_at_commit(number);
        let settlement = process.handler().handle(claimed).await;
        let lost = way.mend();
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
