//! The Python environments under `target/tools`, at the versions that their lists pin: the API fuzzer, a validator of
//! OpenAPI documents and a mail server in one, what checks the manifests in another. Made anew when the pins change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The environments and what is in them.
const ENVIRONMENTS: [(&str, &str); 2] = [
    ("venv", include_str!("requirements.txt")),
    ("venv-kubernetes", include_str!("requirements-kubernetes.txt")),
];

/// Where the environments lie.
pub(super) fn environments(root: &Path) -> impl Iterator<Item = PathBuf> {
    let tools = root.join("target/tools");
    ENVIRONMENTS.into_iter().map(move |(name, _)| tools.join(name))
}

/// Makes the environments, unless they are there with these very versions.
pub(super) fn ensure(root: &Path) -> Result<()> {
    environments(root)
        .zip(ENVIRONMENTS)
        .try_for_each(|(environment, (_, requirements))| make(&environment, requirements))
}

fn make(environment: &Path, requirements: &str) -> Result<()> {
    // Written last: an environment whose making was cut short has none.
    let stamp = environment.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements) {
        return Ok(());
    }
    println!("installing the Python tools into {}", environment.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment))?;
    let listed = environment.join("requirements.in");
    fs::write(&listed, requirements)?;
    run(Command::new(environment.join("bin/pip"))
        .args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            // What is imported is compiled when it is imported first; most of it never is.
            "--no-compile",
            "--requirement",
        ])
        .arg(&listed))?;
    fs::rename(&listed, &stamp).context("the stamp of the Python tools cannot be written")
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("{program} does not run"))?;
    ensure!(
        status.success(),
        "the Python tools cannot be installed: {program}: {status}"
    );
    Ok(())
}
