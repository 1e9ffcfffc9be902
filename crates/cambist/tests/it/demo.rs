//! `cambist demo`, as somebody sees it who has just installed the program.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use test_kit::process::Program;

fn of_kind<'a>(lines: &'a [Value], kind: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["line"] == kind).collect()
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn a_demo_shows_a_day_from_the_books_and_ends_with_a_clean_audit() {
    let folder = tempfile::tempdir().unwrap();
    // What is set outside does not concern it: it must never meet somebody's database.
    let program = Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path())
        .with("CAMBIST_DATABASE_URL", "sqlite:somebodys.db")
        .with("CAMBIST_DATA_DIR", "somebodys");
    let (code, out, err) = program.run(&["demo", "--json"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        0,
        "it leaves nothing behind"
    );

    let events: Vec<_> = of_kind(&lines, "event")
        .iter()
        .map(|line| {
            let text = |name: &str| line["data"][name].as_str().unwrap().to_owned();
            (line["data"]["order_id"].as_i64().unwrap(), text("event"), text("state"))
        })
        .collect();
    let buy = |order| {
        [
            (order, "placed", "created"),
            (order, "held", "exchanging"),
            (order, "exchanged", "withdrawing"),
        ]
    };
    let undone = [
        (3, "withdraw_failed", "reversing"),
        (3, "reversed", "releasing"),
        (3, "released", "failed"),
    ];
    let sell = [
        (2, "placed", "created"),
        (2, "held", "exchanging"),
        (2, "exchanged", "completed"),
    ];
    let expected = [&buy(1)[..], &[(1, "withdrawn", "completed")], &sell, &buy(3), &undone].concat();
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(order, event, state)| (order, event.to_owned(), state.to_owned()))
        .collect();
    assert_eq!(events, expected);

    let balances: Vec<_> = of_kind(&lines, "balances")
        .iter()
        .map(|line| (line["USD"].as_str().unwrap(), line["BTC"].as_str().unwrap()))
        .collect();
    assert_eq!(
        balances,
        [
            ("600", "0"),
            ("570", "3"),
            ("585", "1.5"),
            ("585", "1.5"),
            ("585", "1.5")
        ]
    );
    let subjects: Vec<_> = of_kind(&lines, "mail")
        .iter()
        .map(|line| line["subject"].as_str().unwrap())
        .collect();
    assert_eq!(
        subjects,
        [
            "You bought 3 BTC for 30 USD",
            "You sold 1.5 BTC for 15 USD",
            "Your order to buy BTC was not carried out"
        ]
    );
    let refused = of_kind(&lines, "request").pop().unwrap();
    assert_eq!(
        (&refused["status"], &refused["answer"]["code"]),
        (&json!(423), &json!("insufficient_funds"))
    );
    assert!(!out.contains("correct horse"), "no password is shown");
    let audit = &lines.last().unwrap()["report"];
    assert_eq!(
        (&audit["clean"], &audit["orders"]),
        (&json!(true), &json!({"completed": 2, "failed": 2}))
    );
    shows_every_booking_of_the_books(&lines, audit);
}

/// Every transfer the audit has seen was shown, once, and they add up to what the audit says that customers have.
fn shows_every_booking_of_the_books(lines: &[Value], audit: &Value) {
    let bookings = of_kind(lines, "booking");
    let mut entries: Vec<i64> = bookings.iter().map(|line| line["entry_id"].as_i64().unwrap()).collect();
    entries.sort_unstable();
    let all: Vec<i64> = (1..=audit["transfers"].as_i64().unwrap()).collect();
    assert_eq!(entries, all);
    let mut sums: BTreeMap<&str, contracts::Amount> = BTreeMap::new();
    for line in bookings {
        let amount: contracts::Amount = serde_json::from_value(line["amount"].clone()).unwrap();
        let sum = sums
            .entry(line["amount"]["asset"].as_str().unwrap())
            .or_insert(contracts::Amount::zero(amount.asset()));
        if line["credit"] == "user:2" {
            *sum = sum.checked_add(amount).unwrap();
        }
        if line["debit"] == "user:2" {
            *sum = sum.checked_sub(amount).unwrap();
        }
    }
    for totals in audit["totals"].as_array().unwrap() {
        let asset = totals["asset"].as_str().unwrap();
        assert_eq!(totals["customers"], sums[asset].to_string(), "{asset}");
    }
}

#[tokio::test]
async fn people_read_it_on_eighty_columns_without_colours_where_there_is_no_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path());
    let (code, out, err) = program.run(&["demo"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for line in out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
        assert_eq!(line, line.trim_end());
    }
    for words in [
        "1. Ada registers, logs in and opens a wallet",
        "external:bank → user:2",
        "venue:sim → hot_wallet",
        "→ reversing          withdrawal_refused",
        "✉ to ada@example.com",
        "423 {\"code\":\"insufficient_funds\"",
        "✓ the books balance and every order is explained",
    ] {
        assert!(out.contains(words), "{words} is missing:\n{out}");
    }
}

#[tokio::test]
async fn a_demo_takes_no_settings() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path());
    let (code, out, err) = program.run(&["demo", "--venue-fee-bp", "25"]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("a demo takes no settings"), "{err}");
}
