//! Everything that is kept, to be compared: after abuse, all of it must be as it was.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::Value;
use test_kit::system::TestSystem;
use test_kit::waiting::{PATIENCE, eventually};

/// The counters that hold guessing back are there to change. Everything else is business.
const NO_BUSINESS: [&str; 1] = ["auth_login_failures"];
/// What bc_gateway counts every few seconds, whoever asks for what: which transfers to customers are in the count of their
/// coins, and when that was looked at.
const GOES_ON: [(&str, &[&str]); 2] = [
    ("bc_gateway_coins", &["coins", "marked", "checked_at"]),
    ("bc_gateway_transfers", &["counted"]),
];

/// Every row of every table of our database, of the venue's and of the chain's, and the number of mails.
#[derive(PartialEq, Eq)]
pub(super) struct Books {
    tables: BTreeMap<String, Vec<String>>,
    mails: usize,
}

impl Books {
    /// What is kept once nothing is under way any more.
    pub(super) async fn at_rest(system: &TestSystem) -> Self {
        eventually(PATIENCE, "it comes to rest", async || {
            let report = system.audit();
            assert!(report.is_clean(), "{report}");
            let letters = &report.to_json()["notifications_on_their_way"];
            let books = Self::of(system);
            if report.orders.in_flight() == 0 && *letters == 0 && books.nothing_to_do() {
                return Ok(books);
            }
            Err(report.to_string())
        })
        .await
    }

    fn of(system: &TestSystem) -> Self {
        let mut tables = BTreeMap::new();
        for file in ["cambist.db", "venue.db", "chain.db"] {
            read(&system.data().join(file), &mut tables);
        }
        Self {
            tables,
            mails: system.mails(),
        }
    }

    /// Nothing to hand on, and the first key, which is made when somebody starts for the first time, is there.
    fn nothing_to_do(&self) -> bool {
        let mut outboxes = self.tables.iter().filter(|(name, _)| name.ends_with("_outbox"));
        outboxes.all(|(_, rows)| rows.is_empty()) && self.rows("auth_signing_keys") > 0
    }

    /// How many rows a table has.
    pub(super) fn rows(&self, table: &str) -> usize {
        self.tables[&format!("cambist.{table}")].len()
    }

    /// Proves that nothing has changed since.
    #[track_caller]
    pub(super) fn assert_unchanged(&self, system: &TestSystem, by: &str) {
        let now = Self::of(system);
        for (table, before) in &self.tables {
            let after = &now.tables[table];
            let gone: Vec<_> = before.iter().filter(|row| !after.contains(row)).collect();
            let new: Vec<_> = after.iter().filter(|row| !before.contains(row)).collect();
            assert!(
                before == after,
                "{by} changed {table}:\n  gone: {gone:#?}\n  new: {new:#?}"
            );
        }
        assert_eq!(now.mails, self.mails, "{by} sent mail");
    }
}

fn goes_on(table: &str, column: &str) -> bool {
    GOES_ON
        .iter()
        .any(|(of, columns)| *of == table && columns.contains(&column))
}

fn read(path: &Path, tables: &mut BTreeMap<String, Vec<String>>) {
    let database = storage::sqlite::reader(path).unwrap();
    // One transaction, so that all tables are of one moment.
    let moment = database.unchecked_transaction().unwrap();
    let mut names = moment
        .prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
        .unwrap();
    let names: Vec<String> = names
        .query_map((), |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for name in names.into_iter().filter(|name| !NO_BUSINESS.contains(&name.as_str())) {
        let mut all = moment.prepare(&format!("SELECT * FROM {name}")).unwrap();
        let columns = all.column_names().enumerate();
        let at_rest: Vec<_> = columns
            .filter_map(|(at, column)| (!goes_on(&name, column)).then_some(at))
            .collect();
        let rows = all.query_map((), |row| {
            let values: Vec<Value> = at_rest.iter().map(|at| row.get(*at)).collect::<Result<_, _>>()?;
            Ok(format!("{values:?}"))
        });
        let mut rows: Vec<String> = rows.unwrap().collect::<Result<_, _>>().unwrap();
        rows.sort();
        let file = path.file_stem().unwrap().to_string_lossy();
        tables.insert(format!("{file}.{name}"), rows);
    }
}
