//! The tools the test run needs: found, or installed, or asked for.
//!
//! A tool is looked for in `PATH`, then in the project's own cache (`target/tools/bin`). What is missing is
//! installed by apt where this runs as root, after saying so; otherwise the exact command is printed and the
//! run ends. No service is started: while apt works, a policy forbids it, and the policy is removed after.

use std::env;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

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
    purpose: &'static str,
}

/// Everything the stages call besides cargo.
const TOOLS: &[Tool] = &[
    Tool {
        program: "cc",
        source: Source::Apt(&["gcc", "libc6-dev"]),
        purpose: "compiles the SQLite that is built in, and links",
    },
    Tool {
        program: "git",
        source: Source::Apt(&["git"]),
        purpose: "tells the rules which files are ours",
    },
    Tool {
        program: "cargo-fmt",
        source: Source::Rustup("rustfmt"),
        purpose: "checks the format",
    },
    Tool {
        program: "cargo-clippy",
        source: Source::Rustup("clippy"),
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
            install(&packages)?;
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
    let Some(program) = find(tool.program, root) else {
        return false;
    };
    match tool.source {
        Source::Apt(_) => true,
        // rustup puts a placeholder into PATH for components that are not installed; it only fails when run.
        Source::Rustup(_) => quiet(Command::new(program).arg("--version")),
    }
}

/// Where programs are looked for: `PATH`, then the project's own cache. The stages get it as their `PATH`.
pub(crate) fn folders(root: &Path) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cache = Some(root.join("target/tools/bin")).filter(|cache| cache.is_dir());
    env::split_paths(&path).chain(cache).collect()
}

fn find(program: &str, root: &Path) -> Option<PathBuf> {
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

fn install(packages: &[&str]) -> Result<()> {
    let _policy = NoServices::begin(Path::new(POLICY))?;
    // Lists may be absent (a container) or old; that they cannot be refreshed does not matter if they suffice.
    quiet(Command::new("apt-get").args(["update", "-qq"]));
    let status = Command::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("apt-get does not run")?;
    ensure!(
        status.success(),
        "apt-get install {} failed: {status}",
        packages.join(" ")
    );
    Ok(())
}

/// Where Debian asks whether a package may start its service.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// The answer: no (101 is "forbidden by policy").
const FORBIDDEN: &str =
    "#!/bin/sh\n# Of `cargo xtask`, while it installs; may be removed when it does not run.\nexit 101\n";

/// While this lives, apt starts no service. A policy that is already there is the machine's own and stays.
struct NoServices {
    ours: Option<PathBuf>,
}

impl NoServices {
    fn begin(policy: &Path) -> Result<Self> {
        let ours = Some(policy.to_owned());
        if fs::read_to_string(policy).is_ok_and(|text| text == FORBIDDEN) {
            // Left by a run that was killed.
            return Ok(Self { ours });
        }
        if policy.exists() {
            return Ok(Self { ours: None });
        }
        let mut options = fs::OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o755);
        let mut file = options
            .open(policy)
            .with_context(|| format!("{} cannot be written", policy.display()))?;
        file.write_all(FORBIDDEN.as_bytes())?;
        Ok(Self { ours })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = &self.ours
            && let Err(error) = fs::remove_file(policy)
        {
            let policy = policy.display();
            eprintln!("{policy} could not be removed ({error}); while it is there, apt starts no service");
        }
    }
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
    fn services_are_forbidden_while_apt_works_and_no_longer() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        let guard = NoServices::begin(&policy).unwrap();
        let answer = Command::new("sh").arg(&policy).status().unwrap();
        assert_eq!(answer.code(), Some(101));
        assert_eq!(fs::metadata(&policy).unwrap().permissions().mode() & 0o111, 0o111);
        // As if that run had been killed: the next one takes its policy over.
        std::mem::forget(guard);
        drop(NoServices::begin(&policy).unwrap());
        assert!(!policy.exists());
    }

    #[test]
    fn a_policy_of_the_machine_stays() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        fs::write(&policy, "exit 0").unwrap();
        drop(NoServices::begin(&policy).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "exit 0");
    }

    #[test]
    fn a_tool_is_a_file_that_may_be_run() {
        let sh = find_in("sh", ["/nowhere", "/bin"].into_iter().map(PathBuf::from));
        assert_eq!(sh, Some(PathBuf::from("/bin/sh")));
        assert_eq!(find_in("passwd", [PathBuf::from("/etc")].into_iter()), None);
        assert_eq!(find_in("bin", [PathBuf::from("/")].into_iter()), None);
    }
}
