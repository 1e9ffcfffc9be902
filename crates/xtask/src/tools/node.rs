//! The programs for Node.js under `target/tools/npm`: newman, which runs the Postman collections. Everything it needs is
//! pinned by `node/package-lock.json`, with a hash each; installed anew when the pins change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

const PACKAGE: &str = include_str!("node/package.json");
const PINS: &str = include_str!("node/package-lock.json");

/// Where the programs lie.
pub(super) fn folder(root: &Path) -> PathBuf {
    root.join("target/tools/npm")
}

/// Installs the programs, unless they are there with these very versions.
pub(super) fn ensure(root: &Path) -> Result<()> {
    let folder = folder(root);
    // Written last: an installation that was cut short has none.
    let stamp = folder.join("installed.json");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == PINS) {
        return Ok(());
    }
    println!("installing the tools for Node.js into {}", folder.display());
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("package.json"), PACKAGE)?;
    fs::write(folder.join("package-lock.json"), PINS)?;
    let status = Command::new("npm")
        .args([
            "ci",
            "--silent",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--omit=optional",
        ])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .status()
        .context("npm does not run")?;
    ensure!(
        status.success(),
        "the tools for Node.js cannot be installed: npm: {status}"
    );
    fs::write(&stamp, PINS).context("the stamp of the tools for Node.js cannot be written")
}
