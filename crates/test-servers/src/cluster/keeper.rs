//! Who ends the processes when nobody else can any more.
//!
//! A process is handed over to the keeper before it does anything: it begins as a shell that waits for a word, becomes the
//! program when the keeper knows of it, and ends when the word does not come. So there is no moment in which we can be killed
//! and leave one behind.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// A shell that obeys its standard input and takes everything down when that ends, which the operating system sees to when
/// the process at its other end is gone, by SIGKILL as well.
const KEEPER: &str = r#"
trap : INT TERM HUP
folder=$FOLDER
if [ -z "$folder" ]; then
    folder=$(mktemp -d "${TMPDIR:-/tmp}/cambist-cluster-XXXXXX") || exit 1
fi
echo "$folder"
kept=
while read -r word process; do
    rest=
    for one in $kept; do [ "$one" = "$process" ] || rest="$rest $one"; done
    kept=$rest
    [ "$word" != keep ] || kept="$kept $process"
done
[ -z "$kept" ] || kill -KILL $kept 2>/dev/null
[ -n "$FOLDER" ] && exit
# Whoever was killed right now may still be making a file.
for try in 1 2 3 4 5; do rm -rf "$folder" 2>/dev/null && break; sleep 0.1; done
"#;

/// The keeper of a cluster's processes and of its folder.
pub(super) struct Keeper {
    shell: Child,
    orders: Mutex<Option<ChildStdin>>,
    folder: PathBuf,
}

impl Keeper {
    /// Starts it, with a temporary folder where none is given.
    pub(super) fn start(folder: Option<&Path>) -> Result<Self, String> {
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        let folder = folder.map(std::path::absolute).transpose();
        let folder = folder.map_err(|error| error.to_string())?.unwrap_or_default();
        let mut shell = Command::new("sh")
            .args(["-c", KEEPER])
            .env("FOLDER", &folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Not in the group that a terminal's Ctrl-C or a test runner's kill reaches: it is to survive us for a moment.
            .process_group(0)
            .spawn()
            .map_err(|error| format!("a shell cannot be started: {error}"))?;
        let mut line = String::new();
        let said = BufReader::new(shell.stdout.take().expect("piped")).read_line(&mut line);
        let folder = PathBuf::from(line.trim_end());
        if said.is_err() || !folder.is_absolute() {
            return Err("no folder can be made for the cluster".to_owned());
        }
        Ok(Self {
            orders: Mutex::new(shell.stdin.take()),
            shell,
            folder,
        })
    }

    /// Where everything is.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends this process when we end.
    pub(super) fn keep(&self, process: u32) -> Result<(), String> {
        self.say(&format!("keep {process}"))
    }

    /// The process has ended, or is about to be reaped: its number may soon be another's.
    pub(super) fn forget(&self, process: u32) {
        // A keeper that is gone has nothing left to end.
        let _ = self.say(&format!("forget {process}"));
    }

    fn say(&self, order: &str) -> Result<(), String> {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let orders = orders.as_mut().ok_or("the cluster has ended")?;
        writeln!(orders, "{order}").map_err(|error| format!("the cluster's keeper is gone: {error}"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        *self.orders.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let _ = self.shell.wait();
    }
}
