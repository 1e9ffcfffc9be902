//! What operators do to orders, users and deposits, through HTTP; each act with its name and its reason.

use contracts::messages::FailureCode;
use contracts::operators::VenueVerdict;
use serde_json::{Value, json};
use wallet::domain::{OrderState, Stage};

use crate::world::{Answer, Chain, Reversal, Venue, World, settings};

impl World {
    pub(crate) async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Answer {
        self.as_caller(method, path, "Bearer ann-ann-ann-ann-ann", body).await
    }

    async fn stuck_at_the_venue(&self) -> contracts::OrderId {
        self.exchanger.set(Venue::IsUnresolved);
        let id = self.accepted("/buy/2", json!({"fiat_amount": 30})).await;
        let from = Stage::Exchanging;
        self.until(id, OrderState::Stuck { from }).await;
        id
    }
}

fn executed() -> Value {
    json!({
        "outcome": "executed", "attempt": "cambist-1", "venue_reference": "V-9",
        "fills": [{"quantity": "3", "price": 10, "fee": "0"}], "evidence": "statement of 22 Nov"
    })
}

#[tokio::test]
async fn what_an_operator_says_of_an_attempt_goes_to_the_service_that_made_it_and_its_result_moves_the_saga() {
    let world = World::awake().await;
    world.with_600().await;
    let id = world.stuck_at_the_venue().await;
    let shown = world.ask("GET", &format!("/sagas/{id}"), None).await;
    assert_eq!(shown.status, 200, "{}", shown.text);
    assert_eq!(shown.body["state"], "stuck_exchanging");
    assert_eq!(shown.body["step"]["attempt"], "the attempt");
    assert_eq!(shown.body["events"].as_array().unwrap().len(), 3);

    let path = format!("/sagas/{id}/resolve");
    let answer = world.ask("POST", &path, Some(executed())).await;
    assert_eq!(
        (answer.status.as_u16(), answer.replayed()),
        (202, false),
        "{}",
        answer.text
    );
    world.until(id, OrderState::Completed).await;
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));
    {
        let rulings = world.exchanger.rulings.lock().unwrap();
        assert_eq!(rulings[0].instruction.operator, "operator:ann");
        assert_eq!(rulings[0].instruction.reason, "statement of 22 Nov");
        let VenueVerdict::Executed { fills, .. } = &rulings[0].verdict else {
            panic!("it was executed")
        };
        assert_eq!(
            (fills[0].quantity.to_string(), fills[0].fee.to_string()),
            ("3".into(), "0".into())
        );
    }
    let late = world.ask("POST", &path, Some(executed())).await;
    assert_eq!(late.problem(), (409, "conflict".to_owned()));

    let id = world.stuck_at_the_venue().await;
    let not_executed = json!({"outcome": "not_executed", "attempt": "cambist-2", "evidence": "their mail"});
    let answer = world
        .ask("POST", &format!("/sagas/{id}/resolve"), Some(not_executed))
        .await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let order = world.until(id, OrderState::Failed).await;
    assert_eq!(order.saga.failure, Some(FailureCode::NotExecuted));
    world.everything_is_explained();
}

#[tokio::test]
async fn what_an_operator_says_of_a_transfer_completes_or_undoes_the_order() {
    let world = World::awake().await;
    world.with_600().await;
    let outcomes = [
        (
            json!({"outcome": "confirmed", "transaction": "0x1", "evidence": "seen"}),
            OrderState::Completed,
        ),
        (
            json!({"outcome": "never_confirms", "evidence": "nonce gone"}),
            OrderState::Failed,
        ),
    ];
    for (body, end) in outcomes {
        world.gateway.set(Chain::IsUnresolved);
        let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
        let from = Stage::Withdrawing;
        world.until(id, OrderState::Stuck { from }).await;
        let answer = world.ask("POST", &format!("/sagas/{id}/resolve"), Some(body)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        world.until(id, end).await;
    }
    assert_eq!(world.wallet(), ("570".to_owned(), "3".to_owned()));
    world.everything_is_explained();
}

#[tokio::test]
async fn a_ruling_that_says_too_little_or_too_much_is_refused_and_changes_nothing() {
    let world = World::awake().await;
    world.with_600().await;
    let id = world.stuck_at_the_venue().await;
    let path = format!("/sagas/{id}/resolve");
    let with = |field: &str, value: Value| {
        let mut body = executed();
        body[field] = value;
        body
    };
    let without = |field: &str| {
        let mut body = executed();
        body.as_object_mut().unwrap().remove(field);
        body
    };
    let bad = [
        with("outcome", json!("perhaps")),
        with("transaction", json!("0x1")),
        with("evidence", json!(" ")),
        with("evidence", json!("x".repeat(501))),
        with("fills", json!([{"quantity": "0.000000001", "price": 10}])),
        with("fills", json!([{"quantity": "1", "price": 0}])),
        with("fills", json!([{"quantity": "1", "price": 10, "fee": "0.001"}])),
        with("operator", json!("operator:bob")),
        without("attempt"),
        without("fills"),
        without("evidence"),
    ];
    for body in bad {
        let answer = world.ask("POST", &path, Some(body.clone())).await;
        assert_eq!(answer.problem(), (422, "invalid".to_owned()), "{body}");
    }
    assert!(world.exchanger.rulings.lock().unwrap().is_empty());
    for verb in ["resolve", "retry"] {
        let body = if verb == "retry" {
            json!({"reason": "r"})
        } else {
            executed()
        };
        let answer = world.ask("POST", &format!("/sagas/999/{verb}"), Some(body)).await;
        assert_eq!(answer.problem(), (404, "not_found".to_owned()));
    }
    assert_eq!(world.ask("GET", "/sagas/999", None).await.status, 404);
}

#[tokio::test]
async fn a_reversal_that_was_refused_is_tried_again_when_an_operator_wants_so() {
    let world = World::awake().await;
    world.with_600().await;
    world.gateway.set(Chain::Refuses);
    *world.exchanger.reversal.lock().unwrap() = Reversal::Refused;
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let from = Stage::Reversing;
    world.until(id, OrderState::Stuck { from }).await;
    *world.exchanger.reversal.lock().unwrap() = Reversal::AtALoss;
    let reason = json!({"reason": "the venue is open again"});
    let answer = world.ask("POST", &format!("/sagas/{id}/retry"), Some(reason)).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(answer.body["did"], "reopened");
    world.until(id, OrderState::Failed).await;
    assert_eq!(world.wallet(), ("600".to_owned(), "0".to_owned()));
    let shown = world.ask("GET", &format!("/sagas/{id}"), None).await;
    let act = &shown.body["acts"][0];
    assert_eq!(
        (&act["operator"], &act["verb"]),
        (&json!("operator:ann"), &json!("retry"))
    );
    assert_eq!(act["reason"], "the venue is open again");
    world.everything_is_explained();
}

#[tokio::test]
async fn a_retry_that_is_half_done_is_not_said_to_have_been_turned_away_unseen() {
    let world = World::awake().await;
    world.with_600().await;
    world.exchanger.set(Venue::IsSilent);
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let reason = || Some(json!({"reason": "too slow"}));
    *world.exchanger.is_full.lock().unwrap() = true;
    let answer = world.ask("POST", &format!("/sagas/{id}/retry"), reason()).await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["code"]),
        (503, &json!("unavailable"))
    );
    let shown = world.ask("GET", &format!("/sagas/{id}"), None).await;
    assert_eq!(shown.body["acts"][0]["verb"], "retry", "it is due, and on record");
    *world.exchanger.is_full.lock().unwrap() = false;
    let answer = world.ask("POST", &format!("/sagas/{id}/retry"), reason()).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
}

#[tokio::test]
async fn a_retry_makes_due_what_waits_and_does_nothing_to_what_has_ended() {
    let patient = wallet::Settings {
        pacing: wallet::Pacing {
            first: std::time::Duration::from_secs(3_600),
            longest: std::time::Duration::from_secs(3_600),
        },
        ..settings()
    };
    let mut world = World::asleep(patient).await;
    world.wake();
    world.with_600().await;
    *world.exchanger.lose.lock().unwrap() = 1;
    let id = world.accepted("/buy/2", json!({"fiat_amount": 30})).await;
    let answer = world
        .ask(
            "POST",
            &format!("/sagas/{id}/retry"),
            Some(json!({"reason": "too slow"})),
        )
        .await;
    assert_eq!(answer.body["did"], "made_due", "{}", answer.text);
    world.until(id, OrderState::Completed).await;
    let answer = world
        .ask(
            "POST",
            &format!("/sagas/{id}/retry"),
            Some(json!({"reason": "to be sure"})),
        )
        .await;
    assert_eq!(
        (&answer.body["did"], &answer.body["state"]),
        (&json!("nothing"), &json!("completed"))
    );
    world.mailbox.mail(id).await;
    assert_eq!(world.mailbox.count(), 1);
    world.everything_is_explained();
}

#[tokio::test]
async fn a_deposit_that_a_user_made_is_never_taken_for_the_payment_of_the_same_reference() {
    let world = World::awake().await;
    world.with_600().await;
    let own = json!({"fiat_amount": 600, "client_reference": "SEPA-1"});
    let own = world.request("PATCH", "/wallet/2").json(own).send().await;
    assert_eq!(own.status, 200, "{}", own.text);
    let pay = async |reference: &str| {
        let body = json!({"fiat_amount": 600, "reference": reference, "reason": "bank statement"});
        world.ask("POST", "/deposits/2", Some(body)).await
    };
    for _ in 0..2 {
        let paid = pay("SEPA-1").await;
        assert_eq!(paid.problem(), (409, "conflict".to_owned()));
        assert_eq!(paid.body["deposit_id"], own.body["deposit_id"]);
        let detail = paid.body["detail"].as_str().unwrap();
        assert!(detail.starts_with("not booked"), "{detail}");
    }
    let paid = pay("SEPA-1, by bank").await;
    assert_eq!((paid.status.as_u16(), paid.replayed()), (200, false), "{}", paid.text);
    assert!(pay("SEPA-1, by bank").await.replayed());
    assert_eq!(world.wallet().0, "1800");
}

#[tokio::test]
async fn an_operator_books_a_payment_once_by_its_reference() {
    let closed = wallet::Settings {
        deposits: wallet::Deposits::Operator,
        ..settings()
    };
    let mut world = World::asleep(closed).await;
    world.wake();
    assert_eq!(world.request("POST", "/wallet/2").send().await.status, 201);
    let pay = async |amount: &str, reference: &str| {
        let body = json!({"fiat_amount": amount, "reference": reference, "reason": "bank statement"});
        world.ask("POST", "/deposits/2", Some(body)).await
    };
    let first = pay("600", "SEPA-1").await;
    assert_eq!(
        (first.status.as_u16(), first.replayed()),
        (200, false),
        "{}",
        first.text
    );
    let again = pay("600.00", "SEPA-1").await;
    assert_eq!((again.status.as_u16(), again.replayed()), (200, true));
    assert_eq!(again.body, first.body);
    let other = pay("601", "SEPA-1").await;
    assert_eq!(other.problem(), (409, "conflict".to_owned()));
    assert_eq!(other.body["deposit_id"], first.body["deposit_id"]);
    assert_eq!(pay("1", "SEPA-2").await.status, 200);
    assert_eq!(world.wallet().0, "601");
    for (amount, reference) in [("0", "a"), ("-1", "a"), ("0.001", "a"), ("1", ""), ("1", " a")] {
        assert_eq!(pay(amount, reference).await.problem().0, 422, "{amount} {reference:?}");
    }
    let nobody = json!({"fiat_amount": 1, "reference": "r", "reason": "r"});
    assert_eq!(world.ask("POST", "/deposits/3", Some(nobody)).await.problem().0, 404);
}

#[tokio::test]
async fn a_deposit_that_is_answered_202_is_200_once_it_is_booked_and_never_202_again() {
    let impatient = wallet::Settings {
        hold_wait: std::time::Duration::ZERO,
        ..settings()
    };
    let mut world = World::asleep(impatient).await;
    assert_eq!(world.request("POST", "/wallet/2").send().await.status, 201);
    let deposit = async |world: &World| {
        let body = json!({"fiat_amount": 600});
        world.request("PATCH", "/wallet/2").key("k").json(body).send().await
    };
    let first = deposit(&world).await;
    assert_eq!(
        (first.status.as_u16(), first.replayed()),
        (202, false),
        "{}",
        first.text
    );
    world.wake();
    let mut seen = 202;
    while seen == 202 {
        seen = deposit(&world).await.status.as_u16();
    }
    assert_eq!(seen, 200);
    let last = deposit(&world).await;
    assert_eq!((last.status.as_u16(), last.replayed()), (200, true));
    assert_eq!(last.body["deposit_id"], first.body["deposit_id"]);
    assert_eq!(world.wallet().0, "600");
}

#[tokio::test]
async fn only_operators_come_in() {
    let world = World::awake().await;
    world.with_600().await;
    let routes = [
        ("GET", "/sagas/1"),
        ("POST", "/sagas/1/retry"),
        ("POST", "/sagas/1/resolve"),
        ("GET", "/freezes"),
        ("GET", "/freezes/2"),
        ("POST", "/freezes/2"),
        ("POST", "/freezes/2/lift"),
        ("POST", "/deposits/2"),
    ];
    for (method, path) in routes {
        let body = (method == "POST").then(|| json!({"reason": "r"}));
        let service = world
            .as_caller(method, path, "Bearer exchanger-exchanger", body.clone())
            .await;
        assert_eq!(service.problem(), (403, "forbidden".to_owned()), "{method} {path}");
        let nobody = world.as_caller(method, path, "Bearer guess", body).await;
        assert_eq!(nobody.problem().0, 401, "{method} {path}");
    }
    assert_eq!(world.get("/wallet/2").await.status, 200, "nobody froze them");
}

#[tokio::test]
async fn a_hold_that_is_refused_after_202_is_told_once_and_replays_stay_202() {
    let impatient = wallet::Settings {
        hold_wait: std::time::Duration::ZERO,
        ..settings()
    };
    let mut world = World::asleep(impatient).await;
    assert_eq!(world.request("POST", "/wallet/2").send().await.status, 201);
    let buy = async |world: &World| {
        let body = json!({"fiat_amount": 30});
        world.request("POST", "/buy/2").key("k").json(body).send().await
    };
    let first = buy(&world).await;
    assert_eq!(first.status, 202, "{}", first.text);
    let id = first.order_id();
    assert!(world.order(id).await.saga.promised);
    world.wake();
    let order = world.until(id, OrderState::Failed).await;
    assert_eq!(order.saga.failure, Some(FailureCode::InsufficientFunds));
    let mail = world.mailbox.mail(id).await;
    assert!(mail.payload.contains("Nothing was charged."), "{}", mail.payload);
    assert!(!mail.payload.contains("back in your wallet"), "{}", mail.payload);
    let again = buy(&world).await;
    assert_eq!((again.status.as_u16(), again.replayed()), (202, true), "as before");
    assert_eq!(again.order_id(), id);
    world.until_idle().await;
    assert_eq!(world.mailbox.count(), 1);
    world.everything_is_explained();
    let shown = world.ask("GET", &format!("/sagas/{id}"), None).await;
    let facts: Vec<_> = shown.body["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["event"]["fact"].clone())
        .collect();
    assert_eq!(facts, ["placed", "promised", "hold_refused"]);
}
