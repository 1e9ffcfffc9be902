//! A fresh `cambist up` as a process of its own, in a temporary folder on a disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::fs::statfs;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::client::Address;
use super::machine::{self, Memory};

const MAX_START: Duration = Duration::from_secs(30);
const MAX_STOP: Duration = Duration::from_secs(60);
/// What statfs(2) says of file systems that lie in memory.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];
const LOG: &str = "cambist.log";
/// What the benchmark needs otherwise than the defaults: any port that is free, users who book their own deposits, and as
/// many of them from one address as it likes.
const SETTINGS: [(&str, &str); 4] = [
    ("listen", "127.0.0.1:0"),
    ("internal_listen", "127.0.0.1:0"),
    ("deposits", "self"),
    ("requests_per_minute", "0"),
];

/// The process; killed when dropped.
pub(super) struct Instance {
    child: Child,
    id: u32,
    folder: TempDir,
    public: Address,
}

/// What a stopped instance leaves; gone when dropped.
pub(super) struct Remains {
    pub(super) folder: TempDir,
    pub(super) path: PathBuf,
}

impl Instance {
    /// Starts the program that runs here, with these settings beside its defaults, and waits until it listens. The folder
    /// is removed afterwards, unless it is to be kept.
    pub(super) async fn start(settings: &[(String, String)], keep: bool) -> anyhow::Result<Self> {
        let mut folder = tempfile::Builder::new()
            .prefix("cambist-bench-")
            .tempdir_in(on_disk()?)?;
        folder.disable_cleanup(keep);
        let program = std::env::current_exe().context("the program's own file cannot be found")?;
        let others = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("CAMBIST_"));
        let mut command = Command::new(program);
        command
            .arg("up")
            .current_dir(folder.path())
            .env_clear()
            .envs(others)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join(LOG))?)
            .kill_on_drop(true);
        let given = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let ours = SETTINGS
            .into_iter()
            .filter(|(name, _)| !settings.iter().any(|(given, _)| given == name));
        for (name, value) in ours.chain(given) {
            command.arg(format!("--{}", name.replace('_', "-"))).arg(value);
        }
        let mut child = command.spawn().context("a fresh instance cannot be started")?;
        let id = child.id().context("the fresh instance ended at once")?;
        let Ok(public) = timeout(MAX_START, listening(&mut child)).await else {
            bail!("the fresh instance does not listen after {MAX_START:?}");
        };
        let Some(public) = public? else {
            let log = std::fs::read_to_string(folder.path().join(LOG)).unwrap_or_default();
            bail!("the fresh instance ended at its start: {}", log.trim_end());
        };
        Ok(Self {
            child,
            id,
            folder,
            public,
        })
    }

    pub(super) const fn public(&self) -> &Address {
        &self.public
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.path().join("data").join("cambist.db")
    }

    /// What the process has in memory.
    pub(super) fn memory(&self) -> anyhow::Result<Memory> {
        machine::memory(self.id)
    }

    /// The processor time it has used so far, of all processors together.
    pub(super) fn processor_time(&self) -> anyhow::Result<Duration> {
        machine::processor_time(self.id)
    }

    /// Asks it to stop, and waits until it has.
    pub(super) async fn stop(mut self) -> anyhow::Result<Remains> {
        let id = i32::try_from(self.id)
            .ok()
            .and_then(Pid::from_raw)
            .context("no process id")?;
        kill_process(id, Signal::TERM).context("the instance cannot be stopped")?;
        let status = timeout(MAX_STOP, self.child.wait())
            .await
            .context("the instance does not stop")??;
        if !status.success() {
            let log = std::fs::read_to_string(self.folder.path().join(LOG)).unwrap_or_default();
            bail!(
                "the instance ended with {status}: {}",
                log.lines().last().unwrap_or_default()
            );
        }
        let path = self.database();
        Ok(Remains {
            folder: self.folder,
            path,
        })
    }
}

/// The public address, from what it prints; none if it ends before.
async fn listening(child: &mut Child) -> anyhow::Result<Option<Address>> {
    let mut lines = BufReader::new(child.stdout.take().context("its output is not there")?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(url) = line.trim().strip_prefix("public") {
            // The rest of what it prints has to go somewhere.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Address::parse(url.trim()).map(Some);
        }
    }
    Ok(None)
}

/// A folder for temporary files whose file system keeps what it is told to: memory has no fsync worth measuring.
fn on_disk() -> anyhow::Result<PathBuf> {
    let folders = [
        std::env::temp_dir(),
        PathBuf::from("/var/tmp"),
        std::env::current_dir()?,
    ];
    let durable = |folder: &PathBuf| {
        statfs(folder).is_ok_and(|fs| u64::try_from(fs.f_type).is_ok_and(|kind| !IN_MEMORY.contains(&kind)))
    };
    folders
        .into_iter()
        .find(durable)
        .context("no folder for temporary files is on a disk; set TMPDIR to one that is")
}
