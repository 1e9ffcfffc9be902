//! How a file is written: why it exists comes first, it stays short, nothing in it is unfinished or unexplained.

use super::code::{Code, PathRef};
use super::lex::Token;
use super::tree::Tree;
use super::{Violation, is_exempt};

/// Lines a file may have. The aim is 400; the rest is for the last test.
const MOST_LINES: usize = 450;

/// The crates that are programs.
const PROGRAMS: &[&str] = &["cambist", "xtask"];

/// A Rust file starts with `//!`.
pub(crate) fn headers(tree: &Tree) -> Vec<Violation> {
    let bare = tree.rust().filter(|(file, _)| {
        let words = file.text.strip_prefix("//!").map(|rest| rest.lines().next());
        words.flatten().is_none_or(|words| words.trim().is_empty())
    });
    bare.map(|(file, _)| Violation {
        path: file.path.clone(),
        line: 1,
        what: "the file does not start with `//!`".into(),
        why: "who opens a file wants to know why it exists and what it keeps true",
        remedy: "say so in its first lines".into(),
    })
    .collect()
}

/// A Rust file, tests included, has at most 450 lines.
pub(crate) fn length(tree: &Tree) -> Vec<Violation> {
    let files = tree.rust().map(|(file, _)| (file, file.text.lines().count()));
    files
        .filter(|(file, lines)| *lines > MOST_LINES && !is_exempt("length", &file.path))
        .map(|(file, lines)| Violation {
            path: file.path.clone(),
            line: MOST_LINES + 1,
            what: format!("the file has {lines} lines, more than {MOST_LINES}"),
            why: "a file that does not fit in the head is two files",
            remedy: "split it by theme; tests may go to a file of their own".into(),
        })
        .collect()
}

/// Nothing is left to do, and no test is left out.
pub(crate) fn unfinished(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, code) in tree.rust() {
        let stubs = code
            .paths
            .iter()
            .filter(|path| is_macro(code, path, &["todo", "unimplemented"]));
        let stubs = stubs.map(|path| (path.line, format!("`{}!`", path.path)));
        let ignored = code.attributes.iter().filter(|attribute| {
            let words: Vec<&str> = code.attribute(attribute).iter().filter_map(Token::ident).collect();
            words.first() == Some(&"ignore") || (words.first() == Some(&"cfg_attr") && words.contains(&"ignore"))
        });
        let ignored = ignored.map(|attribute| (attribute.line, "`#[ignore]`".to_owned()));
        violations.extend(stubs.chain(ignored).map(|(line, what)| Violation {
            path: file.path.clone(),
            line,
            what,
            why: "what is promised works, and what is tested runs",
            remedy: "finish it, or take it out".into(),
        }));
    }
    violations
}

/// A lint that is switched off says why.
pub(crate) fn reasons(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, code) in tree.rust() {
        for attribute in &code.attributes {
            let tokens = code.attribute(attribute);
            let silences = tokens
                .windows(2)
                .any(|pair| matches!(pair[0].ident(), Some("allow" | "expect")) && pair[1].is_punct('('));
            let explained = tokens
                .windows(2)
                .any(|pair| pair[0].ident() == Some("reason") && pair[1].is_punct('='));
            if silences && !explained {
                violations.push(Violation {
                    path: file.path.clone(),
                    line: attribute.line,
                    what: "a lint is switched off without a reason".into(),
                    why: "the next reader cannot know whether it is still right",
                    remedy: "add `reason = \"…\"`, or do what the lint asks".into(),
                });
            }
        }
    }
    violations
}

/// Only the programs print; everything else logs. Build scripts talk to cargo by printing.
pub(crate) fn printing(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (file, code) in tree.rust() {
        let program = file.krate().is_some_and(|krate| PROGRAMS.contains(&krate));
        if program || file.path.ends_with("/build.rs") || is_exempt("printing", &file.path) {
            continue;
        }
        let prints = code.paths.iter().filter(|path| {
            is_macro(code, path, &["println", "print", "eprintln", "eprint"]) && !file.is_test(path.line)
        });
        violations.extend(prints.map(|path| Violation {
            path: file.path.clone(),
            line: path.line,
            what: format!("`{}!` outside a program", path.path),
            why: "a library that prints breaks `--json` and cannot be silenced",
            remedy: "use tracing, or return what is to be printed".into(),
        }));
    }
    violations
}

/// Whether a path calls one of these macros: the name and a `!` that is no `!=`.
fn is_macro(code: &Code, path: &PathRef, names: &[&str]) -> bool {
    let name = path.path.rsplit("::").next().unwrap_or_default();
    let bang = code.token(path.end).is_some_and(|token| token.is_punct('!'));
    let unequal = code.token(path.end + 1).is_some_and(|token| token.is_punct('='));
    names.contains(&name) && bang && !unequal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Tree) -> Vec<Violation>, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(path, text)).into_iter().map(|v| v.line).collect()
    }

    #[test]
    fn a_file_says_why_it_exists() {
        assert_eq!(lines(headers, "a.rs", "//! The ledger.\nfn f() {}\n"), [0_usize; 0]);
        for bare in ["", "fn f() {}", "// The ledger.", "\n//! late", "//!\n"] {
            assert_eq!(lines(headers, "a.rs", bare), [1], "{bare:?}");
        }
        assert_eq!(lines(headers, "a.md", "no code"), [0_usize; 0]);
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(lines(length, "a.rs", &"x\n".repeat(450)), [0_usize; 0]);
        assert_eq!(lines(length, "a.rs", &"x\n".repeat(451)), [451]);
        assert_eq!(lines(length, "Cargo.lock", &"x\n".repeat(5000)), [0_usize; 0]);
    }

    #[test]
    fn stubs_and_ignored_tests_are_found_and_words_are_not() {
        let good = "/// todo!\nfn todo() { let ignore = todo != 1; f(\"unimplemented!\") }\n#[test]\nfn t() {}\n";
        assert_eq!(lines(unfinished, "a.rs", good), [0_usize; 0]);
        let bad = "fn f() { todo!() }\nfn g() { std::unimplemented!(\"x\") }\n#[test]\n#[ignore = \"slow\"]\nfn t() {}\n\
                   #[cfg_attr(windows, ignore)]\nfn u() {}\n";
        assert_eq!(lines(unfinished, "a.rs", bad), [1, 2, 4, 6]);
    }

    #[test]
    fn a_lint_is_switched_off_with_a_reason_only() {
        let good = "#![expect(dead_code, reason = \"x\")]\n#[allow(\n  unused,\n  reason = \"y\"\n)]\nfn f() { r.expect(\"z\") }\n";
        assert_eq!(lines(reasons, "a.rs", good), [0_usize; 0]);
        let bad = "#![allow(dead_code)]\n#[expect(unused)]\n#[cfg_attr(test, allow(x))]\nfn f() {}\n";
        assert_eq!(lines(reasons, "a.rs", bad), [1, 2, 3]);
    }

    #[test]
    fn only_programs_and_tests_print() {
        let text = "fn f() { println!(\"x\"); }\n#[cfg(test)]\nmod tests { fn g() { eprintln!(\"y\") } }\n";
        assert_eq!(lines(printing, "crates/wallet/src/lib.rs", text), [1]);
        for path in [
            "crates/cambist/src/main.rs",
            "crates/xtask/src/main.rs",
            "crates/wallet/build.rs",
            "crates/wallet/tests/it/main.rs",
        ] {
            assert_eq!(lines(printing, path, text), [0_usize; 0], "{path}");
        }
    }
}
