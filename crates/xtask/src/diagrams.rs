//! `cargo xtask diagrams`: draws the pictures at `assets/` from their sources.
//!
//! What they show is compared by tests: the states with the saga's (`crates/wallet/tests/it/diagrams.rs`), the calls with the
//! NetworkPolicies (`cargo xtask test --only manifests`).

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::tools;

/// Draws each of them.
pub(crate) fn run(root: &Path) -> Result<()> {
    let dot = tools::find("dot", root);
    let dot = dot.context("graphviz is needed: sudo apt-get install -y graphviz fonts-dejavu-core")?;
    for entry in fs::read_dir(root.join("assets"))? {
        let source = entry?.path();
        if source.extension().is_none_or(|extension| extension != "dot") {
            continue;
        }
        let picture = source.with_extension("png");
        let mut command = Command::new(&dot);
        command.args(["-Tpng", "-Gdpi=96", "-o"]).arg(&picture).arg(&source);
        let status = command.stdin(Stdio::null()).status().context("dot does not run")?;
        ensure!(status.success(), "{} cannot be drawn: {status}", source.display());
        println!("drawn {}", picture.display());
    }
    Ok(())
}
