//! PostgreSQL for tests.
//!
//! `cargo xtask test` starts one server and tells the tests where by [`URL`]; without that, a test process starts its own.
//! Each test has a [`TestDatabase`] of its own.

#[cfg(test)]
mod tests;
mod way;

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub use self::way::Way;

/// The environment variable that names a server which tests may share.
pub const URL: &str = "CAMBIST_TEST_POSTGRES_URL";

/// Where Debian keeps the programs, a folder a version: they are not in `PATH`.
const VERSIONS: &str = "/usr/lib/postgresql";
/// The account that a server runs as when tests run as root: PostgreSQL refuses to run as root.
const ACCOUNT: &str = "postgres";
/// A port that was free may be taken by another before the server has it.
const STARTS: u32 = 5;

/// What keeps the server: a shell that obeys its standard input and takes everything down when that ends, which the
/// operating system sees to when the process at its other end is gone, by SIGKILL as well.
const KEEPER: &str = r#"
trap : INT TERM HUP
folder=${FOLDER:-$(mktemp -d "${TMPDIR:-/tmp}/cambist-postgres-XXXXXX")} && [ -n "$folder" ] || exit 1
log=$folder/log
server() {
    if pg_ctl -D "$folder/data" -l "$log" -w -t 60 "$@" >>"$log" 2>&1 </dev/null
    then echo ready
    else tail -n 20 "$log"; echo failed
    fi
}
if [ -s "$folder/data/PG_VERSION" ]; then
    : # It was here before.
elif initdb -D "$folder/data" -U cambist -A trust -E UTF8 --no-locale --no-sync >"$log" 2>&1 </dev/null; then
    echo "include = 'ours.conf'" >>"$folder/data/postgresql.conf"
else
    cat "$log"; echo failed; [ -n "$FOLDER" ] || rm -rf "$folder"; exit 1
fi
cat >"$folder/data/ours.conf" <<SETTINGS
port = $PORT
listen_addresses = '127.0.0.1'
unix_socket_directories = '$folder'
max_connections = 400
shared_buffers = 64MB
fsync = off
full_page_writes = off
SETTINGS
if [ -n "$CERTIFICATE" ]; then
    (umask 077; printf '%s' "$CERTIFICATE" >"$folder/data/server.crt"; printf '%s' "$KEY" >"$folder/data/server.key")
    echo 'ssl = on' >>"$folder/data/ours.conf"
    # Whoever does not come by TLS is refused.
    sed -i 's/^host /hostssl /' "$folder/data/pg_hba.conf"
fi
server start
while read -r word; do
    case $word in
        restart) server -m immediate restart ;;
        stop) server -m immediate stop ;;
        start) server start ;;
    esac
done
if [ -n "$FOLDER" ]; then
    pg_ctl -D "$folder/data" -w -m fast stop >/dev/null 2>&1
else
    pg_ctl -D "$folder/data" -w -m immediate stop >/dev/null 2>&1
    rm -rf "$folder"
fi
"#;

/// A server of this process's own. Gone, with all it holds, when this is dropped or the process ends.
#[derive(Debug)]
pub struct Postgres {
    port: u16,
    keeper: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Postgres {
    /// Starts a server whose commits survive the end of the server, and no power cut: for tests of logic, not for
    /// measuring.
    ///
    /// # Errors
    /// In words, what is missing or went wrong.
    pub fn start() -> Result<Self, String> {
        Self::start_secured("", "")
    }

    /// The same with its data in `folder`, where they stay when it ends; it goes on with what it finds there. Where tests
    /// run as root, PostgreSQL's own account has to be able to get there.
    ///
    /// # Errors
    /// In words, what is missing or went wrong.
    pub fn start_in(folder: &Path) -> Result<Self, String> {
        given_to_nobody_special(folder)?;
        Self::start_where("", "", Some(folder))
    }

    /// The same, reached by TLS only: with this certificate and its key, in PEM.
    ///
    /// # Errors
    /// In words, what is missing or went wrong.
    pub fn start_secured(certificate: &str, key: &str) -> Result<Self, String> {
        Self::start_where(certificate, key, None)
    }

    fn start_where(certificate: &str, key: &str, folder: Option<&Path>) -> Result<Self, String> {
        let mut failure = String::new();
        for _ in 0..STARTS {
            match Self::try_start(certificate, key, folder) {
                Ok(server) => return Ok(server),
                Err(Failed::Again(why)) => failure = why,
                Err(Failed::Finally(why)) => return Err(why),
            }
        }
        Err(format!("PostgreSQL did not start:\n{failure}"))
    }

    fn try_start(certificate: &str, key: &str, folder: Option<&Path>) -> Result<Self, Failed> {
        let bin = programs().ok_or_else(|| {
            Failed::Finally("PostgreSQL is not installed; run `cargo xtask test --only tools`".to_owned())
        })?;
        let port = free_port().map_err(|error| Failed::Finally(format!("no free port: {error}")))?;
        let path = env::var("PATH").unwrap_or_default();
        let mut keeper = as_nobody_special()
            .args(["sh", "-c", KEEPER])
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("PORT", port.to_string())
            .env("CERTIFICATE", certificate)
            .env("KEY", key)
            .env("FOLDER", folder.unwrap_or(Path::new("")))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Not in the group that a terminal's Ctrl-C or a test runner's kill reaches: it is to survive us for a moment.
            .process_group(0)
            .spawn()
            .map_err(|error| Failed::Finally(format!("the keeper of PostgreSQL does not run: {error}")))?;
        let (orders, answers) = (keeper.stdin.take(), keeper.stdout.take().expect("piped"));
        let mut server = Self {
            port,
            keeper,
            orders,
            answers: BufReader::new(answers),
        };
        server.hear().map_err(Failed::Again)?;
        Ok(server)
    }

    /// Where it is, without the name of a database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://cambist@127.0.0.1:{}", self.port)
    }

    /// Restarts it as a crash of the server would: connections break, nothing committed is lost.
    ///
    /// # Panics
    /// When it does not come up again.
    pub fn restart(&mut self) {
        self.order("restart");
    }

    /// Stops it as a crash of the server would.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&mut self) {
        self.order("stop");
    }

    /// Starts it where it was after [`Postgres::stop`].
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.order("start");
    }

    fn order(&mut self, word: &str) {
        let orders = self.orders.as_mut().expect("there until it is dropped");
        writeln!(orders, "{word}").expect("the keeper of PostgreSQL listens");
        if let Err(why) = self.hear() {
            panic!("PostgreSQL did not {word}:\n{why}");
        }
    }

    /// Waits until the keeper has done what it was told.
    fn hear(&mut self) -> Result<(), String> {
        let mut said = String::new();
        loop {
            let start = said.len();
            match self.answers.read_line(&mut said) {
                Ok(0) | Err(_) => return Err(said),
                Ok(_) => match said[start..].trim_end() {
                    "ready" => return Ok(()),
                    "failed" => return Err(said),
                    _ => {}
                },
            }
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.keeper.wait();
    }
}

enum Failed {
    Again(String),
    Finally(String),
}

/// The server that the tests of this process share: the one that [`URL`] names, or one that lives as long as this process.
///
/// # Panics
/// When PostgreSQL is not installed or does not start: a test that needs it fails, and is never skipped.
pub fn shared() -> String {
    static OURS: OnceLock<Postgres> = OnceLock::new();
    match env::var(URL) {
        Ok(url) if !url.is_empty() => url,
        _ => OURS
            .get_or_init(|| Postgres::start().unwrap_or_else(|why| panic!("{why}")))
            .url(),
    }
}

/// An empty database of a test's own. Gone when this is dropped.
#[derive(Debug)]
pub struct TestDatabase {
    server: String,
    name: String,
}

impl TestDatabase {
    /// One on the shared server.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn create() -> Self {
        Self::create_on(&shared())
    }

    /// One on this server.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn create_on(server: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let database = Self {
            server: server.to_owned(),
            name: format!("test_{}_{number}", std::process::id()),
        };
        let name = &database.name;
        // A killed process may have left one behind under the number of this one.
        let statements = [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name} TEMPLATE template0"),
        ];
        if let Err(why) = administer(server, &statements) {
            panic!("{statements:?}: {why}");
        }
        database
    }

    /// Where it is, for its owner.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// The server that it is on.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // The server may be down on purpose, or gone with its databases; then there is nothing to tidy.
        let name = &self.name;
        let database = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
        // Roles belong to the server; those of this database begin with its name.
        let roles = format!(
            "DO $$ DECLARE one text; BEGIN
                 FOR one IN SELECT rolname FROM pg_roles WHERE starts_with(rolname, '{name}_') LOOP
                     EXECUTE format('DROP ROLE IF EXISTS %I', one);
                 END LOOP;
             END $$"
        );
        let _ = administer(&self.server, &[database, roles]);
    }
}

/// Runs statements one by one on a server; answers with what it says against them.
pub(crate) fn administer(server: &str, statements: &[String]) -> Result<(), String> {
    let psql = programs().map_or_else(|| PathBuf::from("psql"), |bin| bin.join("psql"));
    let mut command = Command::new(psql);
    command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", &format!("{server}/postgres")]);
    for statement in statements {
        command.args(["-c", statement]);
    }
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("psql does not run: {error}"))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// The folder of the server's programs: the newest that Debian installed, else where `PATH` says.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let has_server = |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("pg_ctl").is_file();
    let versions = fs::read_dir(VERSIONS).into_iter().flatten().flatten();
    let mut installed: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, folder)| has_server(folder))
        .collect();
    installed.sort();
    let newest = installed.pop().map(|(_, folder)| folder);
    newest.or_else(|| env::split_paths(&env::var_os("PATH")?).find(has_server))
}

/// A command that runs another one as an ordinary account.
fn as_nobody_special() -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new("env");
    }
    let mut command = Command::new("setpriv");
    command.args([
        &format!("--reuid={ACCOUNT}"),
        &format!("--regid={ACCOUNT}"),
        "--init-groups",
        "--",
    ]);
    // A temporary folder of root's own is closed to that account.
    if env::var_os("TMPDIR").is_some_and(|folder| !is_open(Path::new(&folder))) {
        command.env_remove("TMPDIR");
    }
    command
}

/// Makes a folder that the account may fill which servers run as.
fn given_to_nobody_special(folder: &Path) -> Result<(), String> {
    let told = |error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(told)?;
    if rustix::process::geteuid().is_root() {
        let status = Command::new("chown").arg(format!("{ACCOUNT}:")).arg(folder).status();
        if !status.map_err(told)?.success() {
            return Err(told(std::io::Error::other(
                "it cannot be given to PostgreSQL's account",
            )));
        }
    }
    Ok(())
}

fn is_open(folder: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    let all = |path: &Path, wanted: u32| fs::metadata(path).is_ok_and(|it| it.permissions().mode() & wanted == wanted);
    all(folder, 0o003) && folder.ancestors().skip(1).all(|parent| all(parent, 0o001))
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
