//! What users of such systems have lost sleep over, by the public trackers of comparable ones: one named test each, which
//! fails on a system with that fault. The README lists them.
//!
//! Each says in one line which line of the product would have to be wrong for it to fail, and ends with the audit.

mod amounts;
mod ends;
mod holds;
mod payouts;
mod retries;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of all tests in this room.
fn tests() -> BTreeSet<String> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/complaints");
    let files = fs::read_dir(room)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let names = |text: String| -> Vec<String> {
        let after = text.split("async fn complaint_").skip(1);
        after
            .map(|rest| format!("complaint_{}", rest.split('(').next().unwrap_or_default()))
            .collect()
    };
    files.flat_map(names).collect()
}

#[test]
fn the_readme_lists_these_tests_by_their_numbers_and_no_others() {
    let readme = include_str!("../../../../README.md");
    let rows = readme.lines().filter(|line| line.contains("`complaint_"));
    let mut listed = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [number, complaint, test] = cells[..] else {
            panic!("not a number, a complaint and a test: {row}");
        };
        assert!(!complaint.is_empty(), "{row}");
        let test = test.trim_matches('`');
        let number: u32 = number.parse().unwrap();
        assert!(test.starts_with(&format!("complaint_{number:02}_")), "{row}");
        assert!(listed.insert(test.to_owned()), "listed twice: {row}");
    }
    assert_eq!(listed, tests());
}
