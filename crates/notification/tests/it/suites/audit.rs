//! What an auditor reads beside a running process.

use notification::ports::MailAnswer;
use notification::store::audit::NotificationFact;
use storage::commands::{Settlement, State};

use super::notification;
use crate::given::{ToldMailer, command, order};

#[tokio::test]
async fn an_auditor_sees_each_order_s_notification_and_where_it_stands() {
    let refusal = MailAnswer::Refused {
        reason: "no such mailbox".to_owned(),
    };
    let given = notification(ToldMailer::new([MailAnswer::Delivered, refusal]).0).await;
    given.submit([3, 4, 5, 6, 9].map(command).to_vec()).await;
    for number in [3, 4] {
        let claimed = given.claimed(number).await.unwrap();
        let settlement = given.service.handler().handle(claimed.clone()).await;
        given.settle(&claimed, settlement).await;
    }
    let dead = given.claimed(5).await.unwrap();
    let error = "unreadable".to_owned();
    given.settle(&dead, Settlement::Dead { error }).await;

    let facts = async |from, to| given.home.facts(order(from), order(to)).await;
    let fact = |number, state| NotificationFact {
        order_id: order(number),
        state,
    };
    let all = [
        fact(3, State::Done),
        fact(4, State::Failed),
        fact(5, State::Dead),
        fact(6, State::Open),
        fact(9, State::Open),
    ];
    assert_eq!(facts(1, 100).await, all);
    assert_eq!(facts(4, 6).await, all[1..4]);
    assert_eq!(facts(9, 9).await, all[4..]);
    assert_eq!(facts(7, 8).await, []);
    assert_eq!(facts(9, 3).await, []);
}
