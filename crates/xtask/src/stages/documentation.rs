//! What `cargo test --doc` calls instead of rustdoc: each crate's documentation is made, with warnings as errors, before its
//! examples are run.
//!
//! `cargo doc` looks at metadata that no build makes, and checks every dependency anew for it. The examples are compiled
//! against what the build has made, and rustdoc is told all that it needs for the documentation as well.

use std::env;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

/// The environment variable that says to this program that it is rustdoc, and where the documentation is to be.
const FOLDER: &str = "CAMBIST_DOCUMENTATION";

/// What documents these very tasks, as programs have no examples. It takes the metadata of what they depend on.
pub(super) const OF_PROGRAMS: &str = "doc --workspace --bin xtask --no-deps --locked";

/// What is only for the examples, and whether a value follows.
const OF_EXAMPLES: [(&str, bool); 4] = [
    ("--test", false),
    ("--test-args", true),
    ("--test-run-directory", true),
    ("--no-run", false),
];

/// Has cargo call this program, which lies at `ours`, for each crate.
pub(super) fn document(cargo: &mut Command, ours: &Path, root: &Path) {
    cargo.env("RUSTDOC", ours).env(FOLDER, root.join("target/doc"));
}

/// Has cargo take what rustdoc warns of for errors.
pub(super) fn deny_warnings(cargo: &mut Command) {
    cargo.env("RUSTDOCFLAGS", "--deny warnings");
}

/// Whether cargo has called; then all that is to be done is done.
pub(crate) fn called() -> Option<Result<ExitCode>> {
    env::var_os(FOLDER).map(|folder| run(&folder, &env::args_os().skip(1).collect::<Vec<_>>()))
}

fn run(folder: &OsStr, arguments: &[OsString]) -> Result<ExitCode> {
    let mut documentation = rustdoc();
    documentation
        .args(without_examples(arguments))
        .args(["--deny", "warnings", "--out-dir"]);
    for command in [documentation.arg(folder), rustdoc().args(arguments)] {
        let status = command.status().context("rustdoc does not run")?;
        if !status.success() {
            return Ok(ExitCode::from(
                status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The real one: beside the cargo that calls.
fn rustdoc() -> Command {
    let beside = env::var_os("CARGO").map(|cargo| Path::new(&cargo).with_file_name("rustdoc"));
    let mut command = Command::new(beside.filter(|it| it.is_file()).unwrap_or_else(|| "rustdoc".into()));
    command.env_remove(FOLDER);
    command
}

fn without_examples(arguments: &[OsString]) -> Vec<&OsStr> {
    let mut kept = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match OF_EXAMPLES.iter().find(|(name, _)| argument == name) {
            Some((_, true)) => drop(rest.next()),
            Some((_, false)) => {}
            None => kept.push(argument.as_os_str()),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_the_examples_is_not_for_the_documentation() {
        let arguments =
            "--edition=2024 --crate-name wallet --test src/lib.rs --test-run-directory /here --extern jiff=x";
        let arguments: Vec<OsString> = arguments.split(' ').map(OsString::from).collect();
        let kept = "--edition=2024 --crate-name wallet src/lib.rs --extern jiff=x";
        assert_eq!(without_examples(&arguments).join(OsStr::new(" ")), kept);
    }
}
