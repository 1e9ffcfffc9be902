//! The audit finds tampering: whatever somebody changes in the database by hand, it says what is wrong and with what, and
//! the program ends with 1.

mod damages;
mod operator;
mod server;

use std::fs;
use std::path::{Path, PathBuf};

use cambist::audit::{Finding, MAX_FINDINGS, Report, audit};
use exchanger::venue::simulated::Conduct;
use reqwest::Method;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;
use test_kit::api::placed;
use test_kit::process::Program;
use test_kit::system::TestSystem;

use self::damages::{Damage, damages, unreadable};

/// Leaves something of everything in a database:
///
/// | order | |
/// |---|---|
/// | 1 | a buy of 30, completed |
/// | 2 | a sell of 1.5, completed |
/// | 3 | a buy of 30 that the venue refused |
/// | 4 | a buy that the balance did not cover |
/// | 5 | a buy of 30, still at the venue, which is silent |
///
/// and deposit 1 of 600, and correction 1: one cent for user 2. User 3 has a wallet and nothing in it.
async fn a_day(system: &TestSystem) {
    let user = system.api.given_a_user_with("ada", "600").await;
    system.api.given_a_user("bob").await;
    user.order_at_its_end(placed(&user.buy("30", None).await)).await;
    user.order_at_its_end(placed(&user.sell("1.5", None).await)).await;
    system.venue_manners.set_default(Conduct::Refuse);
    user.order_at_its_end(placed(&user.buy("30", None).await)).await;
    user.buy("6000", None).await.assert_problem(423, "insufficient_funds");
    system.venue_manners.set_silent(true);
    user.order(placed(&user.buy("30", None).await)).await;
    let correction = r#"{"fiat_amount": 0.01, "reason": "a cent found"}"#;
    system
        .operator(Method::PATCH, "/balance/wallet/2", Some(correction))
        .await;
}

/// A database after [`a_day`].
async fn sound_database(folder: &TempDir) -> PathBuf {
    let system = TestSystem::start().await;
    a_day(&system).await;
    system.assert_clean();
    // Beside the running system, as a backup would be made.
    let copy = folder.path().join("sound.db");
    let original = storage::sqlite::reader(&system.database()).unwrap();
    original.execute("VACUUM INTO ?", [copy.to_str().unwrap()]).unwrap();
    copy
}

fn program(folder: &Path, database: &Path) -> Program {
    let url = format!("sqlite:{}", database.display());
    Program::new(env!("CARGO_BIN_EXE_cambist"), folder).with("CAMBIST_DATABASE_URL", &url)
}

/// A damaged copy.
fn damaged(folder: &TempDir, sound: &Path, damage: &Damage) -> PathBuf {
    let copy = folder.path().join("damaged.db");
    fs::copy(sound, &copy).unwrap();
    let connection = Connection::open(&copy).unwrap();
    // Whoever tampers does not stop at what keeps honest programs from mistakes.
    let guards = "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;
        DROP TRIGGER balance_transfers_never_change; DROP TRIGGER balance_transfers_never_go;
        DROP TRIGGER balance_accounts_never_go; DROP TRIGGER balance_refusals_never_go;";
    connection.execute_batch(guards).unwrap();
    let before = connection.total_changes();
    connection
        .execute_batch(&damage.sql)
        .unwrap_or_else(|error| panic!("{}: {error}", damage.what));
    assert!(
        connection.total_changes() > before,
        "{}: nothing was damaged",
        damage.what
    );
    copy
}

#[tokio::test]
async fn whatever_is_tampered_with_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let sound = sound_database(&folder).await;
    assert!(audit(&sound, |_| {}).unwrap().is_clean());
    for damage in damages() {
        let database = damaged(&folder, &sound, &damage);
        let report = audit(&database, |_| {}).unwrap_or_else(|error| panic!("{}: {error}", damage.what));
        assert_found(&damage, &report);
    }
}

fn assert_found(damage: &Damage, report: &Report) {
    for (subject, problem) in &damage.expected {
        let findings = report.findings();
        let found = |finding: &Finding| finding.subject == *subject && finding.problem.contains(problem);
        assert!(
            findings.iter().any(found),
            "{}: {subject} … {problem} is not among the findings: {findings:#?}",
            damage.what
        );
    }
    assert!(!report.is_clean(), "{}", damage.what);
}

#[tokio::test]
async fn the_program_says_with_its_exit_code_and_its_list_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let sound = sound_database(&folder).await;
    let cambist = program(folder.path(), &sound);
    let (code, out, err) = cambist.run(&["audit"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(
        out.contains("✓ the books balance and every order is explained"),
        "{out}"
    );
    assert!(
        out.contains("orders    5: 2 completed, 1 exchanging, 2 failed"),
        "{out}"
    );
    let (code, out, err) = cambist.run(&["audit", "--json"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["clean"], true);
    assert_eq!(report["orders"]["completed"], 2);
    assert_eq!(report["orders_in_flight"], 1);
    assert_eq!(report["deposits"], 1);
    assert_eq!(report["findings"], serde_json::json!([]));
    // 600.01 came in; 30 were spent, 15 came back, and 30 are held.
    let dollars = report["totals"]
        .as_array()
        .unwrap()
        .iter()
        .find(|totals| totals["asset"] == "USD");
    assert_eq!(dollars.unwrap()["customers"], "555.01", "{report}");
    assert_eq!(dollars.unwrap()["hot_wallet"], "1030", "{report}");

    let damage = damages().swap_remove(0);
    let database = damaged(&folder, &sound, &damage);
    let cambist = program(folder.path(), &database);
    let (code, out, _) = cambist.run(&["audit"]).await;
    assert_eq!(code, Some(1), "{out}");
    let listed = out.lines().filter(|line| line.starts_with('✗')).count();
    assert!(listed > 0 && !out.contains('✓'), "{out}");
    assert!(
        out.contains(&format!("{listed} findings: the books are not in order")),
        "{out}"
    );
    let (code, out, _) = cambist.run(&["audit", "--json"]).await;
    assert_eq!(code, Some(1));
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["clean"], false);
    assert_eq!(report["findings"].as_array().unwrap().len(), listed);
}

#[tokio::test]
async fn what_cannot_be_audited_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let sound = sound_database(&folder).await;
    for damage in unreadable() {
        let database = damaged(&folder, &sound, &damage);
        let (code, out, err) = program(folder.path(), &database).run(&["audit"]).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{}: {err}", damage.what);
        assert_eq!(err.lines().count(), 1, "{err}");
        let said = |(_, what): &(&str, &str)| err.contains(what);
        assert!(damage.expected.iter().all(said), "{}: {err}", damage.what);
    }
    let missing = folder.path().join("none.db");
    let (code, out, err) = program(folder.path(), &missing).run(&["audit"]).await;
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(
        err.contains("there is no database at") && err.contains("none.db"),
        "{err}"
    );
    assert!(!missing.exists(), "an audit makes no database");

    let text = folder.path().join("text.db");
    fs::write(
        &text,
        "no database at all, but long enough to be taken for one".repeat(100),
    )
    .unwrap();
    let empty = folder.path().join("empty.db");
    Connection::open(&empty)
        .unwrap()
        .execute_batch("CREATE TABLE t (n INTEGER)")
        .unwrap();
    for (database, expected) in [(&text, "text.db cannot be audited"), (&empty, "run `cambist migrate`")] {
        let (code, out, err) = program(folder.path(), database).run(&["audit", "--json"]).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(err.contains(expected), "{err}");
    }
}

#[tokio::test]
async fn a_database_with_nothing_right_in_it_is_listed_up_to_a_limit() {
    let folder = tempfile::tempdir().unwrap();
    let sound = sound_database(&folder).await;
    let report = audit(&damaged(&folder, &sound, &two_thousand()), |_| {}).unwrap();
    assert_listed_up_to_a_limit(&report);
}

fn two_thousand() -> Damage {
    Damage {
        what: "two thousand deposits that were never booked",
        sql: "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n WHERE i < 2099)
            INSERT INTO wallet_deposits (deposit_id, user_id, currency, amount, reference, status, next_attempt_at,
            created_at) SELECT i, 2, 'USD', x'80000000000000000000000000000001', 'r' || i, 'booked', 0, 0 FROM n"
            .to_owned(),
        expected: Vec::new(),
    }
}

fn assert_listed_up_to_a_limit(report: &Report) {
    assert_eq!(report.findings().len(), MAX_FINDINGS);
    assert_eq!(report.to_json()["findings_not_listed"], 1_000);
    assert!(report.to_string().contains("2000 findings"), "{report}");
}
