//! Who may depend on whom, and that a crate's manifest leaves versions and lints to the workspace.
//!
//! The graph is what lets six services run in one process today and in ten tomorrow: a service that imported
//! another could no longer be taken apart. Test dependencies count like the others, so a service's tests
//! cannot lean on its neighbours either.

use toml::{Table, Value};

use super::Violation;
use super::tree::{SourceFile, Tree};

/// What every service may use.
const BASE: &[&str] = &["contracts", "storage", "transport", "service-kit"];

/// The six services.
pub(crate) const SERVICES: &[&str] = &["auth", "wallet", "balance", "exchanger", "bc-gateway", "notification"];

const KINDS: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// Which of our crates `krate` may depend on, or `None` for a crate the design does not know.
fn allowed(krate: &str) -> Option<Vec<&'static str>> {
    let allowed = match krate {
        "contracts" | "test-servers" => vec![],
        "xtask" => vec!["test-servers"],
        "storage" | "service-kit" => vec!["contracts"],
        "transport" => vec!["contracts", "storage"],
        "cambist" => [BASE, SERVICES].concat(),
        "test-kit" => [BASE, SERVICES, &["cambist"]].concat(),
        service if SERVICES.contains(&service) => BASE.to_vec(),
        _ => return None,
    };
    Some(allowed)
}

fn is_ours(krate: &str) -> bool {
    allowed(krate).is_some()
}

/// Crates depend only on those below them. `cambist`'s tests may use `test-kit`, which is built on it, and all tests
/// `test-servers`, which knows none of ours.
pub(crate) fn graph(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, krate, manifest) in manifests_of(tree) {
        let Some(allowed) = allowed(krate) else {
            violations.push(Violation {
                path: file.path.clone(),
                line: 1,
                what: format!("crate `{krate}` has no place in the crate graph"),
                why: "who may depend on whom is decided once, in DESIGN 9, not by whoever comes first",
                remedy: "give it one in crates/xtask/src/rules/crates.rs, and an ADR".into(),
            });
            continue;
        };
        for dependency in dependencies(&manifest) {
            let kit = dependency.krate == "test-servers" || (krate == "cambist" && dependency.krate == "test-kit");
            let for_its_tests = kit && dependency.kind == "dev-dependencies";
            if !is_ours(&dependency.krate) || allowed.contains(&dependency.krate.as_str()) || for_its_tests {
                continue;
            }
            violations.push(Violation {
                path: file.path.clone(),
                line: line_of(file, &dependency.key),
                what: format!("`{krate}` depends on `{}` ({})", dependency.krate, dependency.kind),
                why: "a service that knows another cannot be run, tested or replaced without it",
                remedy: format!(
                    "say what `{krate}` needs as a port in contracts, and let cambist hand it in; it may depend on: {}",
                    if allowed.is_empty() {
                        "none of ours".to_owned()
                    } else {
                        allowed.join(", ")
                    }
                ),
            });
        }
    }
    violations
}

/// Versions stand once, in the workspace's manifest, and every crate takes the workspace's lints.
pub(crate) fn manifests(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, krate, manifest) in manifests_of(tree) {
        for dependency in dependencies(&manifest).filter(|dependency| !dependency.inherited) {
            violations.push(Violation {
                path: file.path.clone(),
                line: line_of(file, &dependency.key),
                what: format!("`{}` is not taken from the workspace", dependency.key),
                why: "two crates with two versions of one library are two libraries",
                remedy: format!(
                    "add it to [workspace.dependencies] and write `{}.workspace = true`",
                    dependency.key
                ),
            });
        }
        let lints = manifest.get("lints").and_then(|l| l.get("workspace"));
        if lints.and_then(Value::as_bool) != Some(true) {
            violations.push(Violation {
                path: file.path.clone(),
                line: 1,
                what: format!("`{krate}` does not take the workspace's lints"),
                why: "what is forbidden near money is forbidden everywhere",
                remedy: "add `[lints]` with `workspace = true`".into(),
            });
        }
    }
    violations
}

struct Dependency {
    /// As the manifest names it, and as the crate is called.
    key: String,
    krate: String,
    kind: &'static str,
    inherited: bool,
}

fn manifests_of(tree: &Tree) -> impl Iterator<Item = (&SourceFile, &str, Table)> {
    tree.files.iter().filter_map(|file| {
        let krate = file.path.strip_prefix("crates/")?;
        let krate = krate.strip_suffix("/Cargo.toml")?;
        // Cargo has read the manifest before this program ran, so it parses.
        let manifest = file.text.parse().ok()?;
        (!krate.contains('/')).then_some((file, krate, manifest))
    })
}

/// The dependencies of all kinds and targets.
fn dependencies(manifest: &Table) -> impl Iterator<Item = Dependency> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(|t| t.values().filter_map(Value::as_table));
    let tables = std::iter::once(manifest).chain(targets);
    tables
        .flat_map(|table| {
            KINDS
                .iter()
                .filter_map(|kind| Some((*kind, table.get(*kind)?.as_table()?)))
        })
        .flat_map(|(kind, table)| {
            table.iter().map(move |(key, value)| {
                let renamed = value.get("package").and_then(Value::as_str);
                Dependency {
                    key: key.clone(),
                    krate: renamed.unwrap_or(key).to_owned(),
                    kind,
                    inherited: value.get("workspace").and_then(Value::as_bool) == Some(true),
                }
            })
        })
}

fn line_of(file: &SourceFile, key: &str) -> usize {
    let starts = |line: &str| {
        let rest = line.trim_start().strip_prefix(key);
        rest.is_some_and(|rest| rest.starts_with(['.', ' ', '=']))
    };
    file.text.lines().position(starts).map_or(1, |line| line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(krate: &str, dependencies: &str) -> Vec<(usize, String)> {
        let text = format!("[lints]\nworkspace = true\n{dependencies}");
        let tree = Tree::of(&format!("crates/{krate}/Cargo.toml"), &text);
        let found = graph(&tree).into_iter().chain(manifests(&tree));
        found.map(|v| (v.line, v.what)).collect()
    }

    #[test]
    fn a_service_uses_what_lies_below_it() {
        let good = "[dependencies]\ncontracts.workspace = true\nstorage.workspace = true\n\
                    transport.workspace = true\nservice-kit = { workspace = true }\nserde.workspace = true\n";
        assert_eq!(check("wallet", good), []);
    }

    #[test]
    fn a_service_does_not_use_another_not_even_in_tests() {
        let dependencies = "[dev-dependencies]\nserde.workspace = true\nbalance.workspace = true\n";
        let expected = "`wallet` depends on `balance` (dev-dependencies)".to_owned();
        assert_eq!(check("wallet", dependencies), [(5, expected)]);
        assert_eq!(check("auth", "[dependencies]\ncambist.workspace = true\n").len(), 1);
        assert_eq!(
            check("auth", "[dev-dependencies]\ntest-kit.workspace = true\n").len(),
            1
        );
    }

    #[test]
    fn the_base_depends_only_downwards() {
        assert_eq!(check("transport", "[dependencies]\nstorage.workspace = true\n"), []);
        assert_eq!(
            check("storage", "[dependencies]\ntransport.workspace = true\n").len(),
            1
        );
        assert_eq!(
            check("contracts", "[dependencies]\nstorage.workspace = true\n").len(),
            1
        );
        assert_eq!(check("xtask", "[dependencies]\ncontracts.workspace = true\n").len(), 1);
    }

    #[test]
    fn cambist_tests_may_use_the_test_kit_and_cambist_may_not() {
        assert_eq!(check("cambist", "[dev-dependencies]\ntest-kit.workspace = true\n"), []);
        assert_eq!(check("cambist", "[dependencies]\ntest-kit.workspace = true\n").len(), 1);
        assert_eq!(check("test-kit", "[dependencies]\ncambist.workspace = true\n"), []);
    }

    #[test]
    fn all_tests_may_use_the_test_servers_and_nothing_else_may_but_this_program() {
        for krate in ["auth", "storage", "transport", "cambist"] {
            let dependency = "test-servers.workspace = true\n";
            assert_eq!(check(krate, &format!("[dev-dependencies]\n{dependency}")), []);
            assert_eq!(check(krate, &format!("[dependencies]\n{dependency}")).len(), 1);
        }
        assert_eq!(check("xtask", "[dependencies]\ntest-servers.workspace = true\n"), []);
        assert_eq!(
            check("test-servers", "[dependencies]\ncontracts.workspace = true\n").len(),
            1
        );
    }

    #[test]
    fn a_renamed_or_target_dependency_is_seen_too() {
        let renamed = "[target.'cfg(unix)'.dependencies]\nledger = { workspace = true, package = \"balance\" }\n";
        assert_eq!(
            check("wallet", renamed),
            [(4, "`wallet` depends on `balance` (dependencies)".to_owned())]
        );
    }

    #[test]
    fn a_crate_the_design_does_not_know_is_refused() {
        assert_eq!(check("helpers", "").len(), 1);
    }

    #[test]
    fn versions_and_lints_are_the_workspaces() {
        assert_eq!(check("auth", "[dependencies]\nserde = \"1\"\n").len(), 1);
        let tree = Tree::of("crates/auth/Cargo.toml", "[package]\nname = \"auth\"\n");
        assert_eq!(manifests(&tree).len(), 1);
    }
}
