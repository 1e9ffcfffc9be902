//! Nothing in the tree names the machine it was written on, or where that machine got its libraries from.
//!
//! Such a path works for one person and for nobody else; it is looked for in every file, not only in code.

use super::tree::Tree;
use super::{Violation, is_exempt};

/// What must not appear. In two parts, so that this file does not name them either. The folders count only
/// where a path starts.
const NAMES: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/Us", "ers/"),
    ("/tmp/", "brief"),
    (".cargo/", "registry"),
    ("static.", "crates.io"),
    ("index.", "crates.io"),
];

/// No absolute path of a machine, no registry host.
pub(crate) fn names(tree: &Tree) -> Vec<Violation> {
    let names: Vec<String> = NAMES.iter().map(|(a, b)| format!("{a}{b}")).collect();
    let mut violations = Vec::new();
    for file in tree.files.iter().filter(|file| !is_exempt("machine", &file.path)) {
        for (line, text) in (1..).zip(file.text.lines()) {
            for name in names.iter().filter(|name| is_named(text, name)) {
                violations.push(Violation {
                    path: file.path.clone(),
                    line,
                    what: format!("`{name}` belongs to one machine"),
                    why: "a clone elsewhere has other folders and perhaps another registry",
                    remedy: "use a path relative to the root, a setting, or a temporary folder".into(),
                });
            }
        }
    }
    violations
}

fn is_named(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !name.starts_with('/') || before.is_none_or(|c| !(c.is_alphanumeric() || "._-}/".contains(c)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        names(&Tree::of("docs/x.md", text))
            .into_iter()
            .map(|v| v.line)
            .collect()
    }

    #[test]
    fn paths_of_a_machine_are_found_in_any_file() {
        let bad = format!(
            "see {0}main\nurl = \"https://{1}\"\n`{0}x`\n",
            NAMES[0].0.to_owned() + NAMES[0].1,
            NAMES[6].0.to_owned() + NAMES[6].1
        );
        assert_eq!(lines(&bad), [1, 2, 3]);
    }

    #[test]
    fn relative_paths_and_the_lock_file_are_left_alone() {
        let good = "cambist work wallet\ncrates/work/x\nhttps://github.com/rust-lang/crates.io-index\n{dir}/home/x\n./root/x\n";
        assert_eq!(lines(good), [0_usize; 0]);
    }
}
