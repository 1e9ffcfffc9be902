//! The tools the test run needs: found, or installed, or asked for.
//!
//! A tool is looked for in `PATH`. What is missing is installed by apt where this runs as root, after saying so;
//! otherwise the exact command is printed and the run ends. Tools that are written in Python or for Node.js live in folders
//! of the project's own under `target/tools`, with pinned versions.

mod apt;
mod node;
mod python;

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// Where a tool comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// Debian packages.
    Apt(&'static [&'static str]),
    /// A component of the Rust toolchain. Never installed by us: which toolchain is the developer's choice.
    Rustup(&'static str),
}

/// A program, where it comes from and what it is for.
#[derive(Debug)]
struct Tool {
    program: &'static str,
    source: Source,
    /// Arguments with which it must succeed to count as there: some are found in `PATH` without what they need.
    proof: &'static [&'static str],
    purpose: &'static str,
}

/// Everything the stages call besides cargo.
const TOOLS: &[Tool] = &[
    Tool {
        program: "cc",
        source: Source::Apt(&["gcc", "libc6-dev"]),
        proof: &[],
        purpose: "compiles the SQLite that is built in, and links",
    },
    Tool {
        program: "git",
        source: Source::Apt(&["git"]),
        proof: &[],
        purpose: "tells the rules which files are ours",
    },
    Tool {
        program: "python3",
        source: Source::Apt(&["python3", "python3-venv"]),
        proof: &["-c", "import ensurepip, venv"],
        purpose: "runs the API fuzzer and the mail server of the tests",
    },
    Tool {
        program: "npm",
        source: Source::Apt(&["nodejs", "npm"]),
        proof: &["--version"],
        purpose: "installs newman, which runs the Postman collections",
    },
    Tool {
        program: "initdb",
        source: Source::Apt(&["postgresql-15"]),
        proof: &["--version"],
        purpose: "makes the PostgreSQL that tests run against",
    },
    Tool {
        program: "nats-server",
        source: Source::Apt(&["nats-server"]),
        proof: &["--version"],
        purpose: "carries the queues of tests between processes",
    },
    Tool {
        program: "zsh",
        source: Source::Apt(&["zsh"]),
        proof: &[],
        purpose: "one of the shells in which install.sh is tried",
    },
    Tool {
        program: "dash",
        source: Source::Apt(&["dash"]),
        proof: &[],
        purpose: "one of the shells in which install.sh is tried",
    },
    Tool {
        program: "shellcheck",
        source: Source::Apt(&["shellcheck"]),
        proof: &[],
        purpose: "checks install.sh and uninstall.sh",
    },
    Tool {
        program: "promtool",
        source: Source::Apt(&["prometheus"]),
        proof: &[],
        purpose: "checks the metrics and tests the alert rules",
    },
    Tool {
        // rustup puts a placeholder into PATH for components that are not installed; it only fails when run.
        program: "cargo-fmt",
        source: Source::Rustup("rustfmt"),
        proof: &["--version"],
        purpose: "checks the format",
    },
    Tool {
        program: "cargo-clippy",
        source: Source::Rustup("clippy"),
        proof: &["--version"],
        purpose: "checks the lints",
    },
];

/// What has to be done before the tools are there.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Nothing is missing.
    Ready,
    /// apt installs these packages now.
    Install(Vec<&'static str>),
    /// The developer runs these commands.
    Ask(Vec<String>),
}

/// Finds or installs every tool; fails with the commands that help.
pub(crate) fn ensure_all(root: &Path) -> Result<()> {
    let absent: Vec<&Tool> = TOOLS.iter().filter(|tool| !is_there(tool, root)).collect();
    for tool in &absent {
        println!("missing: {} ({})", tool.program, tool.purpose);
    }
    match plan(&absent, is_root() && find("apt-get", root).is_some()) {
        Plan::Ready => {}
        Plan::Install(packages) => {
            println!("installing by apt: {}", packages.join(" "));
            apt::install(&packages)?;
            if let Some(tool) = absent.iter().find(|tool| !is_there(tool, root)) {
                bail!(
                    "apt installed {}, but `{}` is still not in PATH",
                    packages.join(" "),
                    tool.program
                );
            }
        }
        Plan::Ask(commands) => bail!("tools are missing; run:\n  {}", commands.join("\n  ")),
    }
    python::ensure(root)?;
    node::ensure(root)?;
    let programs: Vec<&str> = TOOLS.iter().map(|tool| tool.program).collect();
    println!("found {}", programs.join(", "));
    Ok(())
}

fn plan(missing: &[&Tool], may_install: bool) -> Plan {
    let mut packages = Vec::new();
    let mut components = Vec::new();
    for tool in missing {
        match tool.source {
            Source::Apt(names) => packages.extend(names),
            Source::Rustup(component) => components.push(component),
        }
    }
    let mut commands = Vec::new();
    if !packages.is_empty() {
        commands.push(format!(
            "sudo apt-get install -y --no-install-recommends {}",
            packages.join(" ")
        ));
    }
    if !components.is_empty() {
        commands.push(format!("rustup component add {}", components.join(" ")));
    }
    match (commands.is_empty(), components.is_empty() && may_install) {
        (true, _) => Plan::Ready,
        (false, true) => Plan::Install(packages),
        (false, false) => Plan::Ask(commands),
    }
}

fn is_there(tool: &Tool, root: &Path) -> bool {
    find(tool.program, root)
        .is_some_and(|program| tool.proof.is_empty() || quiet(Command::new(program).args(tool.proof)))
}

/// Where programs are looked for: `PATH`, then the project's own folders, then where Debian keeps servers. The stages
/// get it as their `PATH`.
pub(crate) fn folders(root: &Path) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(python::environments(root).map(|environment| environment.join("bin")))
        .chain([node::folder(root).join("node_modules/.bin"), PathBuf::from("/usr/sbin")])
        .chain(test_servers::postgres::programs())
        .collect()
}

/// Where a program is, if it is in one of the [`folders`].
pub(crate) fn find(program: &str, root: &Path) -> Option<PathBuf> {
    find_in(program, folders(root).into_iter())
}

fn find_in(program: &str, folders: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let runs = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    folders.map(|folder| folder.join(program)).find(runs)
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").stdin(Stdio::null()).output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn quiet(command: &mut Command) -> bool {
    let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(program: &str) -> &'static Tool {
        TOOLS.iter().find(|tool| tool.program == program).unwrap()
    }

    #[test]
    fn nothing_missing_needs_nothing() {
        assert_eq!(plan(&[], true), Plan::Ready);
        assert_eq!(plan(&[], false), Plan::Ready);
    }

    #[test]
    fn root_installs_packages_and_others_are_told_the_command() {
        let missing = [tool("cc"), tool("git")];
        assert_eq!(plan(&missing, true), Plan::Install(vec!["gcc", "libc6-dev", "git"]));
        let command = "sudo apt-get install -y --no-install-recommends gcc libc6-dev git";
        assert_eq!(plan(&missing, false), Plan::Ask(vec![command.into()]));
    }

    #[test]
    fn components_of_the_toolchain_are_always_asked_for() {
        let missing = [tool("cargo-fmt"), tool("cargo-clippy")];
        let command = "rustup component add rustfmt clippy".to_owned();
        assert_eq!(plan(&missing, true), Plan::Ask(vec![command]));
    }

    #[test]
    fn a_tool_is_a_file_that_may_be_run() {
        let sh = find_in("sh", ["/nowhere", "/bin"].into_iter().map(PathBuf::from));
        assert_eq!(sh, Some(PathBuf::from("/bin/sh")));
        assert_eq!(find_in("passwd", [PathBuf::from("/etc")].into_iter()), None);
        assert_eq!(find_in("bin", [PathBuf::from("/")].into_iter()), None);
    }
}
