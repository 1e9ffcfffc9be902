//! What Prometheus is shown: exact, complete, without secrets; and the alert rules on it, by Prometheus' own tool.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reqwest::Method;
use test_kit::api::{Api, placed};
use test_kit::system::{OPERATOR_TOKEN, TestSystem};
use test_kit::waiting::{PATIENCE, eventually};

/// The page as somebody without a token gets it.
async fn scrape(system: &TestSystem) -> String {
    let internal = Api::new(system.internal.clone());
    let answer = internal.send(internal.request(Method::GET, "/metrics")).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["content-type"], "text/plain; version=0.0.4");
    answer.text
}

/// The figures by name and labels, as written.
fn figures(page: &str) -> BTreeMap<&str, &str> {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    samples.map(|line| line.rsplit_once(' ').unwrap()).collect()
}

/// The figures that begin so, once they all are as expected; what is counted after a commit may come a moment after it.
async fn shown(system: &TestSystem, expected: &[(&str, &str)]) -> String {
    // What stands in tables is a second old.
    eventually(PATIENCE, "the figures are as expected", async || {
        let page = scrape(system).await;
        let found = figures(&page);
        let wrong: Vec<_> = expected
            .iter()
            .filter(|(name, value)| found.get(name) != Some(value))
            .collect();
        if wrong.is_empty() {
            return Ok(page);
        }
        let shown: Vec<_> = wrong.iter().map(|(name, _)| (name, found.get(name))).collect();
        Err(format!("expected {wrong:?}, found {shown:?}"))
    })
    .await
}

/// A day with all kinds of things in it.
async fn a_day(system: &TestSystem) {
    let user = system.api.given_a_user_with("quetzal", "600").await;
    user.order_at_its_end(placed(&user.buy("30", None).await)).await;
    let sell = placed(&user.sell("1.5", None).await);
    user.order_at_its_end(sell).await;
    user.buy("100000", None).await.assert_problem(423, "insufficient_funds");
    system.mail_about(sell).await;
    let wrong = serde_json::json!({"username": "quetzal", "password": "not hers"});
    let request = system.api.request(Method::POST, "/login").json(&wrong);
    assert_eq!(system.api.send(request).await.unwrap().status, 401);
    let nowhere = system.api.request(Method::GET, "/wallet/2/secret-place?token=abc");
    assert_eq!(system.api.send(nowhere).await.unwrap().status, 404);
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, told in its order")]
async fn orders_and_books_are_told_exactly() {
    let system = TestSystem::start().await;
    a_day(&system).await;
    let expected = [
        (r#"cambist_orders_accepted_total{side="buy"}"#, "2"),
        (r#"cambist_orders_completed_total{side="buy"}"#, "1"),
        (r#"cambist_orders_completed_total{side="sell"}"#, "1"),
        (
            r#"cambist_orders_failed_total{side="buy",reason="insufficient_funds"}"#,
            "1",
        ),
        (
            r#"cambist_order_duration_seconds_count{side="buy",state="completed"}"#,
            "1",
        ),
        ("cambist_orders_in_flight", "0"),
        (r#"cambist_sagas{state="exchanging"}"#, "0"),
        (r#"cambist_sagas{state="stuck_reversing"}"#, "0"),
        (r#"cambist_saga_oldest_age_seconds{state="created"}"#, "0"),
        ("cambist_deposits_pending", "0"),
        // 600 − 30 + 15 dollars in cents; 3 − 1.5 bitcoins in satoshi.
        (
            r#"cambist_ledger_balance_atomic_units{asset="USD",class="users"}"#,
            "58500",
        ),
        (
            r#"cambist_ledger_balance_atomic_units{asset="BTC",class="users"}"#,
            "150000000",
        ),
        (
            r#"cambist_ledger_balance_atomic_units{asset="USD",class="hot_wallet"}"#,
            "100000",
        ),
        (
            r#"cambist_ledger_balance_atomic_units{asset="USD",class="treasury"}"#,
            "-100000",
        ),
        (
            r#"cambist_ledger_balance_atomic_units{asset="USD",class="bank"}"#,
            "-60000",
        ),
        (
            r#"cambist_ledger_balance_atomic_units{asset="USD",class="venue"}"#,
            "1500",
        ),
        (
            r#"cambist_ledger_balance_atomic_units{asset="BTC",class="venue"}"#,
            "-150000000",
        ),
        (r#"cambist_ledger_imbalance_atomic_units{asset="USD"}"#, "0"),
        (r#"cambist_ledger_imbalance_atomic_units{asset="BTC"}"#, "0"),
        ("cambist_ledger_unreadable_accounts", "0"),
        (r#"cambist_asset_scale{asset="BTC"}"#, "8"),
        (r#"cambist_venue_calls_total{call="place",outcome="done"}"#, "2"),
        (r#"cambist_chain_calls_total{call="broadcast",outcome="taken"}"#, "1"),
        (r#"cambist_mail_tries_total{outcome="sent"}"#, "2"),
        (
            r#"cambist_command_claims_total{service="exchanger",outcome="done"}"#,
            "2",
        ),
        (
            r#"cambist_command_claims_total{service="notification",outcome="done"}"#,
            "2",
        ),
        (r#"cambist_commands{service="exchanger",state="open"}"#, "0"),
        (r#"cambist_dead_letters{service="wallet",source="queue"}"#, "0"),
        (
            r#"cambist_outbox_deliveries_total{service="wallet",destination="service:exchanger",outcome="delivered"}"#,
            "2",
        ),
        (
            r#"cambist_outbox_rows{service="wallet",destination="service:balance"}"#,
            "0",
        ),
        (r#"cambist_logins_total{outcome="accepted"}"#, "1"),
        (r#"cambist_logins_total{outcome="wrong"}"#, "1"),
        (r#"cambist_registrations_total{outcome="accepted"}"#, "1"),
        (
            r#"cambist_http_requests_total{listener="public",route="/buy/{user_id}",method="POST",status="202"}"#,
            "1",
        ),
        (
            r#"cambist_http_requests_total{listener="public",route="/buy/{user_id}",method="POST",status="423"}"#,
            "1",
        ),
        (
            r#"cambist_http_requests_total{listener="public",route="unmatched",method="GET",status="404"}"#,
            "1",
        ),
        ("cambist_storage_commits_failed_total", "0"),
        (r#"cambist_survey_success{survey="ledger"}"#, "1"),
        (r#"cambist_survey_success{survey="process"}"#, "1"),
        (r#"cambist_survey_success{survey="disk"}"#, "1"),
    ];
    let page = shown(&system, &expected).await;
    let found = figures(&page);
    let above_zero = |name: &str| {
        let value = found.get(name).unwrap_or_else(|| panic!("{name}: {page}"));
        assert!(!value.starts_with('-') && *value != "0", "{name} {value}");
    };
    above_zero("cambist_storage_commit_jobs_count");
    above_zero("cambist_storage_commit_duration_seconds_sum");
    above_zero("process_resident_memory_bytes");
    above_zero("process_start_time_seconds");
    above_zero("cambist_data_disk_available_bytes");
    above_zero(r#"cambist_database_file_bytes{file="database"}"#);
    system.assert_at_rest();
}

#[tokio::test]
async fn no_secret_no_person_and_no_path_is_shown() {
    let system = TestSystem::start().await;
    a_day(&system).await;
    let page = scrape(&system).await;
    for word in [
        "quetzal",
        "Lovelace",
        "example.com",
        "secret-place",
        "abc",
        OPERATOR_TOKEN,
        "/wallet/2",
        "user:",
    ] {
        assert!(!page.contains(word), "{word}: {page}");
    }
    let folder = system.data();
    assert!(!page.contains(folder.to_str().unwrap()), "{page}");
    // Whatever the number of users and orders: series are as many as there are routes, states and services.
    let before = figures(&page).len();
    for name in ["bob", "eve", "joe"] {
        let user = system.api.given_a_user_with(name, "600").await;
        user.order_at_its_end(placed(&user.buy("30", None).await)).await;
        for strange in ["a", "b", "c"] {
            user.get(&format!("/{name}/{strange}")).await;
        }
    }
    let after = scrape(&system).await;
    assert!(figures(&after).len() <= before, "{before} series became more:\n{after}");
}

#[tokio::test]
async fn prometheus_finds_nothing_to_complain_about() {
    let system = TestSystem::start().await;
    a_day(&system).await;
    let page = scrape(&system).await;
    let (sound, said) = promtool(&["check", "metrics"], &alerts(), &page);
    assert!(sound && said.is_empty(), "promtool check metrics: {said}");
    let described = |line: &&str| line.starts_with("# HELP ");
    let typed = |line: &&str| line.starts_with("# TYPE ");
    assert_eq!(
        page.lines().filter(described).count(),
        page.lines().filter(typed).count()
    );
}

#[tokio::test]
async fn every_metric_of_the_rules_is_shown() {
    let system = TestSystem::start().await;
    a_day(&system).await;
    let page = scrape(&system).await;
    let shown: BTreeSet<&str> = figures(&page)
        .into_keys()
        .map(|key| key.split('{').next().unwrap())
        .collect();
    let rules = std::fs::read_to_string(alerts().join("rules.yml")).unwrap();
    let expressions = rules.lines().filter_map(|line| line.trim().strip_prefix("expr:"));
    let words = expressions.flat_map(|text| text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')));
    let used: BTreeSet<&str> = words
        .filter(|word| word.starts_with("cambist_") || word.starts_with("process_"))
        .collect();
    assert!(used.len() > 20, "{used:?}");
    let missing: Vec<_> = used.difference(&shown).collect();
    assert!(missing.is_empty(), "rules watch what is not shown: {missing:?}");
}

#[test]
fn the_rules_fire_where_they_should_and_nowhere_else() {
    let (sound, said) = promtool(&["check", "rules", "rules.yml"], &alerts(), "");
    assert!(sound, "promtool check rules: {said}");
    let (sound, said) = promtool(&["test", "rules", "rules_test.yml"], &alerts(), "");
    assert!(sound, "promtool test rules: {said}");
    let of = |file: &str| std::fs::read_to_string(alerts().join(file)).unwrap();
    let (rules, tests) = (of("rules.yml"), of("rules_test.yml"));
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        for end in ["fires", "is silent"] {
            assert!(
                tests.contains(&format!("- name: {alert} {end}\n")),
                "{alert} {end}: no test says so"
            );
        }
    }
}

#[tokio::test]
async fn the_reference_of_metrics_is_what_is_registered() {
    let generated = TestSystem::start().await.metrics_reference;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/METRICS.md");
    if std::env::var_os("UPDATE_REFERENCES").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == generated,
        "docs/METRICS.md is not what the code says; run UPDATE_REFERENCES=1 cargo test -p cambist reference_of_metrics"
    );
}

fn alerts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/alerts")
}

/// Whether Prometheus' own tool is content with `input`, and what it says.
fn promtool(arguments: &[&str], folder: &Path, input: &str) -> (bool, String) {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("promtool: {error}; run: sudo apt-get install -y --no-install-recommends prometheus")
        });
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
