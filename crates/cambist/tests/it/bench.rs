//! The benchmark itself: that it counts what it says, and leaves nothing behind. How fast anything is, no test asks.

use serde_json::Value;
use test_kit::process::Program;

const SMALL: [&str; 8] = ["bench", "--json", "--seconds", "1", "--in-flight", "8", "--users", "3"];

fn assert_measured(report: &Value) {
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report}"));
    assert!(number("completed_orders") > 0, "{report}");
    assert_eq!(number("completed_orders"), number("accepted_orders"), "{report}");
    assert_eq!(number("in_flight_at_end"), 0, "{report}");
    assert_eq!(report["other_answers"], serde_json::json!({}), "{report}");
    assert!(
        number("completed_orders_per_s") > 0 && number("accepted_orders_per_s") > 0,
        "{report}"
    );
    for latency in ["answer", "completion"] {
        let of = |rank: &str| report["latency_ms"][latency][rank].as_u64();
        assert!(
            of("p50") <= of("p99") && of("p99") <= of("max") && of("max") > Some(0),
            "{report}"
        );
    }
}

#[tokio::test]
async fn bench_measures_a_fresh_instance_audits_it_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    // What is set for another instance does not concern the fresh one.
    let program = Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path())
        .with("TMPDIR", folder.path().to_str().unwrap())
        .with("CAMBIST_VENUE_REFUSE_BP", "10000");
    let (code, out, err) = program.run(&SMALL).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_measured(&report);
    assert_eq!(report["audit"], serde_json::json!({"clean": true, "findings": 0}));
    assert!(report["resident_bytes"].as_u64() > Some(1 << 20), "{report}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn bench_measures_a_running_instance_by_what_its_users_see() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path());
    let running = program.up().await;
    let url = running.api.base().to_owned();
    let (code, out, err) = program.run(&[&SMALL[..], &["--url", &url]].concat()).await;
    assert_eq!(code, Some(0), "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_measured(&report);
    assert_eq!(
        (&report["audit"], &report["resident_bytes"]),
        (&Value::Null, &Value::Null)
    );
}
