//! Cambist as real processes of the built program: `cambist up`, or the ten processes on PostgreSQL and NATS with a
//! `cambist simulate` as the world outside. For tests that break it, and for a developer who wants to see it run.
//!
//! What it keeps true:
//!
//! - each process has an environment of its own, with only what it needs: a login to its service's tables, the addresses of
//!   those whom it calls, one token to show and those it lets in;
//! - a process comes up again where it was: its port is one that the system gives to nobody else;
//! - everything ends with the process that started it, by SIGKILL as well, and leaves no folder behind that it was not given.

mod child;
mod database;
mod environment;
mod keeper;
mod nodes;
mod ports;
mod probe;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::Signal;

use self::child::Child;
use self::database::Database;
pub use self::environment::{OPERATOR, OPERATOR_TOKEN, token_of};
use self::keeper::Keeper;
pub use self::nodes::{Kind, Node, Service};
use self::ports::Ports;
use crate::nats::Nats;
use crate::postgres::Postgres;

/// Who hears what processes log: the process and a line.
pub type Hear = Arc<dyn Fn(Node, &str) + Send + Sync>;

/// How many lines of a log are shown to whoever wonders what went wrong.
const LAST_LINES: usize = 20;

/// Where the tables are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// In a file. For one process.
    File,
    /// In a database of its own on the server that tests share.
    Shared,
    /// On a server of its own, which may be restarted.
    Server,
}

/// What to start, and how.
#[derive(Clone)]
pub struct Setup {
    program: PathBuf,
    nodes: Vec<Node>,
    tables: Tables,
    settings: BTreeMap<String, String>,
    folder: Option<PathBuf>,
    hear: Option<Hear>,
}

impl Setup {
    /// The program at this path, as one process.
    #[must_use]
    pub fn one_process(program: impl Into<PathBuf>, tables: Tables) -> Self {
        Self {
            program: program.into(),
            nodes: vec![Node::UP],
            tables,
            settings: BTreeMap::new(),
            folder: None,
            hear: None,
        }
    }

    /// The program at this path, as ten processes on PostgreSQL and NATS, and one that simulates venue and chain.
    #[must_use]
    pub fn ten_processes(program: impl Into<PathBuf>, tables: Tables) -> Self {
        Self {
            nodes: Node::TEN.into_iter().chain([Node::SIMULATE]).collect(),
            ..Self::one_process(program, tables)
        }
    }

    /// With these processes as well.
    #[must_use]
    pub fn and(mut self, more: impl IntoIterator<Item = Node>) -> Self {
        self.nodes.extend(more);
        self
    }

    /// With this setting for every process, for example `venue_fee_bp`.
    #[must_use]
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        self.settings.insert(setting.to_owned(), value.to_owned());
        self
    }

    /// With everything in this folder, which stays, and which may have been one before. Otherwise in a temporary one.
    #[must_use]
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// With all that the processes log told to `hear`; otherwise it goes to a file each.
    #[must_use]
    pub fn heard_by(mut self, hear: Hear) -> Self {
        self.hear = Some(hear);
        self
    }
}

/// The processes, running. All of them end when this is dropped.
pub struct Cluster {
    setup: Setup,
    folder: PathBuf,
    ports: Ports,
    running: BTreeMap<Node, Child>,
    keeper: Keeper,
    nats: Option<Nats>,
    database: Database,
}

impl Cluster {
    /// Prepares the database and starts everything; comes back when all say that they are ready.
    ///
    /// # Errors
    /// What went wrong, with what the process in question wrote last.
    pub fn start(setup: Setup) -> Result<Self, String> {
        let keeper = Keeper::start(setup.folder.as_deref())?;
        let folder = keeper.folder().to_owned();
        let apart = !setup.nodes.contains(&Node::UP);
        // A folder that stays has servers that keep their data in it.
        let kept = setup.folder.is_some();
        let database = Database::start(setup.tables, kept.then_some(&folder))?;
        let nats = match (apart, kept) {
            (false, _) => None,
            (true, false) => Some(Nats::start()),
            (true, true) => Some(Nats::start_in(&folder.join("nats"))),
        };
        let mut cluster = Self {
            ports: Ports::choose(&setup.nodes)?,
            running: BTreeMap::new(),
            setup,
            folder,
            keeper,
            nats,
            database,
        };
        if apart {
            cluster.migrate()?;
        }
        let nodes = cluster.setup.nodes.clone();
        for node in nodes.iter().copied() {
            cluster.begin(node)?;
        }
        for node in nodes {
            cluster.until_ready(node)?;
        }
        Ok(cluster)
    }

    fn migrate(&self) -> Result<(), String> {
        let output = self.command(&["migrate"]).output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(format!("cambist migrate: {}", String::from_utf8_lossy(&output.stderr)));
        }
        self.database.let_in()
    }

    /// Starts a process and does not wait until it is ready: [`Cluster::until_ready`].
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn begin(&mut self, node: Node) -> Result<(), String> {
        assert!(!self.running.contains_key(&node), "{node} runs already");
        if !self.setup.nodes.contains(&node) {
            self.setup.nodes.push(node);
            self.ports.add(node)?;
        }
        let mut command = Command::new(&self.setup.program);
        command
            .args(node.arguments())
            .current_dir(self.home(node)?)
            .env_clear()
            .envs(self.environment(node));
        let child = Child::start(
            node,
            &command,
            &self.keeper,
            &self.log_file(node),
            self.setup.hear.clone(),
        )?;
        self.running.insert(node, child);
        Ok(())
    }

    /// Waits until a process that was begun says that it is ready.
    ///
    /// # Errors
    /// When it ends instead, or is not ready within half a minute.
    pub fn until_ready(&mut self, node: Node) -> Result<(), String> {
        let internal = self.ports.internal(node);
        let ready = match self.running.get_mut(&node) {
            Some(child) => child.until_it_listens().and_then(|()| probe::until_ready(internal)),
            None => Err("it was not started".to_owned()),
        };
        ready.map_err(|why| format!("{node}: {why}\n{}", last_lines(&self.log(node))))
    }

    /// Starts a process, where it was if it was there before, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not get there.
    pub fn start_again(&mut self, node: Node) {
        let started = self.begin(node).and_then(|()| self.until_ready(node));
        started.unwrap_or_else(|why| panic!("{why}"));
    }

    /// Sets a setting for whatever is started from now on.
    pub fn set(&mut self, setting: &str, value: &str) {
        self.setup.settings.insert(setting.to_owned(), value.to_owned());
    }

    /// The processes that there are, running or not.
    #[must_use]
    pub fn nodes(&self) -> Vec<Node> {
        self.setup.nodes.clone()
    }

    /// SIGKILL: the process is gone when this returns.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self, node: Node) {
        let child = self
            .running
            .remove(&node)
            .unwrap_or_else(|| panic!("{node} does not run"));
        child.end(Signal::KILL, &self.keeper);
    }

    /// SIGTERM; its exit code, when it has ended. `None`: a signal ended it, ours after half a minute.
    ///
    /// # Panics
    /// When it does not run.
    pub fn terminate(&mut self, node: Node) -> Option<i32> {
        let child = self
            .running
            .remove(&node)
            .unwrap_or_else(|| panic!("{node} does not run"));
        child.end(Signal::TERM, &self.keeper)
    }

    /// SIGSTOP: connections stay and nothing is answered. It stands still when this returns.
    ///
    /// # Panics
    /// When it does not run.
    pub fn freeze(&mut self, node: Node) {
        self.child(node).freeze();
    }

    /// SIGCONT: it goes on where it was stopped, and takes the time in between for a moment.
    ///
    /// # Panics
    /// When it does not run.
    pub fn thaw(&mut self, node: Node) {
        self.child(node).thaw();
    }

    fn child(&self, node: Node) -> &Child {
        self.running.get(&node).unwrap_or_else(|| panic!("{node} does not run"))
    }

    /// The NATS server.
    ///
    /// # Panics
    /// When there is only one process.
    pub fn nats(&mut self) -> &mut Nats {
        self.nats.as_mut().expect("only processes apart have queues")
    }

    /// The PostgreSQL server.
    ///
    /// # Panics
    /// When it is not [`Tables::Server`].
    pub fn postgres(&mut self) -> &mut Postgres {
        self.database.server().expect("a server of its own")
    }

    /// Where users find the public routes of `auth` or `wallet`.
    #[must_use]
    pub fn public(&self, service: Service) -> String {
        self.public_of(self.api(service))
    }

    /// Where users find those of a process.
    #[must_use]
    pub fn public_of(&self, node: Node) -> String {
        format!("http://{}", self.ports.public(node))
    }

    /// Where operators and other services find a service's routes.
    #[must_use]
    pub fn internal(&self, service: Service) -> String {
        let node = self.api(service);
        match node.kind {
            Kind::Up => format!("{}/{}", self.internal_of(node), service.name()),
            Kind::Serve(_) | Kind::Work(_) | Kind::Simulate => self.internal_of(node),
        }
    }

    /// Where the internal listener of a process is.
    #[must_use]
    pub fn internal_of(&self, node: Node) -> String {
        format!("http://{}", self.ports.internal(node))
    }

    fn api(&self, service: Service) -> Node {
        match self.setup.nodes.contains(&Node::UP) {
            true => Node::UP,
            false => Node::serve(service),
        }
    }

    /// The program with these arguments and an operator's settings, as a command that is not started: `audit`, `ops`.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.setup.program);
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env_clear()
            .envs(self.operators_environment())
            .stdin(Stdio::null());
        command
    }

    /// Where the tables are, for their owner; `None` when they are in a file.
    #[must_use]
    pub fn database_url(&self) -> Option<String> {
        self.database.url()
    }

    /// The folder where mails arrive.
    #[must_use]
    pub fn mail(&self) -> PathBuf {
        let writer = match self.setup.nodes.contains(&Node::UP) {
            true => Node::UP,
            false => Node::work(Service::Notification),
        };
        self.data(writer).join("mail")
    }

    /// What a process has logged so far, over all its lives.
    #[must_use]
    pub fn log(&self, node: Node) -> String {
        let bytes = fs::read(self.log_file(node)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Prints what each process complained of last, for whoever wonders why a test failed.
    #[allow(clippy::print_stderr, reason = "where a test that fails is explained")]
    fn show_complaints(&self) {
        for node in self.nodes() {
            let log = self.log(node);
            let grave = |line: &&str| line.contains("WARN") || line.contains("ERROR");
            let complaints: Vec<&str> = log.lines().filter(grave).collect();
            let last = complaints.len().saturating_sub(LAST_LINES);
            eprintln!(
                "{node} complained {} times, last:\n{}",
                complaints.len(),
                complaints[last..].join("\n")
            );
        }
    }

    fn log_file(&self, node: Node) -> PathBuf {
        self.folder.join(format!("{}.log", node.file_name()))
    }

    /// The working directory of a process. Nothing is in it that it was not told of.
    fn home(&self, node: Node) -> Result<PathBuf, String> {
        let home = self.folder.join(node.file_name());
        fs::create_dir_all(&home).map_err(|error| format!("{}: {error}", home.display()))?;
        Ok(home)
    }

    /// The data directory of a process. Those that send mails share one: it stands for the users' mail boxes.
    fn data(&self, node: Node) -> PathBuf {
        let owner = Node { replica: 1, ..node };
        self.folder.join(owner.file_name()).join("data")
    }

    /// The folder that all of it is in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.show_complaints();
        }
        for (_, child) in std::mem::take(&mut self.running) {
            child.end(Signal::KILL, &self.keeper);
        }
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
