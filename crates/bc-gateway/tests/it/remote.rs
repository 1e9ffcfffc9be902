//! What lies between us and a chain elsewhere: processes that die, strangers that answer. Whatever happens there is unknown,
//! and asking tells the truth.

use std::sync::Arc;
use std::time::Duration;

use bc_gateway::chain::simulated::{DEPTH, Manner};
use bc_gateway::ports::{BroadcastAnswer, Chain, FindAnswer, NonceAnswer, SendCheck};
use contracts::UserId;
use contracts::messages::Step;
use futures::future::join_all;
use tokio::net::TcpListener;

use crate::chain::{Adapter, GATEWAY_TOKEN, Listener, Scene, way_to};
use crate::fuse::{Fuse, mortal_chain};
use crate::world::{purpose, user};

const HOT: UserId = UserId::HOT_WALLET;
const BRIEFLY: Duration = Duration::from_millis(150);

/// Nothing that is asked there has an answer, and nobody takes that for one.
async fn assert_all_unknown(chain: &dyn Chain, scene: &Scene, words: &str) {
    let transfer = scene.signed(HOT, user(2), 1, 7);
    let draft = scene.draft(HOT, user(2), 1, purpose(9, Step::Withdraw));
    let hot = scene.address(HOT);
    let (check, next, confirmed, broadcast, found) = tokio::join!(
        chain.can_send(&draft),
        chain.next_nonce(&hot),
        chain.confirmed_nonce(&hot, DEPTH),
        chain.broadcast(&transfer),
        chain.find(&transfer.hash),
    );
    let says = |reason: &String| assert!(reason.contains(words), "{reason}");
    assert!(
        matches!(&check, SendCheck::Unknown { reason } if { says(reason); true }),
        "{check:?}"
    );
    assert!(
        matches!(&next, NonceAnswer::Unknown { reason } if { says(reason); true }),
        "{next:?}"
    );
    assert!(
        matches!(&confirmed, NonceAnswer::Unknown { reason } if { says(reason); true }),
        "{confirmed:?}"
    );
    assert!(
        matches!(&broadcast, BroadcastAnswer::Unknown { reason } if { says(reason); true }),
        "{broadcast:?}"
    );
    assert!(
        matches!(&found, FindAnswer::Unknown { reason } if { says(reason); true }),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_chain_that_dies_around_a_broadcast_has_not_refused_it_and_tells_the_truth_when_it_is_back() {
    for (length, truth) in [
        (1, FindAnswer::NotFound),
        (2, FindAnswer::Confirmed { confirmations: DEPTH }),
    ] {
        let scene = Scene::new(Adapter::Itself).await;
        let dying = Listener::of(mortal_chain(&scene.simulated, &Fuse::new(length))).await;
        let transfer = scene.signed(HOT, user(2), 300, 0);
        let told = way_to(&dying.address, GATEWAY_TOKEN, BRIEFLY)
            .broadcast(&transfer)
            .await;
        assert!(matches!(told, BroadcastAnswer::Unknown { .. }), "{told:?}");
        let back = Listener::of(Arc::new(scene.simulated.clone()))
            .await
            .chain(GATEWAY_TOKEN);
        assert_eq!(back.find(&transfer.hash).await, truth);
        // The same bytes again, by whoever does not know: once on the chain.
        assert_eq!(back.broadcast(&transfer).await, BroadcastAnswer::Taken);
        assert_eq!((scene.coins(HOT).await, scene.coins(user(2)).await), (700, 300));
    }
}

#[tokio::test]
async fn what_the_chain_does_not_answer_is_unknown_before_its_caller_stops_waiting() {
    let scene = Scene::new(Adapter::Itself).await;
    let dead = mortal_chain(&scene.simulated, &Fuse::new(0));
    let listener = Listener::bounded(dead, BRIEFLY).await;
    assert_all_unknown(&listener.chain(GATEWAY_TOKEN), &scene, "did not answer within 150 ms").await;
}

#[tokio::test]
async fn a_chain_that_is_gone_says_nothing_or_does_not_let_us_in_has_refused_nothing() {
    let scene = Scene::new(Adapter::Itself).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = |socket: &TcpListener| format!("http://{}", socket.local_addr().unwrap());
    let closed = address(&TcpListener::bind("127.0.0.1:0").await.unwrap());
    for address in [address(&silent), closed] {
        assert_all_unknown(&way_to(&address, GATEWAY_TOKEN, BRIEFLY), &scene, &address).await;
    }
    let listener = Listener::of(Arc::new(scene.simulated.clone())).await;
    let elsewhere = format!("{}/bc_gateway", listener.address);
    for (address, token, words) in [
        (&listener.address, "nobodys-token", "CAMBIST_INTERNAL_TOKEN)"),
        (&listener.address, "token-of-exchanger", "is not for exchanger"),
        (&elsewhere, GATEWAY_TOKEN, "CAMBIST_CHAIN_URL"),
    ] {
        assert_all_unknown(&way_to(address, token, BRIEFLY), &scene, words).await;
    }
    let by_hand = listener
        .chain("token-of-operator:ann")
        .next_nonce(&scene.address(HOT))
        .await;
    assert_eq!(
        by_hand,
        NonceAnswer::Next(0),
        "operators may look; nothing was sent before"
    );
}

#[tokio::test]
async fn what_is_signed_here_is_what_the_chain_itself_would_sign() {
    let scene = Scene::new(Adapter::Remote).await;
    let draft = scene.draft(HOT, user(2), 300, purpose(1, Step::Withdraw));
    let keys = scene.custody.keys("simulated", HOT);
    assert_eq!(scene.chain.name(), scene.simulated.name());
    assert_eq!(scene.chain.address(&keys), scene.simulated.address(&keys));
    assert_eq!(
        scene.chain.sign(&keys, &draft, 4),
        scene.simulated.sign(&keys, &draft, 4)
    );
}

#[tokio::test]
async fn many_transfers_are_each_answered_for_themselves() {
    let scene = Scene::new(Adapter::Remote).await;
    let transfers: Vec<_> = (0..250).map(|nonce| scene.signed(HOT, user(2), 1, nonce)).collect();
    for number in (10..=250).step_by(10) {
        let lost = [Manner::UnknownButTaken];
        scene.manners.next_broadcasts(purpose(number, Step::Withdraw), lost);
    }
    let answers = join_all(transfers.iter().map(|transfer| scene.chain.broadcast(transfer))).await;
    for (number, answer) in (1..).zip(answers) {
        match number % 10 {
            0 => assert!(
                matches!(answer, BroadcastAnswer::Unknown { .. }),
                "{number}: {answer:?}"
            ),
            _ => assert_eq!(answer, BroadcastAnswer::Taken, "{number}"),
        }
    }
    let found = join_all(transfers.iter().map(|transfer| scene.chain.find(&transfer.hash))).await;
    assert!(
        found.iter().all(|found| matches!(found, FindAnswer::Confirmed { .. })),
        "{found:?}"
    );
    assert_eq!(scene.coins(user(2)).await, 250);
}

#[test]
fn what_a_later_chain_may_say_is_not_half_understood() {
    fn fails<T: serde::de::DeserializeOwned>(text: &str) -> bool {
        serde_json::from_str::<T>(text).is_err()
    }
    assert!(!fails::<FindAnswer>(r#"{"confirmed": {"confirmations": 6}}"#));
    assert!(fails::<FindAnswer>(
        r#"{"confirmed": {"confirmations": 6, "reverted": true}}"#
    ));
    assert!(fails::<FindAnswer>(r#""dropped""#));
    let funds = r#"{"coins": {"amount": "3", "asset": "BTC"}, "nonce": 0"#;
    assert!(!fails::<SendCheck>(&format!(
        r#"{{"sendable": {{"funds": {funds}}}}}}}"#
    )));
    assert!(fails::<SendCheck>(&format!(
        r#"{{"sendable": {{"funds": {funds}, "locked": "1"}}}}}}"#
    )));
    assert!(fails::<SendCheck>(r#"{"refused": {"reason": "busy", "retry": true}}"#));
    assert!(fails::<NonceAnswer>(r#"{"next": -1}"#));
    assert!(fails::<BroadcastAnswer>(r#"{"taken": {}}"#));
}
