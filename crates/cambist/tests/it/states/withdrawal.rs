//! withdrawing: once the bytes are signed there is no way back, and whatever the chain loses, delays or undoes, one
//! transfer succeeds.

use std::time::Duration;

use bc_gateway::chain::simulated::Manner;
use contracts::Asset;
use rusqlite::{Connection, OpenFlags};
use test_kit::api::placed;
use test_kit::system::TestSystem;

use super::{BOUGHT, withdrawal_of};
use crate::ending::ending;

/// How often the chain was sent the bytes of this transfer while it did not have them, and under how many hashes.
fn broadcasts(system: &TestSystem, memo: &str) -> (i64, i64) {
    let path = system.data().join("chain.db");
    let chain = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    // The chain counts those that came to nothing; one more has lasted.
    let sql =
        "SELECT 1 + max(coalesce(number, 0)), count(*) FROM chain_transfers LEFT JOIN chain_broadcasts USING (hash)
        WHERE memo = ?";
    chain
        .query_row(sql, [memo], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
}

#[tokio::test]
async fn whatever_a_broadcast_meets_one_transfer_succeeds() {
    use Manner::{Confirm, LateConfirmation, LostBroadcast, Reorganise, UnknownButTaken, UnknownNotTaken};
    let system = TestSystem::start().await;
    let user = system.api.given_a_user_with("ada", "600").await;
    let late = LateConfirmation(Duration::from_millis(300));
    // What the chain does with each broadcast, and how many it takes.
    let cases: [(&[Manner], i64); 7] = [
        (&[Confirm], 1),
        (&[LostBroadcast], 2),
        (&[LostBroadcast, LostBroadcast], 3),
        (&[UnknownButTaken], 1),
        (&[UnknownNotTaken], 2),
        (&[late], 1),
        (&[Reorganise, LostBroadcast, Confirm], 3),
    ];
    let mut orders = Vec::new();
    for (place, (manners, _)) in (1..).zip(cases) {
        let manners = manners.iter().copied();
        system.chain_manners.next_broadcasts(withdrawal_of(place), manners);
        orders.push(placed(&user.buy("30", None).await));
    }
    for (id, (manners, sent)) in orders.into_iter().zip(cases) {
        ending(&system, &user, id).await.completed_by(BOUGHT);
        let memo = withdrawal_of(id).to_string();
        assert_eq!(system.chain.confirmed(&memo).await.unwrap(), 1, "{manners:?}");
        assert_eq!(
            broadcasts(&system, &memo),
            (sent, 1),
            "the same bytes each time: {manners:?}"
        );
    }
    assert_eq!(user.balances().await, ("390".into(), "21".into()));
    assert_eq!(system.coins(user.id, Asset::BTC).await, "21", "no coin is sent twice");
    system.assert_at_rest();
}
