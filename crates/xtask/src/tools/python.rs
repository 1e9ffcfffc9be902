//! The Python environment under `target/tools/venv`: the API fuzzer, a validator of OpenAPI documents and a mail server,
//! at the versions that `requirements.txt` pins. Made anew when the pins change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Where the environment lies.
pub(super) fn environment(root: &Path) -> PathBuf {
    root.join("target/tools/venv")
}

/// Makes the environment, unless it is there with these very versions.
pub(super) fn ensure(root: &Path) -> Result<()> {
    let environment = environment(root);
    // Written last: an environment whose making was cut short has none.
    let stamp = environment.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == REQUIREMENTS) {
        return Ok(());
    }
    println!("installing the Python tools into {}", environment.display());
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&environment))?;
    let listed = environment.join("requirements.in");
    fs::write(&listed, REQUIREMENTS)?;
    run(Command::new(environment.join("bin/pip"))
        .args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
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
