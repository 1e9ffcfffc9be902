//! A process that is killed loses nothing it had acknowledged.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

use storage::sqlite::Options;

use crate::group_commit::{numbers, set, with_a_table};
use crate::sqlite::open;

/// Says to this test that it is the child, and where to write.
const CHILD: &str = "STORAGE_TEST_WRITE_UNTIL_KILLED";
const ACKNOWLEDGED: &str = "acknowledged ";
/// A database and its log.
const FILE: &str = "test.db";
const LOG: &str = "test.db-wal";
/// How many writers the child has at once: they share commits, and the kill finds some in the middle.
const WRITERS: i64 = 20;

#[test]
fn a_process_that_is_killed_loses_nothing_it_acknowledged() {
    if let Ok(folder) = std::env::var(CHILD) {
        return write_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let this_test = "crash::a_process_that_is_killed_loses_nothing_it_acknowledged";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", this_test, "--nocapture"])
        .env(CHILD, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = Vec::new();
    for line in lines.map_while(Result::ok) {
        let Some(number) = line.strip_prefix(ACKNOWLEDGED) else {
            continue;
        };
        acknowledged.push(number.parse::<i64>().unwrap());
        if acknowledged.len() == 500 {
            // SIGKILL. What the child had said by then is still in the pipe, and is read to its end.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 500, "the child ended by itself");

    let database = open(folder.path(), Options::default()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let kept = runtime.block_on(numbers(&database));
    acknowledged.retain(|number| kept.binary_search(number).is_err());
    assert_eq!(acknowledged, [] as [i64; 0], "lost");
}

fn write_until_killed(folder: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let database = open(folder, Options::default()).unwrap();
        with_a_table(&database).await;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let database = database.clone();
            writers.spawn(async move {
                for number in (writer..).step_by(20) {
                    set(&database, number).await.unwrap();
                    let line = format!("{ACKNOWLEDGED}{number}\n");
                    std::io::stdout().write_all(line.as_bytes()).unwrap();
                }
            });
        }
        writers.join_all().await;
    });
}
/// Copies a database as a process that is killed leaves it.
fn as_left(from: &Path, to: &Path, files: &[&str]) {
    for file in files {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

#[tokio::test]
async fn what_a_process_left_in_the_log_is_there_for_the_next_one_though_another_program_reads() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [first, second] = folders.each_ref().map(tempfile::TempDir::path);
    let database = open(first, Options::default()).unwrap();
    with_a_table(&database).await;
    set(&database, 7).await.unwrap();
    as_left(first, second, &[FILE, LOG]);
    let left = std::fs::read(second.join(LOG)).unwrap();
    assert!(!left.is_empty());

    let reading = rusqlite::Connection::open(second.join(FILE)).unwrap();
    reading.execute_batch("BEGIN; SELECT count(*) FROM numbers").unwrap();
    let next = open(second, Options::default()).unwrap();
    assert_eq!(
        std::fs::read(second.join(LOG)).unwrap(),
        left,
        "written once more, and the same"
    );
    assert_eq!(numbers(&next).await, [7]);
    set(&next, 8).await.unwrap();
    assert_eq!(numbers(&next).await, [7, 8]);
}
