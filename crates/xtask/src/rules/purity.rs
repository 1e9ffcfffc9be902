//! What decides about money does no I/O.
//!
//! A pure decision can be tested a million times a minute, replayed from an event log and run under a seeded
//! simulator; one that awaits or reads a file can do none of these.

use super::Violation;
use super::code::PathRef;
use super::crates::SERVICES;
use super::tree::{SourceFile, Tree, is_at};

/// Libraries that do I/O, run tasks, or know a database or a wire.
const OUTSIDE: &[&str] = &[
    "tokio",
    "tokio_util",
    "futures",
    "rusqlite",
    "tokio_postgres",
    "deadpool_postgres",
    "sqlx",
    "axum",
    "tower",
    "tower_http",
    "hyper",
    "hyper_util",
    "reqwest",
    "async_nats",
    "lettre",
    "moka",
];

/// The standard library's doors to the outside.
const DOORS: &[&str] = &["fs", "net", "process", "thread", "env", "io"];

/// `domain/` is pure: no I/O, no tokio, no await. Its SQL is found by the rule on SQL.
pub(crate) fn domain(tree: &Tree) -> Vec<Violation> {
    let in_domain = |file: &SourceFile| {
        file.krate().is_some_and(|krate| SERVICES.contains(&krate))
            && file.in_src().is_some_and(|path| is_at(path, "domain"))
    };
    let impure = |path: &PathRef| {
        let mut parts = path.path.split("::");
        let first = parts.next().unwrap_or_default();
        let second = parts.next();
        let door = first == "std" && second.is_some_and(|second| DOORS.contains(&second));
        door || is_outside(path) || (!path.imported && matches!(first, "async" | "await"))
    };
    let why = "a decision that does I/O cannot be replayed, simulated or tested a million times";
    let remedy = "hand in what was read as a value, and return the effect as a value; I/O belongs in use_cases/, store/, worker/";
    find(tree, in_domain, impure, why, remedy)
}

/// `contracts` is what the services agree on; the only machinery it knows is `async_trait`, for its ports.
pub(crate) fn contracts(tree: &Tree) -> Vec<Violation> {
    let in_contracts = |file: &SourceFile| file.krate() == Some("contracts") && file.in_src().is_some();
    let why = "every crate depends on contracts, so all would depend on what it depends on";
    let remedy = "keep types and traits here, and the machinery in storage, transport or service-kit";
    find(tree, in_contracts, is_outside, why, remedy)
}

fn is_outside(path: &PathRef) -> bool {
    let (first, more) = path.path.split_once("::").unwrap_or((&path.path, ""));
    OUTSIDE.contains(&first) && (path.imported || !more.is_empty())
}

fn find(
    tree: &Tree,
    place: impl Fn(&SourceFile) -> bool,
    impure: impl Fn(&PathRef) -> bool,
    why: &'static str,
    remedy: &str,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, code) in tree.rust().filter(|(file, _)| place(file)) {
        for path in code.paths.iter().filter(|path| impure(path)) {
            violations.push(Violation {
                path: file.path.clone(),
                line: path.line,
                what: format!("`{}`", path.path),
                why,
                remedy: remedy.to_owned(),
            });
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rule: fn(&Tree) -> Vec<Violation>, path: &str, text: &str) -> Vec<String> {
        let violations = rule(&Tree::of(path, text)).into_iter();
        violations.map(|v| format!("{}:{}", v.line, v.what)).collect()
    }

    #[test]
    fn a_pure_domain_is_left_alone() {
        let good = "//! tokio, std::fs\nuse std::collections::BTreeMap;\nuse contracts::Amount;\n\
                    fn decide(state: State, futures: u8) -> &'static str { \"std::fs\" }\n";
        assert_eq!(
            found(domain, "crates/wallet/src/domain/saga.rs", good),
            Vec::<String>::new()
        );
    }

    #[test]
    fn io_in_a_domain_is_found_however_it_is_written() {
        let bad = "use std::{fmt, fs::File};\nuse tokio::sync::Mutex;\nasync fn f() { g().await }\n\
                   fn h() { std::env::var(\"X\"); rusqlite::Error::Y; }\n";
        assert_eq!(
            found(domain, "crates/wallet/src/domain.rs", bad),
            [
                "1:`std::fs::File`",
                "2:`tokio::sync::Mutex`",
                "3:`async`",
                "3:`await`",
                "4:`std::env::var`",
                "4:`rusqlite::Error::Y`"
            ]
        );
        assert_eq!(
            found(domain, "crates/wallet/src/store/sqlite.rs", bad),
            Vec::<String>::new()
        );
    }

    #[test]
    fn contracts_may_have_async_ports_and_no_machinery() {
        let port = "#[async_trait]\npub trait Balance { async fn post(&self); }\nuse std::sync::Mutex;\n";
        assert_eq!(
            found(contracts, "crates/contracts/src/clients.rs", port),
            Vec::<String>::new()
        );
        let bad = "use axum::Json;\nfn f() { tokio::spawn(x); }\n";
        assert_eq!(
            found(contracts, "crates/contracts/src/lib.rs", bad),
            ["1:`axum::Json`", "2:`tokio::spawn`"]
        );
    }
}
