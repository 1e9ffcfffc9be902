//! The programs that hold the tests, run as `cargo test` runs them, but two at a time: they wait as much as they compute, and
//! each ends with a test or two for which everybody would wait.
//!
//! What they say is passed on as they say it, each line behind the name of its crate.

use std::collections::VecDeque;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::{fs, thread};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;

use crate::tally::Tally;

/// How many run at a time.
const LANES: usize = 2;
/// How much room the name of a crate has.
const WIDTH: usize = 14;

/// One of them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// The crate whose tests it holds.
    name: String,
    /// The crate's folder, where it runs.
    folder: PathBuf,
    path: PathBuf,
}

/// Those that cargo builds; what takes longest to link tests most, and comes first.
pub(super) fn built(cargo: &mut Command) -> Result<Vec<Program>> {
    let output = cargo
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output();
    let output = output.context("cargo does not run")?;
    ensure!(output.status.success(), "the tests do not build: {}", output.status);
    let mut programs = listed(&String::from_utf8(output.stdout)?);
    ensure!(!programs.is_empty(), "cargo built no tests at all");
    programs.sort_by_key(|program| std::cmp::Reverse(fs::metadata(&program.path).map_or(0, |file| file.len())));
    Ok(programs)
}

/// The programs with tests among what cargo says to have made, a JSON a line.
fn listed(messages: &str) -> Vec<Program> {
    let messages = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let tests = messages.filter(|message| message["profile"]["test"] == true);
    tests
        .filter_map(|message| {
            let folder = PathBuf::from(message["manifest_path"].as_str()?).parent()?.to_owned();
            Some(Program {
                name: folder.file_name()?.to_str()?.to_owned(),
                path: message["executable"].as_str()?.into(),
                folder,
            })
        })
        .collect()
}

/// Runs all of them, each in the environment of `command`, and counts.
pub(super) fn run(programs: Vec<Program>, command: &(impl Fn(&Program) -> Command + Sync)) -> Result<Tally> {
    let waiting = Mutex::new(VecDeque::from(programs));
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    thread::scope(|scope| {
        let lane = || {
            let mut tally = Tally::default();
            while let Some(program) = next() {
                tally.add(run_one(&program, command(&program))?);
            }
            anyhow::Ok(tally)
        };
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        let mut all = Tally::default();
        for lane in lanes {
            all.add(lane.join().map_err(|_| anyhow!("the tests' reports got lost"))??);
        }
        Ok(all)
    })
}

fn run_one(program: &Program, mut command: Command) -> Result<Tally> {
    let mut process = command
        .current_dir(&program.folder)
        .env("CARGO_MANIFEST_DIR", &program.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} does not run", program.path.display()))?;
    let (said, erred) = (process.stdout.take(), process.stderr.take());
    let whose = format!("{:<WIDTH$}", program.name);
    let mut tally = Tally::default();
    thread::scope(|scope| {
        // Nothing is counted there, where lines may be torn.
        scope.spawn(|| erred.map(|erred| Tally::default().copy(BufReader::new(erred), io::stdout(), &whose)));
        said.map(|said| tally.copy(BufReader::new(said), io::stdout(), &whose))
            .transpose()
    })?;
    let status = process.wait()?;
    let told = tally.reports == 1 && status.success() == (tally.failed == 0);
    if !told {
        // It ended before its tests did, and whatever it was at has failed.
        tally.failed += 1;
        tally
            .failures
            .push(format!("all of {}: {status}", program.path.display()));
    }
    Ok(tally)
}

impl Program {
    /// The file to run.
    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_told_from_what_else_is_built() {
        let artifact = |name: &str, test: bool, executable: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/x/crates/{name}/Cargo.toml","profile":{{"test":{test}}},"executable":{executable}}}"#
            )
        };
        let messages = [
            artifact("wallet", false, "null"),
            artifact("wallet", true, r#""/x/target/it-1""#),
            artifact("cambist", false, r#""/x/target/cambist""#),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
        ];
        let wallet = Program {
            name: "wallet".into(),
            folder: "/x/crates/wallet".into(),
            path: "/x/target/it-1".into(),
        };
        assert_eq!(listed(&messages.join("\n")), [wallet]);
    }

    #[test]
    fn a_program_that_ends_without_a_report_has_failed_however_it_ended() {
        let programs = ["true", "false"].map(|path| Program {
            name: path.into(),
            folder: "/".into(),
            path: path.into(),
        });
        let tally = run(programs.into(), &|program: &Program| Command::new(program.path())).unwrap();
        assert_eq!((tally.passed, tally.failed), (0, 2));
        assert!(
            tally.failures.iter().all(|name| name.starts_with("all of ")),
            "{tally:?}"
        );
    }
}
