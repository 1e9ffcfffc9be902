//! `cargo xtask image`: the program as a static binary, in an image with nothing beside it but certificates.
//!
//! The image is called `cambist:local`, which is what `install.sh` looks for, and by the version. Docker, podman and buildah
//! build it; the first that works is taken.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;

use crate::tools;

/// What `install.sh` looks for.
const LOCAL: &str = "docker.io/library/cambist:local";

/// Where distributions keep the authorities they trust.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// What can be chosen.
#[derive(Debug, Clone, Args)]
pub(crate) struct Arguments {
    /// Also give the image this name, to push it: registry.example.com/cambist:0.1.0
    #[arg(long, value_name = "IMAGE")]
    tag: Option<String>,
    /// Build without optimisation, which takes less time; for trying things out
    #[arg(long)]
    debug: bool,
}

/// Builds the program and the image.
pub(crate) fn run(root: &Path, arguments: &Arguments) -> Result<()> {
    let engine = engine(root)?;
    let program = program(root, arguments.debug)?;
    context(root, &program)?;
    let version = format!("docker.io/library/cambist:{}", env!("CARGO_PKG_VERSION"));
    let mut command = Command::new(&engine.program);
    command
        .args(engine.build)
        .arg("--file")
        .arg(root.join("deploy/Dockerfile"));
    for tag in [LOCAL, &version].into_iter().chain(arguments.tag.as_deref()) {
        command.args(["--tag", tag]);
    }
    let status = command.arg(folder(root)).stdin(Stdio::null()).status();
    let status = status.with_context(|| format!("{} does not run", engine.program.display()))?;
    ensure!(status.success(), "the image cannot be built: {status}");
    println!(
        "built cambist:local ({} bytes of program)",
        fs::metadata(&program)?.len()
    );
    Ok(())
}

/// What goes into the image lies here.
pub(crate) fn folder(root: &Path) -> PathBuf {
    root.join("target/image")
}

/// Puts everything into the folder that goes into the image.
pub(crate) fn context(root: &Path, program: &Path) -> Result<()> {
    let folder = folder(root);
    fs::create_dir_all(&folder)?;
    fs::copy(program, folder.join("cambist"))?;
    let authorities = AUTHORITIES.iter().find(|path| Path::new(path).is_file());
    let authorities = authorities.context("this machine has no list of authorities; install ca-certificates")?;
    fs::copy(authorities, folder.join("ca-certificates.crt"))?;
    Ok(())
}

/// Builds the program for the image; where it is then.
pub(crate) fn program(root: &Path, debug: bool) -> Result<PathBuf> {
    let program = build(root, debug)?;
    ensure!(
        is_static(&fs::read(&program)?),
        "{} needs libraries that the image does not have",
        program.display()
    );
    Ok(program)
}

struct Engine {
    program: PathBuf,
    build: &'static [&'static str],
}

/// The first program for images that is there and answers.
fn engine(root: &Path) -> Result<Engine> {
    // Neither podman nor buildah needs to run anything for a Dockerfile without RUN, so neither needs a sandbox.
    let known: [(&str, &str, &'static [&'static str]); 3] = [
        ("docker", "info", &["build"]),
        ("podman", "info", &["build", "--isolation=chroot"]),
        ("buildah", "info", &["build", "--isolation=chroot"]),
    ];
    for (name, proof, build) in known {
        let Some(program) = tools::find(name, root) else {
            continue;
        };
        let mut question = Command::new(&program);
        let asked = question.arg(proof).stdin(Stdio::null()).output();
        if asked.is_ok_and(|output| output.status.success()) {
            return Ok(Engine { program, build });
        }
    }
    bail!("docker, podman or buildah is needed: sudo apt-get install -y --no-install-recommends buildah")
}

/// Builds the program so that it needs no library of the system's; where it is then.
fn build(root: &Path, debug: bool) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .current_dir(root)
        .args(["rustc", "--locked", "--package", "cambist", "--bin", "cambist"]);
    if !debug {
        cargo.arg("--release");
    }
    // Only the last step differs from another build: the C library goes into the program.
    cargo.args(["--", "-C", "target-feature=+crt-static"]);
    let status = cargo.stdin(Stdio::null()).status().context("cargo does not run")?;
    ensure!(status.success(), "cambist does not build");
    let ours = env::current_exe().context("this program is nowhere")?;
    let target = ours
        .ancestors()
        .nth(2)
        .context("this program does not lie in a target folder")?;
    Ok(target.join(if debug { "debug" } else { "release" }).join("cambist"))
}

/// Whether an ELF program names no loader (PT_INTERP of its program headers; ELF-64, little endian).
fn is_static(elf: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, size: usize| -> Option<u64> {
        let bytes = elf.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0, |all, byte| all << 8 | u64::from(*byte)))
    };
    let headers = || -> Option<Vec<u64>> {
        let (start, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
        (0..count)
            .map(|header| number(usize::try_from(start + header * size).ok()?, 4))
            .collect()
    };
    elf.starts_with(b"\x7fELF\x02\x01") && headers().is_some_and(|headers| !headers.contains(&PT_INTERP))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_a_loader_is_not_static() {
        let ours = fs::read(env::current_exe().unwrap()).unwrap();
        assert!(!is_static(&ours), "tests are linked as everything else is");
        assert!(!is_static(b"#!/bin/sh"));
        // One program header, which loads.
        let mut elf = vec![0; 64 + 56];
        elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
        (elf[32], elf[54], elf[56], elf[64]) = (64, 56, 1, 1);
        assert!(is_static(&elf));
        elf[64] = 3;
        assert!(!is_static(&elf));
    }
}
