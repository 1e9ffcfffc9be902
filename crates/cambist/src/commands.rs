//! What the program can be asked to do, one command a file.

#![allow(
    clippy::print_stdout,
    reason = "what a command has to say belongs on standard output"
)]

mod apart;
mod audit;
mod bench;
mod config;
mod demo;
mod migrate;
pub mod ops;
mod simulate;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::ArgMatches;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service_kit::settings::{Loaded, Settings, from_process};
use service_kit::telemetry;

use crate::cli::JSON;

/// Threads for what blocks: reads, hashes of passwords, files of mails. Each of those is bounded by itself; what comes on
/// top waits, instead of costing a thread.
const MAX_BLOCKING_THREADS: usize = 32;

/// Does what the command line says.
///
/// # Errors
/// Whatever keeps the command from doing it, in words for the person who typed it.
pub fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let (name, arguments) = matches.subcommand().context("no command given; try `cambist --help`")?;
    if name == "demo" {
        // Before any setting is read: it has an instance of its own.
        return demo::run(arguments);
    }
    let mut settings = from_process(arguments)?;
    if name == "up" {
        // Trying things out needs money: in one process on one's own machine users book their own deposits.
        settings = settings.with_default("deposits", "self")?;
    }
    let loaded = settings.load()?;
    allow_many_files();
    let process = apart::name_of(name, arguments);
    match name {
        "up" => asynchronous(&process, &loaded, up::run(&loaded)),
        "serve" => asynchronous(&process, &loaded, apart::serve(&loaded, arguments)),
        "work" => asynchronous(&process, &loaded, apart::work(&loaded, arguments)),
        "simulate" => asynchronous(&process, &loaded, simulate::run(&loaded)),
        "migrate" => asynchronous(&process, &loaded, migrate::run(&loaded.settings)),
        "audit" => audit::run(&loaded.settings, arguments.get_flag(JSON)),
        "ops" => ops::run(&loaded.settings, arguments),
        "bench" => bench::run(arguments, arguments.get_flag(JSON)),
        "config" => config::run(&loaded, arguments.get_flag(JSON)),
        unknown => bail!("there is no command {unknown}; try `cambist --help`"),
    }
}

/// Runs a command of a process that is called `process` in traces.
fn asynchronous(
    process: &str,
    loaded: &Loaded,
    command: impl Future<Output = anyhow::Result<ExitCode>>,
) -> anyhow::Result<ExitCode> {
    // Before the runtime, so that it is dropped after it: the last spans are sent then.
    let _telemetry = telemetry::init(&loaded.settings, process)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
        .context("the operating system gives no threads")?;
    runtime.block_on(command)
}

/// As many open files as the operating system lets us have: each connection is one, and what a shell allows at first is
/// less than `max_connections`.
fn allow_many_files() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::debug!(%error, "the number of open files stays as it is");
    }
}

/// Whoever lets users book their own deposits should know.
fn warn_of_own_deposits() {
    tracing::warn!("users may book their own deposits (deposits = self): for trying things out, not for real money");
}

/// The file of the embedded database.
fn database_path(settings: &Settings) -> anyhow::Result<PathBuf> {
    match settings.database_url.scheme() {
        "sqlite" => Ok(PathBuf::from(settings.database_url.rest())),
        other => bail!("database_url: {other} is for services that run apart; here it is `sqlite:PATH`"),
    }
}
