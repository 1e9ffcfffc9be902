//! `cargo xtask test`: the stages, in the order of how soon they can say no.
//!
//! What it takes is the processors' time, and most of that is the compiler's. So everything is compiled once: the build of the
//! tests is linted while it is made ([`linter`]), the documentation is made of what it leaves ([`documentation`]), what waits
//! for the network and for other programs goes on beside it ([`beside`]), and so do tests beside tests ([`programs`]).

mod beside;
pub(crate) mod documentation;
mod linter;
mod programs;
mod report;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum;
use test_servers::postgres;

use self::beside::{Beside, Ended};
use self::report::{close, headline, table};
use crate::tally::Tally;
use crate::{install, manifests, processes, rules, tools};

/// A stage of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Stage {
    /// The rules of the house (`cargo xtask rules`)
    Rules,
    /// cargo fmt --check
    Fmt,
    /// Find or install what the stages call
    Tools,
    /// The manifests of Kubernetes: rendered, and judged by schemas, good practice and checks of our own
    Manifests,
    /// install.sh and uninstall.sh with a real kubectl, in three shells, against a stub of the API
    Install,
    /// Compile everything, tests included, with what clippy and the compiler warn of as errors
    Build,
    /// The documentation, with warnings as errors, and its examples
    Doc,
    /// Run all tests
    Test,
    /// What the manifests say, run on this machine: every process with its command, environment and ports
    Processes,
}

impl Stage {
    /// One after the other.
    const ALL: &[Stage] = &[Stage::Rules, Stage::Fmt, Stage::Build, Stage::Doc, Stage::Test];

    /// These as well: beside the build and what follows it until the tests, and beside these.
    const BESIDE_BUILD: &[Stage] = &[Stage::Tools, Stage::Manifests, Stage::Install];
    const BESIDE_TEST: &[Stage] = &[Stage::Processes];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Stage::Rules => "rules",
            Stage::Fmt => "fmt",
            Stage::Tools => "tools",
            Stage::Manifests => "manifests",
            Stage::Install => "install",
            Stage::Build => "build",
            Stage::Doc => "doc",
            Stage::Test => "test",
            Stage::Processes => "processes",
        }
    }

    /// The arguments of the stages that are one call of cargo.
    fn cargo(self) -> Option<&'static str> {
        match self {
            Stage::Rules | Stage::Tools | Stage::Manifests | Stage::Install | Stage::Test | Stage::Processes => None,
            Stage::Fmt => Some("fmt --all --check"),
            // The target `manifests` is for the stage of the processes, and tested by nobody else.
            Stage::Build => Some("build --workspace --all-targets --test manifests --locked"),
            Stage::Doc => Some("test --workspace --doc --locked"),
        }
    }

    /// What a developer does when the stage says no.
    fn remedy(self) -> &'static str {
        match self {
            Stage::Rules => "mend what is listed above; `cargo xtask rules` checks again in a moment",
            Stage::Fmt => "run `cargo fmt --all`",
            Stage::Tools => "install what is named above, then run again",
            Stage::Manifests => "mend what is named above in deploy/; the rendered overlays lie in target/manifests",
            Stage::Install => "mend the scene named above; the scripts are in deploy/",
            Stage::Build => {
                "mend what is named above; `cargo clippy -p CRATE --all-targets` checks one crate; \
                 if Cargo.lock is out of date, run `cargo check` and commit it"
            }
            Stage::Doc => "mend the documentation named above; `cargo doc -p CRATE --no-deps` checks one crate",
            Stage::Test => "mend what is named above; `cargo test --workspace NAME` runs one test again",
            Stage::Processes => "mend what is named above; the manifests are in deploy/kubernetes",
        }
    }
}

/// Runs the stages (or one), prints the table of their durations and the closing line.
pub(crate) fn run(root: &Path, only: Option<Stage>, full: bool) -> Result<ExitCode> {
    let started = Instant::now();
    let mut run = Run::new(root, full)?;
    let failed = match only {
        Some(stage) => run.announced(stage).err(),
        None => run.everything().err(),
    };
    println!("\n{}", table(&run.times, started.elapsed()));
    let stages = only.as_ref().map_or(Stage::ALL, std::slice::from_ref);
    Ok(close(stages, failed.as_ref(), &run.tally))
}

/// Runs one stage for a run that does all the talking.
pub(crate) fn run_beside(root: &Path, stage: Stage) -> Result<ExitCode> {
    let outcome = Run::new(root, false)?.stage(stage);
    Ok(if outcome.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The stage that said no. Why, has been said.
#[derive(Debug, PartialEq, Eq)]
struct Failed(Stage);

struct Run<'a> {
    root: &'a Path,
    full: bool,
    /// Where this program lies.
    ours: PathBuf,
    beside: Beside,
    /// Those that have ended, and have not been told of.
    ended: Vec<Ended>,
    tally: Tally,
    times: Vec<(Stage, Duration)>,
}

impl<'a> Run<'a> {
    fn new(root: &'a Path, full: bool) -> Result<Self> {
        Ok(Self {
            root,
            full,
            ours: env::current_exe().context("this program is nowhere")?,
            beside: Beside::default(),
            ended: Vec::new(),
            tally: Tally::default(),
            times: Vec::new(),
        })
    }

    fn everything(&mut self) -> Result<(), Failed> {
        for stage in Stage::ALL.iter().copied() {
            if stage == Stage::Build {
                self.beside = Beside::of(Stage::BESIDE_BUILD);
            }
            if stage == Stage::Test {
                self.join()?;
                self.beside = Beside::of(Stage::BESIDE_TEST);
                self.ended.extend(self.beside.tend());
            }
            if let Err(failed) = self.announced(stage) {
                let first = self.ended.iter().find(|ended| !ended.well);
                let first = first.map(|ended| Failed(ended.stage));
                self.beside.abandon();
                let _ = self.join();
                return Err(first.unwrap_or(failed));
            }
            self.tell()?;
        }
        self.join()
    }

    /// One stage, with its headline and its time.
    fn announced(&mut self, stage: Stage) -> Result<(), Failed> {
        headline(stage, "");
        let started = Instant::now();
        let outcome = self.stage(stage);
        self.times.push((stage, started.elapsed()));
        outcome
    }

    /// Waits for all that runs beside.
    fn join(&mut self) -> Result<(), Failed> {
        if let Some(stage) = self.beside.running() {
            println!("\nwaiting for {}, which runs beside", stage.name());
        }
        while let Some(ended) = self.beside.next() {
            self.ended.push(ended);
        }
        self.tell()
    }

    /// Tells what has ended beside since the last time.
    fn tell(&mut self) -> Result<(), Failed> {
        let mut outcome = Ok(());
        for Ended {
            stage,
            time,
            well,
            said,
        } in self.ended.drain(..)
        {
            headline(stage, " (beside)");
            println!("{}", String::from_utf8_lossy(&said).trim_end());
            self.times.push((stage, time));
            if !well {
                outcome = Err(Failed(stage));
            }
        }
        outcome
    }

    fn stage(&mut self, stage: Stage) -> Result<(), Failed> {
        let outcome = match stage {
            Stage::Rules => rules::run(self.root),
            Stage::Tools => tools::ensure_all(self.root),
            Stage::Manifests => manifests::run(self.root),
            Stage::Install => install::run(self.root),
            Stage::Processes => processes::run(
                self.root,
                &mut self.cargo(Stage::Build),
                self.cargo_with("test --workspace --test manifests --locked"),
            ),
            Stage::Fmt => self.call(stage),
            Stage::Build => linter::prove(self.path().as_deref()).and_then(|()| self.call(stage)),
            Stage::Doc => self.document(),
            Stage::Test => self.test(),
        };
        outcome.map_err(|error| {
            println!("{}: {error:#}", stage.name());
            Failed(stage)
        })
    }

    fn test(&mut self) -> Result<()> {
        // One for all tests: each has a database of its own, and a server for each would take a second.
        let postgres = postgres::Postgres::start().map_err(anyhow::Error::msg)?;
        let programs = programs::built(&mut self.cargo(Stage::Build))?;
        let tally = programs::run(programs, &|program| {
            let mut command = self.command(program.path());
            command.env(postgres::URL, postgres.url());
            command
        })?;
        self.tally.add(tally);
        let Tally {
            passed,
            failed,
            ignored,
            ..
        } = self.tally;
        ensure!(failed == 0, "{failed} failed");
        ensure!(ignored == 0, "{ignored} were ignored; every test runs");
        ensure!(passed > 0, "there was no test at all");
        Ok(())
    }

    fn document(&mut self) -> Result<()> {
        let mut crates = self.cargo(Stage::Doc);
        documentation::document(&mut crates, &self.ours, self.root);
        self.attend(crates)?;
        let mut programs = self.cargo_with(documentation::OF_PROGRAMS);
        documentation::deny_warnings(&mut programs);
        self.attend(programs)
    }

    fn call(&mut self, stage: Stage) -> Result<()> {
        self.attend(self.cargo(stage))
    }

    /// Runs a command, and sees to what runs beside it. When that fails, the command is ended.
    fn attend(&mut self, mut command: Command) -> Result<()> {
        let mut child = command.spawn().context("cargo does not run")?;
        loop {
            if let Some(status) = child.try_wait()? {
                return succeeded(status);
            }
            self.ended.extend(self.beside.tend());
            if let Some(Ended { stage, .. }) = self.ended.iter().find(|ended| !ended.well) {
                child.kill().and_then(|()| child.wait())?;
                bail!("ended, because {} has failed beside it", stage.name());
            }
            // sleep: several processes cannot be waited for at once
            thread::sleep(beside::LOOK_AGAIN);
        }
    }

    fn path(&self) -> Option<OsString> {
        env::join_paths(tools::folders(self.root)).ok()
    }

    /// A program in the environment of the tests.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.root).stdin(Stdio::null());
        // What `cargo run` tells this program about itself is not meant for those it starts.
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_cargo_run(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        if let Some(path) = self.path() {
            command.env("PATH", path);
        }
        if self.full {
            command.env("CAMBIST_TEST_FULL", "1");
        }
        command
    }

    fn cargo(&self, stage: Stage) -> Command {
        let mut command = self.cargo_with(stage.cargo().unwrap_or_default());
        if stage == Stage::Fmt && !io::stdout().is_terminal() {
            // rustfmt colours its differences wherever it writes them.
            command.args(["--", "--color", "never"]);
        }
        command
    }

    /// cargo with these arguments; what it compiles is linted.
    fn cargo_with(&self, arguments: &str) -> Command {
        let mut command = self.command(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(arguments.split(' '));
        linter::lint(&mut command);
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn every_stage_runs_once_in_a_whole_run() {
        let run = [Stage::ALL, Stage::BESIDE_BUILD, Stage::BESIDE_TEST].concat();
        for stage in Stage::value_variants() {
            assert_eq!(run.iter().filter(|it| *it == stage).count(), 1, "{stage:?}");
        }
    }
}
