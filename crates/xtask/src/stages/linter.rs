//! clippy as the compiler of our own crates: what is built for the tests is linted while it is compiled.
//!
//! `cargo clippy` is cargo with these two variables and without machine code, for which it checks every dependency a second
//! time. The variables are clippy's own affair, so [`prove`] shows at every run that they still do what they are for.

use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The compiler with lints. rustup puts it beside cargo.
const DRIVER: &str = "clippy-driver";

/// `cargo clippy -- -D warnings`, as the driver hears it.
const DENIED: &str = "-D__CLIPPY_HACKERY__warnings__CLIPPY_HACKERY__";

/// clippy has something against this, and the compiler by itself has not.
const FLAWED: &[u8] = b"pub fn is_it(it: bool) -> bool { it == true }";

/// Has cargo compile the crates of the workspace with lints, and a warning be an error. It stays one: what was refused was
/// not compiled, and is looked at again the next time.
pub(super) fn lint(cargo: &mut Command) {
    cargo.env("RUSTC_WORKSPACE_WRAPPER", DRIVER).env("CLIPPY_ARGS", DENIED);
}

/// Refuses to go on with a linter that lets anything pass.
pub(super) fn prove(path: Option<&OsStr>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut driver = Command::new(DRIVER);
    driver
        .args([
            "rustc",
            "--crate-type=lib",
            "--crate-name=flawed",
            "--emit=metadata",
            "-",
        ])
        .env("CLIPPY_ARGS", DENIED)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(path) = path {
        driver.env("PATH", path);
    }
    let missing = "clippy-driver does not run; `rustup component add clippy` installs it";
    let mut child = driver.spawn().context(missing)?;
    // Whoever has ended before it read everything has said why.
    let _ = child.stdin.take().map(|mut source| source.write_all(FLAWED));
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        !output.status.success() && said.contains("bool_comparison"),
        "clippy passes what it should refuse ({}): {said}",
        output.status
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linter_refuses_what_the_compiler_takes() {
        prove(None).unwrap();
    }
}
