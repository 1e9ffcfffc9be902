//! `cargo xtask test`: the stages, in the order of how soon they can say no.
//!
//! Two builds are unavoidable: clippy and the docs look at metadata, the tests need machine code. Lints and
//! docs come first because they share theirs and are done in a minute; building and running the tests are
//! stages of their own, so that the table at the end tells a slow build from a slow test.

use std::env;
use std::ffi::OsString;
use std::io::{self, BufReader, IsTerminal as _};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use test_servers::postgres;

use crate::tally::Tally;
use crate::{install, manifests, processes, rules, tools};

/// A stage of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// Find or install what the stages call
    Tools,
    /// The rules of the house (`cargo xtask rules`)
    Rules,
    /// cargo fmt --check
    Fmt,
    /// cargo clippy with warnings as errors, tests included
    Clippy,
    /// cargo doc with warnings as errors
    Doc,
    /// The manifests of Kubernetes: rendered, and judged by schemas, good practice and checks of our own
    Manifests,
    /// install.sh and uninstall.sh with a real kubectl, in three shells, against a stub of the API
    Install,
    /// Compile all tests
    Build,
    /// Run all tests, documentation examples included
    Test,
    /// What the manifests say, run on this machine: every process with its command, environment and ports
    Processes,
}

impl Stage {
    const ALL: &[Stage] = &[
        Stage::Tools,
        Stage::Rules,
        Stage::Manifests,
        Stage::Install,
        Stage::Fmt,
        Stage::Clippy,
        Stage::Doc,
        Stage::Build,
        Stage::Test,
        Stage::Processes,
    ];

    fn name(self) -> &'static str {
        match self {
            Stage::Tools => "tools",
            Stage::Rules => "rules",
            Stage::Fmt => "fmt",
            Stage::Clippy => "clippy",
            Stage::Doc => "doc",
            Stage::Manifests => "manifests",
            Stage::Install => "install",
            Stage::Processes => "processes",
            Stage::Build => "build",
            Stage::Test => "test",
        }
    }

    /// The arguments of the stages that are one call of cargo.
    fn cargo(self) -> Option<&'static str> {
        match self {
            Stage::Tools | Stage::Rules | Stage::Manifests | Stage::Install | Stage::Processes => None,
            Stage::Fmt => Some("fmt --all --check"),
            Stage::Clippy => Some("clippy --workspace --all-targets --locked -- -D warnings"),
            Stage::Doc => Some("doc --workspace --no-deps --locked"),
            Stage::Build => Some("test --workspace --locked --no-run"),
            Stage::Test => Some("test --workspace --locked --no-fail-fast"),
        }
    }

    /// What a developer does when the stage says no.
    fn remedy(self) -> &'static str {
        match self {
            Stage::Tools => "install what is named above, then run again",
            Stage::Rules => "mend what is listed above; `cargo xtask rules` checks again in a moment",
            Stage::Fmt => "run `cargo fmt --all`",
            Stage::Clippy => "mend what clippy names above; `cargo clippy -p CRATE --all-targets` checks one crate",
            Stage::Doc => "mend the documentation named above; `cargo doc -p CRATE --no-deps` checks one crate",
            Stage::Processes => "mend what is named above; the manifests are in deploy/kubernetes",
            Stage::Install => "mend the scene named above; the scripts are in deploy/",
            Stage::Manifests => "mend what is named above in deploy/; the rendered overlays lie in target/manifests",
            Stage::Build => {
                "mend what rustc names above; if Cargo.lock is out of date, run `cargo check` and commit it"
            }
            Stage::Test => "mend what is named above; `cargo test --workspace NAME` runs one test again",
        }
    }
}

/// Runs the stages (or one), prints the table of their durations and the closing line.
pub(crate) fn run(root: &Path, only: Option<Stage>, full: bool) -> Result<ExitCode> {
    let stages = only.as_ref().map_or(Stage::ALL, std::slice::from_ref);
    let mut run = Run {
        root,
        full,
        tally: None,
    };
    let mut times = Vec::new();
    let mut failed = None;
    for (number, stage) in (1..).zip(stages) {
        headline(number, stages.len(), *stage);
        let started = Instant::now();
        let outcome = run.stage(*stage);
        times.push((stage.name(), started.elapsed()));
        if let Err(error) = outcome {
            println!("{}: {error:#}", stage.name());
            failed = Some(*stage);
            break;
        }
    }
    println!("\n{}", table(times));
    Ok(close(stages, failed, run.tally.as_ref()))
}

/// Prints what to do next and, as the last line, how the run ended.
fn close(stages: &[Stage], failed: Option<Stage>, tally: Option<&Tally>) -> ExitCode {
    if let Some(stage) = failed {
        for name in tally.into_iter().flat_map(|tally| &tally.failures) {
            println!("failed: {name}");
        }
        println!("next: {}", stage.remedy());
    }
    match (failed, tally) {
        // A run that broke without a failed test (it did not compile, a process died) must not read like a good one.
        (Some(stage), Some(Tally { failed: 0, .. }) | None) => println!("stopped at {}", stage.name()),
        (_, Some(tally)) => println!("{} passed, {} failed", tally.passed, tally.failed),
        (None, None) => {
            let names: Vec<&str> = stages.iter().map(|stage| stage.name()).collect();
            println!("{}: ok", names.join(", "));
        }
    }
    if failed.is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

struct Run<'a> {
    root: &'a Path,
    full: bool,
    tally: Option<Tally>,
}

impl Run<'_> {
    fn stage(&mut self, stage: Stage) -> Result<()> {
        match stage {
            Stage::Tools => tools::ensure_all(self.root),
            Stage::Rules => rules::run(self.root),
            Stage::Manifests => manifests::run(self.root),
            Stage::Install => install::run(self.root),
            Stage::Processes => processes::run(self.root, &mut self.bare_cargo()),
            Stage::Test => self.test(),
            Stage::Fmt | Stage::Clippy | Stage::Doc | Stage::Build => {
                succeeded(self.cargo(stage).status().context("cargo does not run")?)
            }
        }
    }

    fn test(&mut self) -> Result<()> {
        // One for all tests: each has a database of its own, and a server for each would take a second.
        let postgres = postgres::Postgres::start().map_err(anyhow::Error::msg)?;
        let mut child = self
            .cargo(Stage::Test)
            .env(postgres::URL, postgres.url())
            .stdout(Stdio::piped())
            .spawn()
            .context("cargo does not run")?;
        let output = child.stdout.take().context("cargo's output is not connected")?;
        let tally = self
            .tally
            .insert(Tally::copy(BufReader::new(output), io::stdout().lock())?);
        succeeded(child.wait()?)?;
        ensure!(
            tally.ignored == 0,
            "{} tests were ignored; every test runs",
            tally.ignored
        );
        ensure!(tally.passed > 0, "cargo test reported no test at all");
        Ok(())
    }

    fn bare_cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(self.root).stdin(Stdio::null());
        // What `cargo run` tells this program about itself is not meant for the cargo it starts.
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_cargo_run(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        if let Ok(path) = env::join_paths(tools::folders(self.root)) {
            command.env("PATH", path);
        }
        command
    }

    fn cargo(&self, stage: Stage) -> Command {
        let mut command = self.bare_cargo();
        command.args(stage.cargo().unwrap_or_default().split(' '));
        if stage == Stage::Fmt && !io::stdout().is_terminal() {
            // rustfmt colours its differences wherever it writes them.
            command.args(["--", "--color", "never"]);
        }
        if stage == Stage::Doc {
            command.env("RUSTDOCFLAGS", with_denied_warnings(env::var_os("RUSTDOCFLAGS")));
        }
        if self.full {
            command.env("CAMBIST_TEST_FULL", "1");
        }
        command
    }
}

fn succeeded(status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

/// Variables that `cargo run` sets for the program it runs. What configures cargo (`CARGO_HOME`,
/// `CARGO_TARGET_DIR`, `CARGO_NET_…`) is passed on.
fn is_of_cargo_run(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || matches!(
            name,
            "CARGO_BIN_NAME" | "CARGO_CRATE_NAME" | "CARGO_PRIMARY_PACKAGE" | "OUT_DIR"
        )
}

fn with_denied_warnings(flags: Option<OsString>) -> OsString {
    let mut flags = flags
        .map(|mut flags| {
            flags.push(" ");
            flags
        })
        .unwrap_or_default();
    flags.push("-D warnings");
    flags
}

/// `[2/7] rules`, and what it runs.
fn headline(number: usize, count: usize, stage: Stage) {
    let line = format!("[{number}/{count}] {}", stage.name());
    let bold = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    let line = if bold { format!("\x1b[1m{line}\x1b[0m") } else { line };
    let command = stage.cargo().map(|arguments| format!(": cargo {arguments}"));
    println!("\n{line}{}", command.unwrap_or_default());
}

/// The stages and their durations, slowest first.
fn table(mut times: Vec<(&str, Duration)>) -> String {
    times.sort_by_key(|(_, time)| std::cmp::Reverse(*time));
    let total = times.iter().map(|(_, time)| *time).sum();
    times.push(("total", total));
    let rows = times.iter().map(|(name, time)| {
        let millis = time.as_millis();
        format!("{:>8}.{} s  {name}\n", millis / 1000, millis % 1000 / 100)
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_stage_stands_first_and_the_total_last() {
        let times = vec![
            ("fmt", Duration::from_millis(1_250)),
            ("test", Duration::from_secs(61)),
            ("rules", Duration::from_millis(40)),
        ];
        let expected = "      61.0 s  test\n       1.2 s  fmt\n       0.0 s  rules\n      62.2 s  total\n";
        assert_eq!(table(times), expected);
    }

    #[test]
    fn cargo_hears_its_settings_and_not_what_it_told_us() {
        for ours in ["CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "CARGO_BIN_NAME"] {
            assert!(is_of_cargo_run(ours), "{ours}");
        }
        for setting in [
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_NET_OFFLINE",
            "CARGO_INCREMENTAL",
            "PATH",
        ] {
            assert!(!is_of_cargo_run(setting), "{setting}");
        }
    }

    #[test]
    fn flags_for_rustdoc_are_added_to_and_not_replaced() {
        assert_eq!(with_denied_warnings(None), "-D warnings");
        assert_eq!(with_denied_warnings(Some("--cfg x".into())), "--cfg x -D warnings");
    }

    #[test]
    fn a_failed_stage_is_a_failed_run_and_a_failed_test_counts() {
        let tally = Tally {
            passed: 3,
            failed: 0,
            ..Tally::default()
        };
        assert_eq!(close(Stage::ALL, None, Some(&tally)), ExitCode::SUCCESS);
        assert_eq!(close(Stage::ALL, Some(Stage::Test), Some(&tally)), ExitCode::FAILURE);
        assert_eq!(close(Stage::ALL, Some(Stage::Fmt), None), ExitCode::FAILURE);
        assert_eq!(close(&[Stage::Rules], None, None), ExitCode::SUCCESS);
    }
}
