//! A chain keeps the rules of a chain, however it is treated. Told of the simulated chain itself, and of the same one at the far
//! end of a wire: `itself::name` and `remote::name` are one story.

mod scene;

use std::sync::Arc;
use std::time::Duration;

use bc_gateway::Address;
use bc_gateway::chain::simulated::{DEPTH, Manner};
use bc_gateway::ports::{BroadcastAnswer, FindAnswer, Funds, NonceAnswer, SendCheck, TransferDraft};
use contracts::messages::Step;
use contracts::{Asset, UserId};

pub(crate) use self::scene::{Adapter, GATEWAY_TOKEN, Listener, Scene, way_to};
use crate::world::{btc, purpose, user};

macro_rules! on_both {
    ($($story:ident)*) => {
        mod itself {
            $(#[tokio::test] async fn $story() { super::$story(super::Adapter::Itself).await; })*
        }
        mod remote {
            $(#[tokio::test] async fn $story() { super::$story(super::Adapter::Remote).await; })*
        }
    };
}

on_both! {
    bytes_move_coins_once_however_often_they_are_sent
    a_nonce_belongs_to_the_first_bytes_that_use_it
    only_what_lies_deep_enough_counts_as_a_used_nonce
    nonces_are_confirmed_in_order_whatever_comes_first
    a_transfer_waits_for_its_coins_and_moves_when_they_come
    forged_bytes_are_refused
    it_says_beforehand_what_it_will_not_take
    it_remembers_everything_and_makes_its_first_coins_once
    a_reorganisation_shows_a_shallow_block_once
    broadcasts_that_come_together_each_get_their_own_answer
    what_an_address_has_is_known_anew_after_each_block
}

const HOT: UserId = UserId::HOT_WALLET;

async fn bytes_move_coins_once_however_often_they_are_sent(adapter: Adapter) {
    let scene = Scene::new(adapter).await;
    let transfer = scene.signed(HOT, user(2), 300, 0);
    for _ in 0..3 {
        assert_eq!(scene.chain.broadcast(&transfer).await, BroadcastAnswer::Taken);
        assert_eq!(
            scene.chain.find(&transfer.hash).await,
            FindAnswer::Confirmed { confirmations: DEPTH }
        );
    }
    assert_eq!((scene.coins(HOT).await, scene.coins(user(2)).await), (700, 300));
}

async fn a_nonce_belongs_to_the_first_bytes_that_use_it(adapter: Adapter) {
    let scene = Scene::new(adapter).await;
    for nonce in [0, 1] {
        // Confirmed (0) and waiting (1) make no difference: 1 pays more than there is.
        let units = if nonce == 0 { 300 } else { 5_000 };
        scene.chain.broadcast(&scene.signed(HOT, user(2), units, nonce)).await;
        let other = scene.signed(HOT, user(3), 1, nonce);
        assert!(matches!(
            scene.chain.broadcast(&other).await,
            BroadcastAnswer::Refused { .. }
        ));
        assert_eq!(scene.chain.find(&other.hash).await, FindAnswer::NotFound);
    }
    assert_eq!(scene.coins(user(3)).await, 0);
    assert_eq!(scene.chain.next_nonce(&scene.address(HOT)).await, NonceAnswer::Next(2));
}

async fn only_what_lies_deep_enough_counts_as_a_used_nonce(adapter: Adapter) {
    let scene = Scene::new(adapter).await;
    let confirmed = async |depth| scene.chain.confirmed_nonce(&scene.address(HOT), depth).await;
    scene.chain.broadcast(&scene.signed(HOT, user(2), 10, 1)).await;
    assert_eq!(confirmed(2).await, NonceAnswer::Next(0), "what waits does not count");
    scene
        .manners
        .next_broadcasts(purpose(1, Step::Withdraw), [Manner::Reorganise]);
    let first = scene.signed(HOT, user(2), 10, 0);
    scene.chain.broadcast(&first).await;
    assert_eq!(
        confirmed(2).await,
        NonceAnswer::Next(0),
        "what can vanish does not count"
    );
    scene.chain.find(&first.hash).await;
    scene.chain.broadcast(&first).await;
    assert_eq!(confirmed(2).await, NonceAnswer::Next(2));
    assert_eq!(confirmed(DEPTH).await, NonceAnswer::Next(2));
    assert_eq!(confirmed(DEPTH + 1).await, NonceAnswer::Next(0));
    scene.manners.silence(true);
    assert!(matches!(confirmed(2).await, NonceAnswer::Unknown { .. }));
}

async fn nonces_are_confirmed_in_order_whatever_comes_first(adapter: Adapter) {
    let scene = Scene::new(adapter).await;
    let transfers: Vec<_> = (0..4).map(|nonce| scene.signed(HOT, user(2), 10, nonce)).collect();
    for at in [3, 1, 2] {
        assert_eq!(scene.chain.broadcast(&transfers[at]).await, BroadcastAnswer::Taken);
        assert_eq!(scene.chain.find(&transfers[at].hash).await, FindAnswer::Pending);
    }
    assert_eq!(scene.coins(user(2)).await, 0);
    scene.chain.broadcast(&transfers[0]).await;
    for transfer in &transfers {
        assert!(matches!(
            scene.chain.find(&transfer.hash).await,
            FindAnswer::Confirmed { .. }
        ));
    }
    assert_eq!(scene.coins(user(2)).await, 40);
}

async fn a_transfer_waits_for_its_coins_and_moves_when_they_come(adapter: Adapter) {
    let scene = Scene::new(adapter).await;
    let onward = scene.signed(user(2), user(3), 200, 0);
    scene.chain.broadcast(&onward).await;
    assert_eq!(scene.chain.find(&onward.hash).await, FindAnswer::Pending);
    scene.chain.broadcast(&scene.signed(HOT, user(2), 199, 0)).await;
    assert_eq!(scene.chain.find(&onward.hash).await, FindAnswer::Pending);
    scene.chain.broadcast(&scene.signed(HOT, user(2), 1, 1)).await;
    assert!(matches!(
        scene.chain.find(&onward.hash).await,
        FindAnswer::Confirmed { .. }
    ));
    assert_eq!((scene.coins(user(2)).await, scene.coins(user(3)).await), (0, 200));
}

async fn forged_bytes_are_refused(adapter: Adapter) {
    let scene = Scene::new(adapter).await;
    let mut forged = scene.signed(HOT, user(2), 300, 0);
    let at = forged.bytes.len() - 100;
    forged.bytes[at] ^= 1;
    assert!(matches!(
        scene.chain.broadcast(&forged).await,
        BroadcastAnswer::Refused { .. }
    ));
    forged.bytes.clear();
    assert!(matches!(
        scene.chain.broadcast(&forged).await,
        BroadcastAnswer::Refused { .. }
    ));
    assert_eq!(scene.coins(HOT).await, 1_000);
}

async fn it_says_beforehand_what_it_will_not_take(adapter: Adapter) {
    let scene = Scene::new(adapter).await;
    let good = scene.draft(HOT, user(2), 1_000, purpose(1, Step::Withdraw));
    let sendable = |coins, nonce| SendCheck::Sendable {
        funds: Funds {
            coins: btc(coins),
            nonce,
        },
    };
    assert_eq!(scene.chain.can_send(&good).await, sendable(1_000, 0));
    let refused = [
        TransferDraft {
            amount: btc(1_001),
            ..good.clone()
        },
        TransferDraft {
            amount: btc(0),
            ..good.clone()
        },
        TransferDraft {
            amount: contracts::Amount::new(1, Asset::USD),
            ..good.clone()
        },
        TransferDraft {
            amount: contracts::Amount::new(1, Asset::ETH),
            ..good.clone()
        },
        TransferDraft {
            to: Address::try_new("bc1qxy2kgdygjrsqtzq2n0yrf2493p83kkfjhx0wlh").unwrap(),
            ..good.clone()
        },
        TransferDraft {
            from: scene.address(user(3)),
            ..good.clone()
        },
    ];
    for draft in refused {
        assert!(
            matches!(scene.chain.can_send(&draft).await, SendCheck::Refused { .. }),
            "{draft:?}"
        );
    }
    // What waits is still among the coins, and its nonce is not among those that have left them.
    let late = Manner::LateConfirmation(Duration::from_secs(60));
    scene.manners.next_broadcasts(purpose(2, Step::Withdraw), [late]);
    scene.chain.broadcast(&scene.signed(HOT, user(2), 100, 0)).await;
    scene.chain.broadcast(&scene.signed(HOT, user(2), 200, 1)).await;
    let rest = scene.draft(HOT, user(2), 900, purpose(3, Step::Withdraw));
    assert_eq!(scene.chain.can_send(&rest).await, sendable(900, 1));
    scene.manners.refuse(good.purpose);
    assert!(matches!(scene.chain.can_send(&good).await, SendCheck::Refused { .. }));
    scene.manners.silence(true);
    assert!(matches!(scene.chain.can_send(&good).await, SendCheck::Unknown { .. }));
    assert!(matches!(scene.chain.find("x").await, FindAnswer::Unknown { .. }));
}

async fn it_remembers_everything_and_makes_its_first_coins_once(adapter: Adapter) {
    let scene = Scene::new(adapter).await;
    let late = Manner::LateConfirmation(Duration::from_secs(60));
    scene.manners.next_broadcasts(purpose(2, Step::Withdraw), [late]);
    let (first, second) = (scene.signed(HOT, user(2), 300, 0), scene.signed(HOT, user(2), 200, 1));
    scene.chain.broadcast(&first).await;
    scene.chain.broadcast(&second).await;
    let scene = scene.reopened(adapter).await;
    assert_eq!((scene.coins(HOT).await, scene.coins(user(2)).await), (700, 300));
    assert_eq!(scene.chain.find(&second.hash).await, FindAnswer::Pending);
    assert_eq!(scene.chain.next_nonce(&scene.address(HOT)).await, NonceAnswer::Next(2));
    scene.clock.advance(Duration::from_secs(60));
    assert!(matches!(
        scene.chain.find(&second.hash).await,
        FindAnswer::Confirmed { .. }
    ));
    assert_eq!((scene.coins(HOT).await, scene.coins(user(2)).await), (500, 500));
}

async fn a_reorganisation_shows_a_shallow_block_once(adapter: Adapter) {
    let scene = Scene::new(adapter).await;
    scene
        .manners
        .next_broadcasts(purpose(1, Step::Withdraw), [Manner::Reorganise]);
    let transfer = scene.signed(HOT, user(2), 300, 0);
    scene.chain.broadcast(&transfer).await;
    assert_eq!(
        scene.chain.find(&transfer.hash).await,
        FindAnswer::Confirmed { confirmations: 1 }
    );
    assert_eq!(scene.chain.find(&transfer.hash).await, FindAnswer::NotFound);
    assert_eq!(scene.coins(user(2)).await, 0);
    scene.chain.broadcast(&transfer).await;
    assert_eq!(
        scene.chain.find(&transfer.hash).await,
        FindAnswer::Confirmed { confirmations: DEPTH }
    );
    assert_eq!(scene.coins(user(2)).await, 300);
}

async fn broadcasts_that_come_together_each_get_their_own_answer(adapter: Adapter) {
    let scene = Scene::new(adapter).await;
    scene
        .manners
        .next_broadcasts(purpose(4, Step::Withdraw), [Manner::LostBroadcast]);
    // Backwards, with two rivals for nonce 1, and one from an address that has its coins by these.
    let [lost, two, one, zero] = [3, 2, 1, 0].map(|nonce| scene.signed(HOT, user(2), 10, nonce));
    let rival = scene.draft(HOT, user(2), 10, purpose(9, Step::Withdraw));
    let rival = scene.chain.sign(&scene.custody.keys("simulated", HOT), &rival, 1);
    let onward = scene.signed(user(2), user(3), 25, 0);
    let all = [&lost, &two, &one, &zero, &rival, &onward].map(|transfer| {
        let (chain, transfer) = (Arc::clone(&scene.chain), transfer.clone());
        tokio::spawn(async move { (chain.broadcast(&transfer).await, transfer.hash) })
    });
    let mut refused = Vec::new();
    for one in all {
        match one.await.unwrap() {
            (BroadcastAnswer::Taken, _) => {}
            (_, hash) => refused.push(hash),
        }
    }
    assert!(refused == [one.hash.clone()] || refused == [rival.hash.clone()]);
    for transfer in [&lost, &two, &one, &zero, &rival, &onward] {
        let absent = transfer == &lost || refused.contains(&transfer.hash);
        let confirmed = FindAnswer::Confirmed { confirmations: DEPTH };
        let expected = if absent { FindAnswer::NotFound } else { confirmed };
        // What is remembered and what is read are the same.
        for _ in 0..2 {
            assert_eq!(scene.chain.find(&transfer.hash).await, expected, "{}", transfer.nonce);
        }
    }
    let coins = [
        scene.coins(HOT).await,
        scene.coins(user(2)).await,
        scene.coins(user(3)).await,
    ];
    assert_eq!(coins, [970, 5, 25]);
}

async fn what_an_address_has_is_known_anew_after_each_block(adapter: Adapter) {
    let scene = Scene::new(adapter).await;
    let next = scene.draft(HOT, user(2), 1, purpose(9, Step::Withdraw));
    for (nonce, coins) in [(0, 1_000), (1, 980), (2, 960)] {
        let funds = Funds {
            coins: btc(coins),
            nonce,
        };
        for _ in 0..2 {
            assert_eq!(scene.chain.can_send(&next).await, SendCheck::Sendable { funds });
        }
        scene.chain.broadcast(&scene.signed(HOT, user(2), 20, nonce)).await;
    }
}
