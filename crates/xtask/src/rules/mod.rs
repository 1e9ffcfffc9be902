//! The rules of the house, checked: what the compiler and clippy cannot see.
//!
//! Each rule is one function from the tree of files to violations, tested on good and bad samples beside it.
//! A rule that needs an exception has it in [`exempt::EXEMPTIONS`], with its reason, where everybody sees it.

mod code;
mod crates;
mod exempt;
mod habits;
mod lex;
mod machine;
mod purity;
mod rooms;
mod sql;
mod tree;
mod writing;

use std::fmt;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, bail};

use exempt::{EXEMPTIONS, is_exempt};
use tree::Tree;

/// A place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    path: String,
    line: usize,
    what: String,
    why: &'static str,
    remedy: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            path,
            line,
            what,
            why,
            remedy,
        } = self;
        write!(f, "{path}:{line}: {what}. Why: {why}. To do: {remedy}.")
    }
}

/// A rule: its name, what it demands in one line, and how it is checked.
pub(crate) struct Rule {
    name: &'static str,
    demand: &'static str,
    check: fn(&Tree) -> Vec<Violation>,
}

const fn rule(name: &'static str, demand: &'static str, check: fn(&Tree) -> Vec<Violation>) -> Rule {
    Rule { name, demand, check }
}

/// All rules, in the order of DESIGN 9: how crates hang together, how a crate is laid out, how code is written.
pub(crate) const RULES: &[Rule] = &[
    rule(
        "crate-graph",
        "a crate depends only on those below it; services never on each other",
        crates::graph,
    ),
    rule("manifests", "versions and lints are the workspace's", crates::manifests),
    rule("room-plan", "every service has the same rooms", rooms::room_plan),
    rule(
        "migrations",
        "migrations are NNNN_name.sql, each number once",
        rooms::migrations,
    ),
    rule("pure-domain", "domain/ has no I/O, no tokio, no await", purity::domain),
    rule(
        "pure-contracts",
        "contracts knows no runtime, no database, no web server",
        purity::contracts,
    ),
    rule("sql-in-stores", "SQL stands in stores", sql::in_stores),
    rule("own-tables", "a service names only its own tables", sql::own_tables),
    rule(
        "headers",
        "a Rust file starts with why it exists (//!)",
        writing::headers,
    ),
    rule("length", "a file has at most 450 lines", writing::length),
    rule(
        "unfinished",
        "no todo!, no unimplemented!, no #[ignore]",
        writing::unfinished,
    ),
    rule("reasons", "every allow and expect attribute says why", writing::reasons),
    rule("printing", "only the programs print", writing::printing),
    rule("floats", "no f32, no f64", habits::floats),
    rule("sleeps", "every sleep says why", habits::sleeps),
    rule("clock", "the time is handed in", habits::clock),
    rule("randomness", "randomness is handed in", habits::randomness),
    rule("bounds", "every channel is bounded", habits::bounds),
    rule("exemptions", "every exemption is still needed", exempt::needed),
    rule("machine", "nothing names the machine it was built on", machine::names),
];

/// Checks all rules on the working copy at `root` and prints every violation, and then one line that says
/// how many rules looked at how many files. Fails if there was a violation.
pub(crate) fn run(root: &Path) -> Result<()> {
    let started = Instant::now();
    let tree = Tree::read(root)?;
    let mut violations = Vec::new();
    for rule in RULES {
        let found = (rule.check)(&tree);
        violations.extend(found.into_iter().map(|violation| (violation, rule.name)));
    }
    violations.sort();
    for (violation, rule) in &violations {
        println!("{violation} [{rule}]");
    }
    if !violations.is_empty() {
        bail!("{} violations of the rules", violations.len());
    }
    println!(
        "{} rules hold in {} files ({} ms)",
        RULES.len(),
        tree.files.len(),
        started.elapsed().as_millis()
    );
    Ok(())
}

/// Prints the rules and the exceptions from them.
pub(crate) fn list() {
    for rule in RULES {
        println!("{:<16}{}", rule.name, rule.demand);
    }
    println!("\nExceptions (crates/xtask/src/rules/exempt.rs):");
    for exemption in EXEMPTIONS {
        println!("{:<16}{}: {}", exemption.rule, exemption.place, exemption.reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_says_where_what_why_and_what_to_do() {
        let violation = Violation {
            path: "a.rs".into(),
            line: 3,
            what: "f64".into(),
            why: "it rounds",
            remedy: "use Amount".into(),
        };
        assert_eq!(violation.to_string(), "a.rs:3: f64. Why: it rounds. To do: use Amount.");
    }

    #[test]
    fn rules_have_names_of_their_own() {
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }
}
