//! podman, with everything of its own in one folder of the project's: it neither sees nor leaves anything where other people's
//! containers are.
//!
//! What it keeps true: only one run is at work in a folder; what an earlier one left, however it ended, is removed first, and
//! what this one made when it ends; a signal ends it at the next step.

use std::fs::{self, File, TryLockError};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::tools;

/// Programs that there must be, and the Debian packages that they and what they call come in.
const PROGRAMS: [&str; 3] = ["podman", "iptables-restore", "nsenter"];
const PACKAGES: &str = "podman runc catatonit netavark aardvark-dns iptables util-linux";

/// The network of all pods.
pub(super) const NETWORK: &str = "prj";

/// podman in a folder of its own.
pub(super) struct Podman {
    program: PathBuf,
    folder: PathBuf,
    driver: &'static str,
    stop: Arc<AtomicBool>,
    /// Held as long as this lives.
    _lock: File,
}

impl Podman {
    /// Finds podman, and removes what an earlier run left in the folder.
    pub(super) fn begin(root: &Path) -> Result<Self> {
        let missing = PROGRAMS.iter().find(|program| tools::find(program, root).is_none());
        if let Some(program) = missing {
            bail!("{program} is missing: sudo apt-get install -y --no-install-recommends {PACKAGES}");
        }
        let program = tools::find("podman", root).context("podman is missing")?;
        let folder = root.join("target/pods");
        fs::create_dir_all(&folder)?;
        let lock = File::create(folder.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("another run is at work in {}", folder.display()),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        fs::write(folder.join("containers.conf"), settings()?)?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // The second one ends it where it stands.
            flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))?;
            flag::register(signal, Arc::clone(&stop))?;
        }
        let mut podman = Self {
            program,
            folder,
            driver: "overlay",
            stop,
            _lock: lock,
        };
        if podman.output(&["info"]).is_err() {
            // As inside a container, where folders cannot be laid over one another.
            podman.driver = "vfs";
        }
        podman.clear()?;
        Ok(podman)
    }

    /// For what pods keep, and for what they said.
    pub(super) fn folder(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A call of podman with these words, not started yet.
    pub(super) fn command<W: AsRef<std::ffi::OsStr>>(&self, words: &[W]) -> Command {
        let mut command = Command::new(&self.program);
        for (option, name) in [
            ("--root", "storage"),
            ("--runroot", "run"),
            ("--tmpdir", "tmp"),
            ("--network-config-dir", "networks"),
        ] {
            command.arg(option).arg(self.folder.join(name));
        }
        command
            .args(["--storage-driver", self.driver, "--log-level", "error"])
            .args(words);
        command
            .env("CONTAINERS_CONF", self.folder.join("containers.conf"))
            .stdin(Stdio::null());
        command
    }

    /// What podman answers.
    pub(super) fn output(&self, words: &[&str]) -> Result<String> {
        said(words, self.command(words).output())
    }

    /// An error after a signal.
    pub(super) fn go_on(&self) -> Result<()> {
        ensure!(!self.stop.load(Ordering::Relaxed), "interrupted");
        Ok(())
    }

    /// A moment, unless a signal comes.
    pub(super) fn pause(&self) -> Result<()> {
        self.go_on()?;
        // sleep: neither a container nor a program beside it says when it gets ready or ends; a cluster asks again as well
        std::thread::sleep(Duration::from_millis(100));
        Ok(())
    }

    /// Waits for the end of a program; ends it after a signal.
    pub(super) fn wait(&self, child: &mut Child) -> Result<std::process::ExitStatus> {
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if let Err(interrupted) = self.pause() {
                let _ = child.kill();
                let _ = child.wait();
                return Err(interrupted);
            }
        }
    }

    /// Makes the network; its first address, which is this machine's.
    pub(super) fn network(&self) -> Result<Ipv4Addr> {
        self.output(&["network", "create", NETWORK])?;
        let known: Value = serde_json::from_str(&self.output(&["network", "inspect", NETWORK])?)?;
        let gateway = known[0]["subnets"][0]["gateway"].as_str();
        let gateway = gateway.context("the network has no gateway")?.parse()?;
        Ok(gateway)
    }

    /// The process that holds the network of a pod, whose rules these shall be.
    pub(super) fn holder(&self, pod: &str) -> Result<String> {
        let known: Value = serde_json::from_str(&self.output(&["pod", "inspect", pod])?)?;
        let known = if known.is_array() { &known[0] } else { &known };
        let infra = known["InfraContainerID"].as_str().context("the pod holds nothing")?;
        let pid = self.output(&["inspect", "--format={{.State.Pid}}", infra])?;
        Ok(pid.trim().to_owned())
    }

    /// A program of this machine's in the network of a pod.
    pub(super) fn inside(&self, holder: &str, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{holder}/ns/net"))
            .arg("--")
            .arg(program);
        command
    }

    /// Removes all pods and the network. The images stay for the next time.
    pub(super) fn clear(&self) -> Result<()> {
        self.output(&["pod", "rm", "--all", "--force", "--time=2"])?;
        self.output(&["rm", "--all", "--force", "--time=2"])?;
        if self.output(&["network", "exists", NETWORK]).is_ok() {
            self.output(&["network", "rm", "--force", NETWORK])?;
        }
        for name in ["run", "tmp", "networks", "volumes"] {
            match fs::remove_dir_all(self.folder.join(name)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                Err(_) | Ok(()) => {}
            }
        }
        Ok(())
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            eprintln!("not everything was removed, the next run tries again: {error:#}");
        }
    }
}

/// What a program said, or why it failed.
pub(super) fn said(words: &[&str], output: std::io::Result<Output>) -> Result<String> {
    let output = output.context("podman does not run")?;
    let answer = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "podman {}: {answer}{}",
        words.join(" "),
        error.trim()
    );
    Ok(answer)
}

/// podman wants more open files and processes for a container than a machine may have to give, and a systemd that may not be
/// there.
fn settings() -> Result<String> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        let hard = line.split_whitespace().nth(1)?;
        // What has no limit needs a number here all the same.
        Some(hard.parse().unwrap_or(1_048_576_u64))
    };
    let files = limit("Max open files").context("/proc/self/limits does not say how many files may be open")?;
    let processes = limit("Max processes").context("/proc/self/limits does not say how many processes there may be")?;
    // What podman starts may be given less than podman has; this much is what it is given everywhere.
    let processes = processes.min(32_768);
    Ok(format!(
        "[containers]\ndefault_ulimits = [\"nofile={files}:{files}\", \"nproc={processes}:{processes}\"]\n\
         log_driver = \"k8s-file\"\n\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"none\"\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_may_have_what_this_machine_has() {
        let settings: toml::Value = toml::from_str(&settings().unwrap()).unwrap();
        let limits = settings["containers"]["default_ulimits"].as_array().unwrap();
        assert!(limits[0].as_str().unwrap().starts_with("nofile="));
        assert_eq!(settings["engine"]["cgroup_manager"].as_str(), Some("cgroupfs"));
    }
}
