//! Claims by a worker that is at some commands already: by a wrong clock their leases are over, and they are its own.

use storage::commands::{CommandStore as _, Held};

use super::a_fresh_store;
use crate::given::{command, key, noon, noon_plus};

#[tokio::test]
async fn what_a_worker_is_at_is_not_claimed_beside_it_and_keeps_nobody_waiting() {
    let given = a_fresh_store().await;
    for (accepted, order) in [(noon(), 1), (noon(), 2), (noon_plus(60), 3), (noon_plus(60), 4)] {
        let commands = vec![command(order, "buy")];
        given.commands.accept(accepted, commands, false).await.unwrap();
    }
    let claimed = given.commands.claim(noon(), vec![key(1), key(2)]).await.unwrap();
    let mut held: Held = claimed.iter().map(|claimed| (claimed.key, claimed.epoch)).collect();

    // By this clock all four are due, those that are held first.
    let late = noon_plus(3_600);
    let beside = given
        .commands
        .claim_beside(late, vec![key(1), key(2)], held.clone())
        .await;
    assert_eq!(beside, Ok(vec![]));
    let due = given.commands.claim_due_beside(late, 1, held.clone()).await.unwrap();
    assert_eq!(due.iter().map(|claimed| claimed.key).collect::<Vec<_>>(), [key(3)]);

    // An older claim than the latest is nobody's.
    held.insert(key(1), 0);
    let beside = given
        .commands
        .claim_beside(late, vec![key(1), key(2)], held)
        .await
        .unwrap();
    assert_eq!(
        beside
            .iter()
            .map(|claimed| (claimed.key, claimed.epoch))
            .collect::<Vec<_>>(),
        [(key(1), 2)]
    );
}
