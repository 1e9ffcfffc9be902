//! The project's own tasks, so that CI and a developer run the same thing: `cargo xtask test`, `cargo xtask rules`; and
//! so that all of it can be seen running: `cargo xtask cluster`.
//!
//! It depends on none of our crates, so it builds in seconds and still runs when they do not build.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the command line: printing is what it does"
)]

mod cluster;
mod diagrams;
mod image;
mod install;
mod manifests;
mod pods;
mod processes;
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

#[derive(Clone, Subcommand)]
enum Task {
    /// Check everything, as CI does: tools, rules, format, lints, docs, and all tests
    ///
    /// The stages run in the order of how soon they can say no, some beside the build. The first that fails stops the run,
    /// says what to do, and the exit code is 1. The last line of a whole run is `N passed, N failed`.
    #[command(after_help = "Examples:\n  \
        cargo xtask test                 what CI runs\n  \
        cargo xtask test --only rules    one stage\n  \
        cargo xtask test --full          with the full counts, before a release")]
    Test {
        /// Run one stage alone
        #[arg(long, value_enum, value_name = "STAGE")]
        only: Option<Stage>,
        /// Full counts in the property and crash tests (sets CAMBIST_TEST_FULL=1); takes much longer
        #[arg(long)]
        full: bool,
        /// Say only what the stage says: a whole run does the rest of the talking
        #[arg(long, hide = true, requires = "only")]
        beside: bool,
    },
    /// Check the rules of the house: who depends on whom, which room holds what, how code is written
    ///
    /// Every violation is printed as `path:line: what. Why: … To do: …`; one violation and the exit code is 1.
    Rules {
        /// Print the rules and the exceptions from them instead of checking
        #[arg(long)]
        list: bool,
    },
    /// Run the ten processes with their PostgreSQL and NATS, and a simulated world outside, until Ctrl-C
    ///
    /// Builds the program, starts private servers and every process with an environment of its own, prints where they are,
    /// and then what they say, each line with its process. Everything is in a temporary folder, unless one is named.
    #[command(after_help = "Examples:\n  \
        cargo xtask cluster                          until Ctrl-C; nothing is left behind\n  \
        cargo xtask cluster --data target/cluster    goes on there the next time\n  \
        cargo xtask cluster --set venue_refuse_bp=500 --set log=info")]
    Cluster(cluster::Arguments),
    /// Build the program into an image, `cambist:local`, by docker, podman or buildah
    #[command(after_help = "Examples:\n  \
        cargo xtask image                                            what install.sh installs\n  \
        cargo xtask image --tag registry.example.com/cambist:0.1.0   to push it")]
    Image(image::Arguments),
    /// Run the manifests as pods by podman, as root: the image, the servers, the migration, all services, and newman against them
    ///
    /// Every pod runs what the rendered overlay says, confined and bounded as it says, under the names of its Services, behind its
    /// NetworkPolicies; a router that knows the rules of the Ingress stands before them. Who reaches whom is tried door by
    /// door. Everything of podman's lies in target/pods; what ran is removed at the end, however that comes. The logs stay.
    #[command(after_help = "Examples:\n  \
        cargo xtask pods                 PostgreSQL and NATS made of this machine's packages\n  \
        cargo xtask pods --pull          with their real images\n  \
        cargo xtask pods --overlay ha    three NATS servers, two of each worker")]
    Pods(pods::Arguments),
    /// What runs the Ingress in a pod of `cargo xtask pods`
    #[command(hide = true)]
    Route(pods::Route),
    /// Draw the pictures at assets/ from their sources, by graphviz
    Diagrams,
}

fn main() -> ExitCode {
    let outcome = match stages::documentation::called() {
        Some(documented) => documented,
        None => run(Args::parse().task),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Test {
            only: Some(stage),
            beside: true,
            ..
        } => stages::run_beside(&root()?, stage),
        Task::Test { only, full, .. } => stages::run(&root()?, only, full),
        Task::Rules { list: true } => {
            rules::list();
            Ok(ExitCode::SUCCESS)
        }
        Task::Cluster(arguments) => cluster::run(&root()?, &arguments),
        Task::Image(arguments) => image::run(&root()?, &arguments).map(|()| ExitCode::SUCCESS),
        Task::Pods(arguments) => pods::run(&root()?, &arguments).map(|()| ExitCode::SUCCESS),
        Task::Route(arguments) => pods::route(&arguments).map(|()| ExitCode::SUCCESS),
        Task::Diagrams => diagrams::run(&root()?).map(|()| ExitCode::SUCCESS),
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
