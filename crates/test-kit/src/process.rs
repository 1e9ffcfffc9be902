//! The real program as a child process, on ports and in a folder of its own; to be killed at will.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::api::Api;

/// How long a start may take, recovery included.
const START: Duration = Duration::from_secs(30);

/// How a process is started.
#[derive(Debug, Clone)]
pub struct Program {
    /// The binary.
    pub path: PathBuf,
    /// Its working directory, in which `data` lies.
    pub folder: PathBuf,
    /// Settings, by the names of their environment variables.
    pub environment: Vec<(String, String)>,
    /// Flags of `up`.
    pub flags: Vec<String>,
}

impl Program {
    /// The program at `path` in `folder`, with the settings that keep tests apart from each other.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, folder: impl Into<PathBuf>) -> Self {
        let environment = [
            ("CAMBIST_LISTEN", "127.0.0.1:0"),
            ("CAMBIST_INTERNAL_LISTEN", "127.0.0.1:0"),
            ("CAMBIST_REQUESTS_PER_MINUTE", "0"),
            ("CAMBIST_LOG", "warn"),
        ];
        Self {
            path: path.into(),
            folder: folder.into(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            flags: Vec::new(),
        }
    }

    /// The same with these flags whenever it is told to come up.
    #[must_use]
    pub fn with_flags<'a>(mut self, flags: impl IntoIterator<Item = &'a str>) -> Self {
        self.flags.extend(flags.into_iter().map(str::to_owned));
        self
    }

    /// The same with one setting more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The program with these arguments, not yet started, hearing nothing of this process's own settings.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        let ours = std::env::vars_os().filter(|(name, _)| !name.to_string_lossy().starts_with("CAMBIST_"));
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(ours)
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Starts `cambist up` and waits until it listens.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn up(&self) -> Running {
        self.start().listening().await
    }

    /// Starts `cambist up` and waits for nothing.
    ///
    /// # Panics
    /// When there is no such program.
    #[must_use]
    pub fn start(&self) -> Starting {
        let log = OpenOptions::new().create(true).append(true).open(self.log_file());
        let child = self
            .command(&["up"])
            .args(&self.flags)
            .stdout(Stdio::piped())
            .stderr(log.expect("a file for the log can be made"))
            .spawn()
            .expect("the program can be started");
        Starting {
            child,
            program: self.clone(),
        }
    }

    /// What every `up` in this folder has logged so far.
    ///
    /// # Panics
    /// When the log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        match std::fs::read(self.log_file()) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => panic!("the log: {error}"),
        }
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("cambist.log")
    }

    /// Runs a command to its end: (exit code, standard output, standard error).
    ///
    /// # Panics
    /// When it cannot be run.
    pub async fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = self.command(arguments).output().await.expect("the program can be run");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it prints UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

fn address_in(line: &str) -> Option<String> {
    let address = line
        .split_whitespace()
        .find(|word| word.starts_with("http://127.0.0.1:"))?;
    // A line of curl names a path; the two lines that tell the addresses do not.
    (!address["http://".len()..].contains('/')).then(|| address.to_owned())
}

/// A `cambist up` that may not listen yet. Killed when dropped.
#[derive(Debug)]
pub struct Starting {
    child: Child,
    program: Program,
}

impl Starting {
    /// Waits until it listens.
    ///
    /// # Panics
    /// When it ends before that, or takes too long.
    pub async fn listening(mut self) -> Running {
        let mut lines = BufReader::new(self.child.stdout.take().expect("piped")).lines();
        let mut addresses = Vec::new();
        let listening = timeout(START, async {
            while addresses.len() < 2 {
                let line = lines.next_line().await.expect("its output can be read");
                let line = line.unwrap_or_else(|| panic!("it ended at its start:\n{}", self.program.log()));
                addresses.extend(address_in(&line));
            }
        });
        if listening.await.is_err() {
            panic!("it does not listen after {START:?}:\n{}", self.program.log());
        }
        let [public, internal] = [addresses[0].clone(), addresses[1].clone()];
        // The rest of what it prints has to go somewhere.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Running {
            child: self.child,
            api: Api::new(public),
            internal,
            folder: self.program.folder,
        }
    }

    /// SIGKILL, wherever it is.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a child can be killed");
    }
}

/// A running `cambist up`. Killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Its public API.
    pub api: Api,
    /// Its internal address.
    pub internal: String,
    folder: PathBuf,
}

impl Running {
    /// SIGKILL: the process is gone between two instructions.
    ///
    /// # Panics
    /// When the operating system refuses.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("a child can be killed");
    }

    /// SIGTERM: it is asked to stop.
    ///
    /// # Panics
    /// When the signal cannot be sent.
    pub async fn ask_to_stop(&self) {
        let id = self.child.id().expect("it runs").to_string();
        let sent = Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .await
            .expect("kill(1) exists");
        assert!(sent.success());
    }

    /// SIGTERM, and its exit code.
    ///
    /// # Panics
    /// When the signal cannot be sent or the process does not end within half a minute.
    pub async fn terminate(mut self) -> Option<i32> {
        self.ask_to_stop().await;
        timeout(START, self.child.wait())
            .await
            .expect("it ends in time")
            .expect("it can be waited for")
            .code()
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The token of its internal side.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn internal_token(&self) -> String {
        read_trimmed(&self.data().join("internal_token"))
    }
}

fn read_trimmed(path: &Path) -> String {
    std::fs::read_to_string(path)
        .expect("the file exists")
        .trim()
        .to_owned()
}
