//! The mail box at the end: one letter for each order that has to be told of, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How often it is looked whether mail has come.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What a mail has to say, and to whom.
pub(crate) struct Letter {
    pub(crate) address: String,
    pub(crate) subject: String,
}

/// Waits until there is a mail about each of these orders and none is being written (again), a minute at most; then there
/// must be no other file.
pub(crate) async fn all_told(folder: &Path, letters: &BTreeMap<i64, Letter>) {
    let give_up = Instant::now() + Duration::from_secs(60);
    let expected: BTreeSet<String> = letters.keys().map(name_of).collect();
    loop {
        let found = files(folder);
        let missing: Vec<_> = expected.difference(&found).collect();
        let besides: Vec<_> = found.difference(&expected).collect();
        if missing.is_empty() && besides.is_empty() {
            break;
        }
        let drafts = besides.iter().all(|name| name.starts_with('.'));
        assert!(drafts, "mail that nobody should have got: {besides:?}");
        assert!(
            Instant::now() < give_up,
            "no mail {missing:?}, or left behind: {besides:?}"
        );
        // sleep: a mail box is polled, as by whoever reads mail.
        sleep(ASK_AGAIN).await;
    }
    for (order, Letter { address, subject }) in letters {
        let mail = std::fs::read_to_string(folder.join(name_of(order))).expect("a mail");
        let unfolded = mail.replace("\r\n ", " ");
        assert!(
            unfolded.contains(&format!("Subject: {subject}")),
            "not {subject:?} but:\n{mail}"
        );
        assert!(
            mail.contains(&format!("To: {address}\r\n")),
            "not to {address}:\n{mail}"
        );
        assert!(mail.contains(&format!("order number {order}.")), "{mail}");
    }
}

fn name_of(order: &i64) -> String {
    format!("order-{order}.eml")
}

fn files(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).expect("a folder for mail");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    names.collect()
}
