//! Packages of Debian, installed where this runs as root. No service is started: while apt works, a policy forbids
//! it, and the policy is removed after.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// Installs `packages` as root, without starting any service.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    let _policy = NoServices::begin(Path::new(POLICY))?;
    no_cluster(Path::new(CLUSTERS))?;
    // Lists may be absent (a container) or old; that they cannot be refreshed does not matter if they suffice.
    super::quiet(Command::new("apt-get").args(["update", "-qq"]));
    let status = Command::new("apt-get")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(["-o", "Dpkg::Options::=--force-confold"])
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

/// Where Debian asks whether PostgreSQL gets a cluster of its own when it is installed.
const CLUSTERS: &str = "/etc/postgresql-common/createcluster.conf";

/// Has PostgreSQL installed without a cluster: ours are made in temporary folders. What the machine has said already stays.
fn no_cluster(settings: &Path) -> Result<()> {
    if settings.exists() {
        return Ok(());
    }
    let folder = settings.parent().context("the settings of PostgreSQL lie nowhere")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(settings, "create_main_cluster = false\n"))
        .with_context(|| format!("{} cannot be written", settings.display()))
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

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
    fn postgres_gets_no_cluster_unless_the_machine_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("common").join("createcluster.conf");
        no_cluster(&settings).unwrap();
        assert_eq!(fs::read_to_string(&settings).unwrap(), "create_main_cluster = false\n");
        fs::write(&settings, "of the machine").unwrap();
        no_cluster(&settings).unwrap();
        assert_eq!(fs::read_to_string(&settings).unwrap(), "of the machine");
    }

    #[test]
    fn a_policy_of_the_machine_stays() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        fs::write(&policy, "exit 0").unwrap();
        drop(NoServices::begin(&policy).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "exit 0");
    }
}
