//! `cargo xtask cluster`: the ten processes on a developer's machine, as the tests start them.
//!
//! What it keeps true: Ctrl-C ends every process in order, and everything ends however this program does.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use test_servers::cluster::{Cluster, Hear, Kind, Node, OPERATOR_TOKEN, Service, Setup, Tables};

/// What can be chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// Keep everything in this folder, and go on with what is in it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// A setting for every process, for example `venue_price=12`; may be repeated
    #[arg(long = "set", value_name = "SETTING=VALUE", value_parser = setting)]
    settings: Vec<(String, String)>,
    /// Build it for speed
    #[arg(long)]
    release: bool,
}

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err("write SETTING=VALUE".to_owned()),
    }
}

/// Runs until a signal.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<ExitCode> {
    let program = build(root, arguments.release)?;
    // From here on a signal waits until everything is there to be ended.
    let mut signals = Signals::new([SIGINT, SIGTERM]).context("signals cannot be listened to")?;
    let colours = io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none();
    let mut setup = Setup::ten_processes(program, Tables::Server).heard_by(printer(colours));
    setup = setup.with("log_format", "human");
    if let Some(folder) = &arguments.data {
        setup = setup.in_folder(folder);
    }
    for (name, value) in &arguments.settings {
        setup = setup.with(name, value);
    }
    let mut cluster = Cluster::start(setup).map_err(anyhow::Error::msg)?;
    println!("{}", addresses(&cluster));
    signals.forever().next();
    println!("\nstopping");
    // Whoever calls ends before whom it calls.
    for node in cluster.nodes().into_iter().rev().filter(|node| *node != Node::SIMULATE) {
        cluster.terminate(node);
    }
    cluster.terminate(Node::SIMULATE);
    Ok(ExitCode::SUCCESS)
}

/// Builds the program; where it is then.
fn build(root: &Path, release: bool) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["build", "--locked", "--package", "cambist"]);
    if release {
        cargo.arg("--release");
    }
    ensure!(
        cargo.status().context("cargo does not run")?.success(),
        "cambist does not build"
    );
    // Beside this program, or in the folder of the other profile.
    let ours = env::current_exe().context("this program is nowhere")?;
    let target = ours
        .ancestors()
        .nth(2)
        .context("this program does not lie in a target folder")?;
    let program = target.join(if release { "release" } else { "debug" }).join("cambist");
    ensure!(program.is_file(), "{} is not there", program.display());
    Ok(program)
}

/// Prints each line behind the name of its process.
fn printer(colours: bool) -> Hear {
    Arc::new(move |node, line| {
        // Nobody is left to be told when standard output is closed.
        let _ = writeln!(io::stdout().lock(), "{}", labelled(node, line, colours));
    })
}

fn labelled(node: Node, line: &str, colours: bool) -> String {
    let name = node.to_string();
    match colours {
        true => format!("\x1b[{}m{name:>18}\x1b[0m  {line}", colour(node)),
        false => format!("{name:>18}  {line}"),
    }
}

/// A colour for each service; that of its worker is the brighter one.
fn colour(node: Node) -> u8 {
    let service = match node.service() {
        Some(Service::Auth) => 31,
        Some(Service::Wallet) => 32,
        Some(Service::Exchanger) => 33,
        Some(Service::BcGateway) => 34,
        Some(Service::Notification) => 35,
        Some(Service::Balance) => 36,
        None => return 37,
    };
    match node.kind {
        Kind::Work(_) => service + 60,
        Kind::Up | Kind::Simulate | Kind::Serve(_) => service,
    }
}

/// Where everything is, and what to try.
fn addresses(cluster: &Cluster) -> String {
    let mut text = String::from("\nEverything is up.\n\n");
    for service in [Service::Auth, Service::Wallet] {
        text.push_str(&format!(
            "{:>18}  {}   (public)\n",
            service.name(),
            cluster.public(service)
        ));
    }
    for node in cluster.nodes() {
        text.push_str(&format!("{node:>18}  {}\n", cluster.internal_of(node)));
    }
    text.push_str(&format!(
        "\n{:>18}  {}\n{:>18}  {OPERATOR_TOKEN}\n{:>18}  {}\n{:>18}  {}\n\nCtrl-C stops all of it.\n",
        "database",
        cluster.database_url().unwrap_or_default(),
        "operator's token",
        "mails",
        cluster.mail().display(),
        "data",
        cluster.folder().display(),
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_whose_it_is_and_is_coloured_on_a_terminal_only() {
        let node = Node::work(Service::BcGateway);
        assert_eq!(labelled(node, "here", false), "   work bc_gateway  here");
        assert_eq!(labelled(node, "here", true), "\x1b[94m   work bc_gateway\x1b[0m  here");
        assert_eq!(colour(Node::serve(Service::BcGateway)), 34);
    }

    #[test]
    fn a_setting_has_a_name_and_a_value() {
        assert_eq!(setting("log=info"), Ok(("log".to_owned(), "info".to_owned())));
        assert_eq!(setting("smtp_url="), Ok(("smtp_url".to_owned(), String::new())));
        assert!(setting("log").is_err() && setting("=info").is_err());
    }
}
