//! A real mail server as a child process (`server.py`), for the tests of this crate and of the whole program.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// Nothing that a test waits for takes so long, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running mail server; killed when dropped.
pub(crate) struct MailServer {
    pub(crate) port: u16,
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

/// A mail that the server took.
pub(crate) struct Taken {
    pub(crate) sender: String,
    pub(crate) receivers: Vec<String>,
    /// The message as it came, headers and body.
    pub(crate) data: String,
    /// The number of the connection it came by.
    pub(crate) session: u64,
}

impl MailServer {
    /// Starts a server that is told this (see `server.py`), and waits until it listens.
    pub(crate) async fn start(told: Value) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let python = root.join("target/tools/venv/bin/python");
        assert!(
            python.exists(),
            "this test needs aiosmtpd in {}: run `cargo xtask test`, which installs it, or `python3 -m venv \
             target/tools/venv && target/tools/venv/bin/pip install aiosmtpd`",
            python.display()
        );
        let mut child = Command::new(python)
            .arg(root.join("crates/notification/tests/it/server/server.py"))
            .arg(told.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self { port: 0, child, lines };
        server.port = u16::try_from(server.line().await["port"].as_u64().unwrap()).unwrap();
        server
    }

    /// One that takes whatever comes.
    pub(crate) async fn plain() -> Self {
        Self::start(json!({})).await
    }

    /// The next mail that it took; waits for it.
    pub(crate) async fn taken(&mut self) -> Taken {
        Taken::from(&self.line().await)
    }

    /// Ends it, and says which mails it took that nobody has asked for yet.
    pub(crate) async fn end(mut self) -> Vec<Taken> {
        drop(self.child.stdin.take());
        let mut rest = Vec::new();
        while let Some(line) = timeout(PATIENCE, self.lines.next_line()).await.unwrap().unwrap() {
            rest.push(Taken::from(&serde_json::from_str(&line).unwrap()));
        }
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap();
        rest
    }

    async fn line(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("the mail server says something in time").unwrap();
        serde_json::from_str(&line.expect("the mail server runs")).unwrap()
    }
}

impl From<&Value> for Taken {
    fn from(line: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            sender: text(&line["from"]),
            receivers: line["to"].as_array().unwrap().iter().map(text).collect(),
            data: text(&line["data"]),
            session: line["session"].as_u64().unwrap(),
        }
    }
}

impl Taken {
    /// A header's text, unfolded.
    pub(crate) fn header(&self, name: &str) -> String {
        let (head, _) = self.data.split_once("\r\n\r\n").unwrap();
        let head = head.replace("\r\n ", " ");
        let header = head
            .split("\r\n")
            .find_map(|line| line.strip_prefix(&format!("{name}: ")));
        header.unwrap_or_else(|| panic!("no {name}: {head}")).to_owned()
    }
}
