//! How long a request's name is good for: as long as promised, whatever the clock says.

use std::time::Duration;

use serde_json::json;
use wallet::Settings;
use wallet::domain::OrderState;

use crate::world::{Answer, PATIENCE, Venue, World, settings};

async fn buy(world: &World) -> Answer {
    let request = world.request("POST", "/buy/2").key("rent");
    request.json(json!({"fiat_amount": 30})).send().await
}

async fn deposit(world: &World) -> Answer {
    let request = world.request("PATCH", "/wallet/2").key("salary");
    request.json(json!({"fiat_amount": 100})).send().await
}

#[tokio::test]
async fn a_clock_that_is_set_ahead_doubles_no_order_and_no_deposit() {
    let mut world = World::awake().await;
    world.with_600().await;
    assert_eq!(deposit(&world).await.status, 200);
    let id = buy(&world).await.order_id();
    world.until(id, OrderState::Completed).await;
    // One that is issued again and again shows that the sweep has been around.
    world.exchanger.set(Venue::IsUnreachable);
    let open = world.accepted("/buy/2", json!({"fiat_amount": 1})).await;
    for restarts in [false, true] {
        world.clock.turn(30);
        if restarts {
            world.crash(settings()).await;
            world.wake();
        }
        world.swept(open).await;
        let again = buy(&world).await;
        assert_eq!((again.status.as_u16(), again.replayed()), (202, true));
        assert_eq!(again.order_id(), id);
        assert!(deposit(&world).await.replayed());
    }
    world.exchanger.set(Venue::Fills);
    world.until_idle().await;
    assert_eq!(world.wallet(), ("669".to_owned(), "3.1".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn a_key_is_forgotten_after_its_lifetime_though_the_clock_was_set_back() {
    let brief = Settings {
        key_lifetime: Duration::from_millis(100),
        ..settings()
    };
    let mut world = World::asleep(brief).await;
    world.wake();
    world.with_600().await;
    let id = buy(&world).await.order_id();
    world.until(id, OrderState::Completed).await;
    world.clock.turn(-365);
    let forgotten = async {
        loop {
            let again = buy(&world).await;
            if !again.replayed() {
                return again;
            }
        }
    };
    let again = tokio::time::timeout(PATIENCE, forgotten).await.unwrap();
    assert_eq!(again.status, 202);
    assert_ne!(again.order_id(), id);
}
