//! SQL stands in stores, and a store names only its own service's tables.
//!
//! When all SQL of a service is in one room, its second database is a second file in that room, and a
//! conformance suite can run all of it. SQL is recognised by how a text begins; tests are left alone.

use super::code::Code;
use super::crates::SERVICES;
use super::lex::Kind;
use super::tree::{SourceFile, Tree, is_at};
use super::{Violation, is_exempt};

/// Rooms of a service that may hold SQL: its store, and the simulators' own durable state.
const ROOMS: &[&str] = &["store", "venue", "chain"];

/// How statements begin, word by word; `*` is any word, `..` any number of them.
const BEGINNINGS: &[&[&str]] = &[
    &["select", "..", "from"],
    &["insert", "into"],
    &["insert", "or"],
    &["replace", "into"],
    &["update", "..", "set"],
    &["delete", "from"],
    &["create", "table"],
    &["create", "index"],
    &["create", "unique", "index"],
    &["create", "trigger"],
    &["create", "view"],
    &["create", "schema"],
    &["create", "role"],
    &["alter", "table"],
    &["drop", "table"],
    &["drop", "index"],
    &["drop", "schema"],
    &["pragma", "*"],
    &["savepoint", "*"],
    &["begin", "immediate"],
    &["with", "..", "as", "select"],
    &["with", "recursive"],
];

/// SQL is only in `storage`, in a service's `store/`, in a simulator's own store, and in `migrations/`.
pub(crate) fn in_stores(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    let elsewhere = |file: &&SourceFile| !may_hold_sql(file) && !is_exempt("sql-in-stores", &file.path);
    for file in tree.files.iter().filter(elsewhere) {
        let lines = match &file.code {
            Some(code) => texts(code)
                .filter(|(line, text)| is_sql(text) && !file.is_test(*line))
                .map(|(line, _)| line)
                .collect(),
            None if file.path.ends_with(".sql") => vec![1],
            None => vec![],
        };
        violations.extend(lines.into_iter().map(|line| Violation {
            path: file.path.clone(),
            line,
            what: "SQL outside a store".into(),
            why: "SQL that is not in a store is run by no conformance suite and has no twin for the other database",
            remedy: "ask for it through a port, and put the statement into the adapter (store/, migrations/, or the storage crate)".into(),
        }));
    }
    violations
}

/// A service's statements and migrations name no table of another service.
pub(crate) fn own_tables(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.files {
        let Some(krate) = file.krate().filter(|krate| SERVICES.contains(krate)) else {
            continue;
        };
        let statements: Vec<(usize, &str)> = match &file.code {
            Some(code) => texts(code)
                .filter(|(line, text)| is_sql(text) && !file.is_test(*line))
                .collect(),
            None if file.path.ends_with(".sql") => {
                file.text.lines().enumerate().map(|(i, line)| (i + 1, line)).collect()
            }
            None => continue,
        };
        for (line, statement) in statements {
            for table in tables(statement).filter(|table| is_anothers(table, krate)) {
                violations.push(Violation {
                    path: file.path.clone(),
                    line,
                    what: format!("`{krate}` names the table `{table}`"),
                    why: "each service has its own schema and its own role; what it reads elsewhere breaks when they part",
                    remedy: "ask the service that owns the table, through its client port in contracts".into(),
                });
            }
        }
    }
    violations
}

fn may_hold_sql(file: &SourceFile) -> bool {
    let room = file
        .in_src()
        .is_some_and(|path| ROOMS.iter().any(|room| is_at(path, room)));
    room || file.krate() == Some("storage") || file.path.contains("/migrations/")
}

fn texts(code: &Code) -> impl Iterator<Item = (usize, &str)> {
    code.lexed.tokens.iter().filter_map(|token| match &token.kind {
        Kind::Text(text) => Some((token.line, text.as_str())),
        Kind::Ident(_) | Kind::Number(_) | Kind::PathSep | Kind::Punct(_) => None,
    })
}

fn words(text: &str) -> impl Iterator<Item = String> {
    let word = |c: char| !(c.is_alphanumeric() || c == '_');
    text.split(word).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

fn is_sql(text: &str) -> bool {
    // Prose begins with these words too ("Update the …"); a statement does not end like a sentence.
    if text.trim_end().ends_with(['.', ':', '?', '!']) {
        return false;
    }
    let words: Vec<String> = words(text).collect();
    BEGINNINGS.iter().any(|beginning| begins(&words, beginning))
}

fn begins(words: &[String], pattern: &[&str]) -> bool {
    match (words, pattern) {
        (_, []) => true,
        ([], _) => false,
        (words, ["..", rest @ ..]) => (0..words.len()).any(|skip| begins(&words[skip..], rest)),
        ([word, words @ ..], [expected, rest @ ..]) => (*expected == "*" || word == expected) && begins(words, rest),
    }
}

/// The words of a statement that stand where a table stands.
fn tables(statement: &str) -> impl Iterator<Item = String> {
    let words: Vec<String> = words(statement).collect();
    let after = |at: usize| {
        at > 0
            && matches!(
                words[at - 1].as_str(),
                "from" | "join" | "into" | "update" | "table" | "on" | "exists" | "references"
            )
    };
    let tables: Vec<String> = (0..words.len())
        .filter(|&at| after(at))
        .map(|at| words[at].clone())
        .collect();
    tables.into_iter()
}

fn is_anothers(table: &str, krate: &str) -> bool {
    let of = |service: &str| {
        let long = service.replace('-', "_");
        let short = service.replace('-', "");
        // `wallet_orders` in SQLite, `wallet.orders` in PostgreSQL, of which the first word is the schema.
        [long, short].iter().any(|name| {
            table
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        })
    };
    SERVICES.iter().any(|service| *service != krate && of(service)) && !of(krate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATEMENT: &str =
        "//! x\nfn f() {\n    run(\n        \"SELECT a, b \\\n         FROM wallet_orders WHERE id = ?1\");\n}\n";

    fn lines(rule: fn(&Tree) -> Vec<Violation>, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(path, text)).into_iter().map(|v| v.line).collect()
    }

    #[test]
    fn sql_in_a_store_is_where_it_belongs() {
        for path in [
            "crates/wallet/src/store/sqlite.rs",
            "crates/wallet/src/store.rs",
            "crates/storage/src/outbox.rs",
            "crates/exchanger/src/venue/sim.rs",
            "crates/wallet/tests/it/main.rs",
        ] {
            assert_eq!(lines(in_stores, path, STATEMENT), [0_usize; 0], "{path}");
        }
        let migration = "crates/wallet/migrations/sqlite/0001_start.sql";
        assert_eq!(lines(in_stores, migration, "CREATE TABLE wallet_orders"), [0_usize; 0]);
    }

    #[test]
    fn sql_elsewhere_is_found() {
        for path in [
            "crates/wallet/src/domain/saga.rs",
            "crates/wallet/src/api/orders.rs",
            "crates/cambist/src/audit.rs",
            "crates/contracts/src/lib.rs",
        ] {
            assert_eq!(lines(in_stores, path, STATEMENT), [4], "{path}");
        }
        assert_eq!(lines(in_stores, "docs/schema.sql", "CREATE TABLE x"), [1]);
    }

    #[test]
    fn statements_are_told_from_prose() {
        for sql in [
            "insert into t values (1)",
            " UPDATE t SET a = 1",
            "DELETE FROM t",
            "PRAGMA journal_mode = WAL",
            "with x as (select 1) select * from x",
            "CREATE UNIQUE INDEX i ON t (a)",
        ] {
            assert!(is_sql(sql), "{sql}");
        }
        for prose in [
            "create a wallet",
            "update the order",
            "Delete from the list what you do not need.",
            "select one of: auth, wallet",
            "with",
            "",
            "drop it",
            "begin",
        ] {
            assert!(!is_sql(prose), "{prose}");
        }
    }

    #[test]
    fn a_service_reads_its_own_tables_only() {
        let own = "fn f() { run(\"SELECT balance_after FROM wallet_orders JOIN wallet_events ON a = b\") }";
        assert_eq!(
            lines(own_tables, "crates/wallet/src/store/sqlite.rs", own),
            [0_usize; 0]
        );
        let gateway = "fn f() { run(\"SELECT a FROM bc_gateway_orders\") }";
        assert_eq!(
            lines(own_tables, "crates/bc-gateway/src/store/sqlite.rs", gateway),
            [0_usize; 0]
        );
        let other = "fn f() { run(\"SELECT a FROM wallet_orders JOIN balance_accounts USING (id)\") }";
        assert_eq!(lines(own_tables, "crates/wallet/src/store/sqlite.rs", other), [1]);
        let in_a_schema = "fn f() { run(\"SELECT a FROM balance.accounts\") }";
        assert_eq!(
            lines(own_tables, "crates/wallet/src/store/postgres.rs", in_a_schema),
            [1]
        );
        assert_eq!(
            lines(own_tables, "crates/balance/src/store/postgres.rs", in_a_schema),
            [0_usize; 0]
        );
        let migration = "-- x\nCREATE TABLE IF NOT EXISTS auth_users (id)";
        assert_eq!(
            lines(own_tables, "crates/wallet/migrations/sqlite/0001_a.sql", migration),
            [2]
        );
    }
}
