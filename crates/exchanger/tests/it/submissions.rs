//! Taking commands in: once each, by name and content, and only those that make sense.

use contracts::clients::{MAX_COMMANDS, Side, Submission};
use contracts::messages::{Message, Status, Step};
use contracts::{Asset, UserId};
use exchanger::domain::progress::Progress;
use exchanger::ports::ClientOrderId;
use storage::outbox::OutboxRow;

use crate::scene::{Scene, btc, buy, client_order_id, command, exchange, sell, usd};

fn messages(rows: &[OutboxRow]) -> Vec<(Step, Status)> {
    let message = |row: &OutboxRow| serde_json::from_str::<Message>(&row.payload).unwrap();
    rows.iter()
        .map(message)
        .map(|message| (message.step, message.status))
        .collect()
}

#[tokio::test]
async fn the_intent_of_the_first_order_is_on_disk_before_anybody_works_on_it() {
    let scene = Scene::new();
    scene.order(buy(7, "30")).await;
    let record = scene.record(exchange(7)).await;
    let progress: Progress = serde_json::from_str(&record.progress).unwrap();
    assert_eq!(progress.attempts.len(), 1);
    assert_eq!(
        progress.attempts[0].client_order_id.to_string(),
        "cambist-5eed0001-7-exchange-1"
    );
    assert_eq!(record.content, serde_json::to_string(&buy(7, "30")).unwrap());
}

#[tokio::test]
async fn the_same_command_twice_is_one_command() {
    let mut scene = Scene::new();
    scene.order(buy(1, "30")).await;
    assert_eq!(
        scene.submit(buy(1, "30")).await,
        Submission::Accepted { replayed: true }
    );
    assert_eq!(
        scene.submit(buy(1, "30.00")).await,
        Submission::Accepted { replayed: true }
    );
    let result = scene.finish(exchange(1)).await;
    scene.published();
    // Asked again when it is finished, it says again what came of it.
    assert_eq!(
        scene.submit(buy(1, "30")).await,
        Submission::Accepted { replayed: true }
    );
    let rows = scene.published();
    assert_eq!(messages(&rows), [(Step::Exchange, Status::Done)]);
    let again: Message = serde_json::from_str(&rows[0].payload).unwrap();
    assert_eq!(again.result, Some(result));
    assert_eq!(scene.executions().await.len(), 1);
}

#[tokio::test]
async fn another_command_under_the_same_name_is_a_conflict_and_changes_nothing() {
    let scene = Scene::new();
    scene.order(buy(1, "30")).await;
    for other in [buy(1, "31"), sell(1, "30")] {
        assert_eq!(scene.submit(other).await, Submission::Conflict);
    }
    let content = scene.record(exchange(1)).await.content;
    assert_eq!(content, serde_json::to_string(&buy(1, "30")).unwrap());
}

#[tokio::test]
async fn commands_that_make_no_sense_are_refused_beside_those_that_do() {
    let scene = Scene::new();
    let mut commands = vec![buy(1, "30"), sell(2, "1.5")];
    let mut absurd = vec![
        command(3, Side::Buy, btc("1"), false),
        command(3, Side::Sell, usd("1"), false),
        command(3, Side::Buy, usd("0"), false),
        command(3, Side::Buy, usd("-1"), false),
        command(3, Side::Buy, usd("1"), true),
    ];
    for change in [0, 1, 2] {
        let mut wrong = buy(3, "30");
        match change {
            0 => wrong.acquirer_user_id = UserId::HOT_WALLET,
            1 => wrong.asset = Asset::EUR,
            _ => wrong.currency = Asset::ETH,
        }
        absurd.push(wrong);
    }
    commands.append(&mut absurd);
    commands.push(buy(4, "1"));
    let outcomes = scene.client().submit(commands).await.unwrap();
    let accepted: Vec<_> = outcomes
        .iter()
        .enumerate()
        .filter(|(_, outcome)| **outcome == Submission::Accepted { replayed: false })
        .map(|(index, _)| index)
        .collect();
    assert_eq!(accepted, [0, 1, 10], "{outcomes:?}");
    assert_eq!(scene.store.open_count().await.unwrap(), 3);
    assert_eq!(scene.store.record(exchange(3)).await.unwrap(), None);
}

#[tokio::test]
async fn more_than_a_hundred_at_once_are_refused() {
    let scene = Scene::new();
    let most = i64::try_from(MAX_COMMANDS).unwrap();
    let outcomes = scene
        .client()
        .submit((0..=most).map(|n| buy(n + 1, "1")).collect())
        .await
        .unwrap();
    assert_eq!(outcomes.len(), MAX_COMMANDS + 1);
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Submission::Invalid { .. }))
    );
    let outcomes = scene
        .client()
        .submit((0..most).map(|n| buy(n + 1, "1")).collect())
        .await
        .unwrap();
    assert!(
        outcomes
            .iter()
            .all(|outcome| *outcome == Submission::Accepted { replayed: false })
    );
    assert_eq!(scene.client().submit(Vec::new()).await.unwrap(), []);
}

#[test]
fn a_client_order_id_has_one_spelling() {
    let id = client_order_id(7, Step::Reverse, 12);
    assert_eq!(id.to_string(), "cambist-5eed0001-7-reverse-12");
    assert_eq!("cambist-5eed0001-7-reverse-12".parse(), Ok(id));
    let of_before = ClientOrderId {
        installation: None,
        ..id
    };
    assert_eq!(of_before.to_string(), "cambist-7-reverse-12");
    assert_eq!("cambist-7-reverse-12".parse(), Ok(of_before));
    for wrong in [
        "",
        "cambist-5eed1-7-reverse-12",
        "cambist-5EED0001-7-reverse-12",
        "cambist-5eed0001-7-reverse",
        "cambist-5eed0001-7-reverse-0",
        "cambist-5eed0001-7-reverse-+1",
        "cambist-5eed0001-7-reverse-01",
        "cambist-5eed0001-07-reverse-1",
        "cambist-5eed0001-7-reverse-1-1",
        "cambist-5eed0001-7-reversal-1",
        "gambist-5eed0001-7-reverse-1",
        "cambist-5eed0001-0-reverse-1",
        "cambist-07-reverse-1",
        "cambist-7-reverse-0",
        "cambist-7-reverse",
        "cambist-7-reverse-1-1",
        "cambist--7-reverse-1",
        "cambist-12345678-7-1",
        "cambist-5eed0001--7-reverse-1",
    ] {
        assert!(wrong.parse::<ClientOrderId>().is_err(), "{wrong}");
    }
}
