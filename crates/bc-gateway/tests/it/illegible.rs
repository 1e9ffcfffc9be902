//! What is stored of a step and cannot be read, because a newer program wrote it or somebody spoilt it: an operator is told
//! so, and nothing is given up of which nobody here can say how far it was.

use contracts::Clock as _;
use contracts::messages::Step;
use contracts::operators::{ChainVerdict, RulingOutcome};
use storage::commands::{NewCommand, State};

use crate::rulings::{RECORDED, rule_on};
use crate::world::{LEASE, World, key, withdrawal};

/// A step that was handed in with this content and this record.
async fn handed_in(content: &str, progress: &str) -> World {
    let world = World::new();
    let command = NewCommand {
        key: key(1, Step::Withdraw),
        content: content.to_owned(),
        progress: progress.to_owned(),
    };
    world
        .commands
        .accept(world.clock.now(), vec![command], false)
        .await
        .unwrap();
    world.clock.advance(LEASE);
    world.try_all().await;
    assert_eq!(world.record(1, Step::Withdraw).await.state, State::Dead);
    world
}

#[tokio::test]
async fn what_cannot_be_read_is_given_up_where_nothing_was_done_for_it_and_called_what_it_is_otherwise() {
    let world = handed_in("no command", r#"{"phase":"unsigned"}"#).await;
    let client = world.service.client();
    assert_eq!(
        rule_on(client.as_ref(), Step::Withdraw, ChainVerdict::NeverConfirms {}).await,
        RECORDED
    );
    let record = world.record(1, Step::Withdraw).await;
    assert_eq!(record.state, State::Failed, "{record:?}");
    assert_eq!((world.ledger.count(), world.next_hot_nonce().await), (0, None));

    let signed = r#"{"phase":"signed","nonce":0,"hash":"ab","bytes":"00"}"#;
    let readable = serde_json::to_string(&withdrawal(1)).unwrap();
    for (content, progress, what) in [
        ("no command", signed, "command"),
        (readable.as_str(), "no record", "record"),
    ] {
        let world = handed_in(content, progress).await;
        let client = world.service.client();
        let said = rule_on(client.as_ref(), Step::Withdraw, ChainVerdict::NeverConfirms {}).await;
        let RulingOutcome::Contradicted { detail } = said else {
            panic!("{said:?}");
        };
        let expected = format!("this program cannot read the stored {what} of this step");
        assert!(
            detail.starts_with(&expected) && detail.contains("program that wrote it"),
            "{detail}"
        );
        assert_eq!(world.record(1, Step::Withdraw).await.state, State::Dead);
    }
}
