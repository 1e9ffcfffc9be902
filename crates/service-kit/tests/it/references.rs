//! The references in `docs/` say what the code says. After a change of a table:
//! `UPDATE_REFERENCES=1 cargo test -p service-kit references`.

use std::path::Path;

use service_kit::problem::problems_markdown;
use service_kit::settings::reference_markdown;

fn same(name: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("UPDATE_REFERENCES").is_some() {
        std::fs::write(&path, generated).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == generated,
        "docs/{name} is not what the code says; run UPDATE_REFERENCES=1 cargo test -p service-kit references"
    );
}

#[test]
fn the_reference_of_settings_is_the_table() {
    same("SETTINGS.md", &reference_markdown());
}

#[test]
fn the_reference_of_problems_is_the_registry() {
    same("PROBLEMS.md", &problems_markdown());
}
