//! The project's own tasks, so that CI and a developer run the same thing: `cargo xtask test`, `cargo xtask rules`.
//!
//! It depends on none of our crates, so it builds in seconds and still runs when they do not build.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the command line: printing is what it does"
)]

mod rules;
mod stages;
mod tally;
mod tools;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use stages::Stage;

/// The project's own tasks.
///
/// Before a push, run `cargo xtask test`: it is exactly what CI runs. While you work, `cargo xtask rules`
/// answers in well under a second, and `cargo test -p CRATE` tests what you changed.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Clone, Copy, Subcommand)]
enum Task {
    /// Check everything, as CI does: tools, rules, format, lints, docs, and all tests
    ///
    /// The stages run in the order of how soon they can say no. The first that fails stops the run, says what
    /// to do, and the exit code is 1. The last line of a whole run is `N passed, N failed`.
    #[command(after_help = "Examples:\n  \
        cargo xtask test                 what CI runs\n  \
        cargo xtask test --only clippy   one stage\n  \
        cargo xtask test --full          with the full counts, before a release")]
    Test {
        /// Run one stage alone
        #[arg(long, value_enum, value_name = "STAGE")]
        only: Option<Stage>,
        /// Full counts in the property and crash tests (sets CAMBIST_TEST_FULL=1); takes much longer
        #[arg(long)]
        full: bool,
    },
    /// Check the rules of the house: who depends on whom, which room holds what, how code is written
    ///
    /// Every violation is printed as `path:line: what. Why: … To do: …`; one violation and the exit code is 1.
    Rules {
        /// Print the rules and the exceptions from them instead of checking
        #[arg(long)]
        list: bool,
    },
}

fn main() -> ExitCode {
    match run(Args::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Test { only, full } => stages::run(&root()?, only, full),
        Task::Rules { list: true } => {
            rules::list();
            Ok(ExitCode::SUCCESS)
        }
        Task::Rules { list: false } => rules::run(&root()?).map(|()| ExitCode::SUCCESS),
    }
}

/// The workspace this program was started for. Cargo says it at run time, so a target folder that several
/// clones share checks the right one.
fn root() -> Result<PathBuf> {
    let manifest =
        std::env::var_os("CARGO_MANIFEST_DIR").context("CARGO_MANIFEST_DIR is not set; start it as `cargo xtask`")?;
    let root = Path::new(&manifest).ancestors().nth(2);
    Ok(root.context("xtask does not lie in crates/")?.to_owned())
}
