//! `cambist ops` beside a running `cambist up`, as whoever operates it types it.

use serde_json::Value;
use test_kit::process::{Program, Running};

async fn told(program: &Program, running: &Running, arguments: &[&str]) -> String {
    let url = ["ops", "--url", running.internal.as_str()];
    let (code, out, err) = program.run(&[&url, arguments].concat()).await;
    assert_eq!(code, Some(0), "{arguments:?}: {out}{err}");
    assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
    out
}

async fn refused(program: &Program, running: &Running, arguments: &[&str], words: &str) {
    let url = ["ops", "--url", running.internal.as_str()];
    let (code, out, err) = program.run(&[&url, arguments].concat()).await;
    assert_eq!((code, out.as_str()), (Some(1), ""), "{arguments:?}: {err}");
    assert!(err.starts_with("cambist: ") && err.contains(words), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn an_operator_looks_deposits_freezes_and_hears_what_to_do_when_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path());
    let (code, _, err) = program.run(&["ops", "sagas"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("no token") && err.contains("--data-dir"), "{err}");

    let running = program.up().await;
    let user = running.api.given_a_user("ada").await;
    let deposit = [
        "deposit",
        "2",
        "600",
        "--reference",
        "SEPA-1",
        "--reason",
        "bank statement",
    ];
    assert_eq!(
        told(&program, &running, &deposit).await,
        "deposit 1 of 600 USD for user 2 is booked\n"
    );
    assert!(told(&program, &running, &deposit).await.contains("was booked before"));
    refused(
        &program,
        &running,
        &["deposit", "2", "601", "--reference", "SEPA-1", "--reason", "r"],
        "another deposit of this reference",
    )
    .await;

    let order = user.buy("30", None).await.body["order_id"].as_i64().unwrap();
    user.order_at_its_end(order).await;
    let order = order.to_string();
    assert_eq!(
        told(&program, &running, &["transfers"]).await,
        "every transfer is at its end\n"
    );
    assert!(
        told(&program, &running, &["transfer", &order])
            .await
            .starts_with(&format!("order {order}\nstep withdraw is done, attempt "))
    );
    refused(
        &program,
        &running,
        &["retry", &order, "--step", "withdraw-back", "--reason", "r"],
        "never asked for this order",
    )
    .await;
    let step = ["retry", &order, "--step", "withdraw", "--reason", "r"];
    assert_eq!(
        told(&program, &running, &step).await,
        format!("withdraw of order {order} is tried again now, if it is not at its end\n")
    );
    assert_eq!(
        told(&program, &running, &["sagas"]).await,
        "no order is in such a state\n"
    );
    let shown = told(&program, &running, &["saga", &order]).await;
    assert!(
        shown.starts_with("order 1: buy 30 USD for user 2, completed"),
        "{shown}"
    );
    assert!(shown.contains("held") && shown.contains("withdrawn"), "{shown}");
    let retried = told(&program, &running, &["retry", &order, "--reason", "to be sure"]).await;
    assert!(retried.contains("nothing to do"), "{retried}");

    let freeze = ["freeze", "2", "--reason", "card stolen"];
    assert!(told(&program, &running, &freeze).await.starts_with("user 2 is frozen"));
    assert_eq!(user.get("/wallet/2").await.status, 403);
    assert!(
        told(&program, &running, &["frozen"])
            .await
            .contains("operator:local  card stolen")
    );
    told(&program, &running, &["unfreeze", "2", "--reason", "found"]).await;
    assert_eq!(user.get("/wallet/2").await.status, 200);
    let history = told(&program, &running, &["frozen", "2", "--json"]).await;
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!(history["acts"].as_array().unwrap().len(), 2);
    assert_eq!(
        told(&program, &running, &["dead-letters"]).await,
        "there are no dead letters\n"
    );

    let evidence = ["--evidence", "none"];
    refused(
        &program,
        &running,
        &[&["resolve", "1", "not-executed"], &evidence[..]].concat(),
        "attempt: required",
    )
    .await;
    refused(
        &program,
        &running,
        &["replay", "wallet", "9", "--reason", "r"],
        "no such dead letter",
    )
    .await;
    refused(&program, &running, &["saga", "99"], "there is no such order").await;
    let bad_fill = ["resolve", "1", "executed", "--fill", "3", "--evidence", "e"];
    refused(&program, &running, &bad_fill, "write QUANTITY@PRICE").await;
    let stranger = program.clone().with("CAMBIST_INTERNAL_TOKEN", "a-token-of-nobody");
    refused(&stranger, &running, &["sagas"], "does not know this token").await;
    let (code, _, err) = program.run(&["ops", "sagas", "--url", "http://127.0.0.1:1"]).await;
    assert_eq!(code, Some(1));
    assert!(err.contains("nothing answers") && err.contains("--url"), "{err}");
}

#[tokio::test]
async fn the_help_of_every_verb_teaches_by_an_example() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path());
    let verbs = [
        "sagas",
        "saga",
        "retry",
        "resolve",
        "freeze",
        "unfreeze",
        "frozen",
        "deposit",
        "dead-letters",
        "replay",
    ];
    let (_, overview, _) = program.run(&["ops", "--help"]).await;
    for verb in verbs {
        assert!(overview.contains(&format!("\n  {verb} ")), "{overview}");
        let (code, help, _) = program.run(&["ops", verb, "--help"]).await;
        assert_eq!(code, Some(0));
        let (example, usage) = (help.find("Example"), help.find("Usage:"));
        assert!(example.is_some() && example < usage, "{help}");
        assert!(help.contains(&format!("cambist ops {verb}")), "{help}");
    }
}
