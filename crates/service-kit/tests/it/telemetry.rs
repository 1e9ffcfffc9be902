//! Logs for people and for machines.

use service_kit::settings::{LogFilter, Secret, Value as _};
use service_kit::telemetry::subscriber;

use crate::support::Log;

fn written(filter: &str, human: bool, colours: bool) -> String {
    let log = Log::default();
    let writer = {
        let log = log.clone();
        move || log.clone()
    };
    let subscriber = subscriber(&LogFilter::parse(filter).unwrap(), human, colours, writer).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        let token = Secret::new("hunter2");
        let span = tracing::info_span!("request", route = "/login");
        let _entered = span.enter();
        tracing::info!(%token, ?token, order_id = 17, "held");
        tracing::debug!("detail");
    });
    log.text()
}

#[test]
fn machines_read_one_json_object_a_line_with_the_span() {
    let text = written("info", false, false);
    let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(line["message"], "held");
    assert_eq!(line["order_id"], 17);
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["span"]["route"], "/login");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn people_read_lines_with_colours_only_where_wanted() {
    assert!(!written("info", true, false).contains('\x1b'));
    assert!(written("info", true, true).contains('\x1b'));
    assert!(written("info", true, false).contains("held"));
}

#[test]
fn the_filter_decides_by_level_and_module() {
    assert_eq!(written("warn", false, false), "");
    assert_eq!(written("debug", false, false).lines().count(), 2);
    assert_eq!(written("warn,it=info", false, false).lines().count(), 1);
}

#[test]
fn a_secret_is_never_written() {
    for human in [true, false] {
        let text = written("debug", human, false);
        assert!(text.contains("[secret]") && !text.contains("hunter2"), "{text}");
    }
}
