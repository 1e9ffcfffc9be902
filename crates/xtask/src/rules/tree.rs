//! The files the rules look at, read once, and the questions the rules ask of them.
//!
//! Only what git knows or would add is looked at, so nothing that is built or downloaded is judged. A tree can
//! also be made from texts in memory; that is how every rule is tested on good and bad samples.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::code::Code;

/// All files, in the order of their paths.
pub(crate) struct Tree {
    pub(crate) files: Vec<SourceFile>,
}

/// A file: its path from the root with forward slashes, its text, and for Rust its code.
pub(crate) struct SourceFile {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) code: Option<Code>,
    test: bool,
}

impl Tree {
    /// Reads the working copy at `root`. Files that are not UTF-8 (pictures) are left out.
    pub(crate) fn read(root: &Path) -> Result<Tree> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "-co", "--exclude-standard"])
            .current_dir(root)
            .stdin(Stdio::null())
            .output()
            .context("git does not run; the rules look at the files git knows")?;
        ensure!(
            listed.status.success(),
            "git ls-files: {}",
            String::from_utf8_lossy(&listed.stderr).trim()
        );
        let mut files = Vec::new();
        for path in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            // A file that is tracked but deleted in the working copy is listed too.
            if let Ok(text) = std::fs::read_to_string(root.join(path)) {
                files.push((path.to_owned(), text));
            }
        }
        ensure!(!files.is_empty(), "git knows no files here");
        Ok(Tree::new(files))
    }

    /// A tree of texts.
    pub(crate) fn new(files: Vec<(String, String)>) -> Tree {
        let mut files: Vec<SourceFile> = files
            .into_iter()
            .map(|(path, text)| SourceFile::new(path, text))
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        files.dedup_by(|a, b| a.path == b.path);
        let modules: Vec<String> = files.iter().flat_map(SourceFile::test_modules).collect();
        for file in &mut files {
            file.test |= modules.iter().any(|module| is_at(&file.path, module));
        }
        Tree { files }
    }

    #[cfg(test)]
    pub(crate) fn of(path: &str, text: &str) -> Tree {
        Tree::new(vec![(path.to_owned(), text.to_owned())])
    }

    /// The Rust files with their code.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&SourceFile, &Code)> {
        let files = self.files.iter();
        files.filter_map(|file| file.code.as_ref().map(|code| (file, code)))
    }
}

/// Whether a file is the module or folder `place`: `a/b.rs` and `a/b/c.rs` are at `a/b`.
pub(crate) fn is_at(path: &str, place: &str) -> bool {
    path.strip_prefix(place)
        .is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
}

/// Crates that are test code as a whole.
const TEST_KITS: &[&str] = &["crates/test-kit/", "crates/test-servers/"];

impl SourceFile {
    fn new(path: String, text: String) -> SourceFile {
        let code = path.ends_with(".rs").then(|| Code::new(&text));
        let folders = path
            .split('/')
            .any(|part| matches!(part, "tests" | "tests.rs" | "benches"));
        let kit = TEST_KITS.iter().any(|kit| path.starts_with(kit));
        let test = folders || kit || code.as_ref().is_some_and(|code| code.all_test);
        SourceFile { path, text, code, test }
    }

    /// The crate's folder name, for a file below `crates/`.
    pub(crate) fn krate(&self) -> Option<&str> {
        let (krate, _) = self.path.strip_prefix("crates/")?.split_once('/')?;
        Some(krate)
    }

    /// The path below the crate's `src/`, if it is there.
    pub(crate) fn in_src(&self) -> Option<&str> {
        let (_, below) = self.path.strip_prefix("crates/")?.split_once('/')?;
        below.strip_prefix("src/")
    }

    /// Whether a line only runs in tests: test folders and modules, `#[cfg(test)]`, and the crates for tests.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.test || self.code.as_ref().is_some_and(|code| code.is_test(line))
    }

    /// Places of the modules this file declares with `#[cfg(test)] mod name;`.
    fn test_modules(&self) -> Vec<String> {
        let Some(code) = &self.code else {
            return Vec::new();
        };
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        let base = match name {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => self.path.trim_end_matches(".rs").to_owned(),
        };
        let modules = code.test_modules.iter();
        modules.map(|module| format!("{base}/{module}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        Tree::new(files.iter().map(|(p, t)| ((*p).into(), (*t).into())).collect())
    }

    fn file<'a>(tree: &'a Tree, path: &str) -> &'a SourceFile {
        tree.files.iter().find(|file| file.path == path).unwrap()
    }

    #[test]
    fn a_test_module_in_its_own_file_is_test_code() {
        let tree = tree(&[
            ("crates/a/src/lib.rs", "//! x\nmod one;\n#[cfg(test)]\nmod two;\n"),
            ("crates/a/src/one.rs", "#[cfg(test)]\npub(crate) mod deep;\nfn f() {}\n"),
            ("crates/a/src/one/deep.rs", ""),
            ("crates/a/src/two/mod.rs", ""),
            ("crates/a/src/twofold.rs", ""),
        ]);
        assert!(!file(&tree, "crates/a/src/one.rs").is_test(3));
        assert!(file(&tree, "crates/a/src/one/deep.rs").is_test(1));
        assert!(file(&tree, "crates/a/src/two/mod.rs").is_test(1));
        assert!(!file(&tree, "crates/a/src/twofold.rs").is_test(1));
    }

    #[test]
    fn test_folders_and_the_crates_for_tests_are_test_code() {
        let tree = tree(&[
            ("crates/a/tests/it/main.rs", ""),
            ("crates/a/src/domain/tests.rs", ""),
            ("crates/test-kit/src/lib.rs", ""),
            ("crates/test-servers/src/lib.rs", ""),
            ("crates/a/src/contest.rs", ""),
        ]);
        let test: Vec<bool> = tree.files.iter().map(|file| file.is_test(1)).collect();
        assert_eq!(test, [false, true, true, true, true]);
    }

    #[test]
    fn a_file_knows_its_crate_and_its_place_in_it() {
        let tree = tree(&[("crates/bc-gateway/src/chain/sim.rs", ""), ("README.md", "")]);
        assert_eq!(tree.files[0].krate(), None);
        assert_eq!(tree.files[1].krate(), Some("bc-gateway"));
        assert_eq!(tree.files[1].in_src(), Some("chain/sim.rs"));
    }
}
