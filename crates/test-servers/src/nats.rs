//! NATS with JetStream for tests: ready in some 40 ms, so each test has its own, to be killed, wiped or stopped at will.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What keeps the server: a shell that obeys its standard input and takes everything down when that ends, which the
/// operating system sees to when the process at its other end is gone, by SIGKILL as well.
const KEEPER: &str = r#"
trap : INT TERM HUP
# Debian keeps it where only root looks.
PATH=$PATH:/usr/sbin
folder=${FOLDER:-$(mktemp -d "${TMPDIR:-/tmp}/cambist-nats-XXXXXX")} && mkdir -p "$folder" || exit 1
log=$folder/log
port=-1
tries=0
start() {
    : >"$log"
    nats-server -a 127.0.0.1 -p "$port" -js -sd "$folder/store" "$@" >>"$log" 2>&1 </dev/null &
    server=$!
    until grep -q 'Server is ready' "$log"; do
        if ! kill -0 "$server" 2>/dev/null; then
            # While it was down its port was free for the server of another test, which ends as well.
            if [ "$tries" -lt 300 ] && grep -q 'address already in use' "$log"; then
                tries=$((tries + 1)); sleep 0.1; start "$@"; return
            fi
            cat "$log"; echo failed; return
        fi
        sleep 0.005
    done
    tries=0
    port=$(sed -n 's/.*client connections on 127\.0\.0\.1:\([0-9]*\).*/\1/p' "$log")
    echo "ready $port"
}
end() {
    kill -KILL "$server" 2>/dev/null
    wait "$server" 2>/dev/null
}
start "$@"
while read -r word; do
    case $word in
        kill) end; echo ready ;;
        wipe) rm -rf "$folder/store"; echo ready ;;
        freeze)
            kill -STOP "$server"
            until grep -q '^State:.T' "/proc/$server/status"; do sleep 0.001; done
            echo ready ;;
        thaw) kill -CONT "$server"; echo ready ;;
        start) start "$@" ;;
    esac
done
end
[ -n "$FOLDER" ] || rm -rf "$folder"
"#;

/// A server of a test's own. Gone, with all it holds, when this is dropped or the process ends.
#[derive(Debug)]
pub struct Nats {
    port: u16,
    keeper: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Nats {
    /// Starts a server with an empty store.
    ///
    /// # Panics
    /// When it is not installed or does not start: a test that needs it fails, and is never skipped.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with these flags of `nats-server` besides.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    #[must_use]
    pub fn start_with(flags: &[&str]) -> Self {
        Self::start_where(flags, None)
    }

    /// Starts a server whose store is in `folder` and stays there.
    ///
    /// # Panics
    /// When it is not installed or does not start.
    #[must_use]
    pub fn start_in(folder: &Path) -> Self {
        Self::start_where(&[], Some(folder))
    }

    fn start_where(flags: &[&str], folder: Option<&Path>) -> Self {
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "sh"])
            .args(flags)
            .env("FOLDER", folder.unwrap_or(Path::new("")))
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // Not in the group that a terminal's Ctrl-C or a test runner's kill reaches: it is to survive us for a moment.
            .process_group(0)
            .spawn()
            .expect("a shell can be started");
        let (orders, answers) = (keeper.stdin.take(), keeper.stdout.take().expect("piped"));
        let mut server = Self {
            port: 0,
            keeper,
            orders,
            answers: BufReader::new(answers),
        };
        match server.hear() {
            Ok(()) => server,
            Err(said) => panic!("NATS did not start; `cargo xtask test --only tools` installs it:\n{said}"),
        }
    }

    /// Where it is. The same for as long as this lives.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Its host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// SIGKILL: it is gone when this returns. Its store stays.
    ///
    /// # Panics
    /// When its keeper is gone, as for all that follow.
    pub fn kill(&mut self) {
        self.order("kill");
    }

    /// Removes the store, with every stream and consumer. For a server that is killed.
    pub fn wipe(&mut self) {
        self.order("wipe");
    }

    /// Starts it again where it was, with what is in its store, after [`Nats::kill`].
    pub fn start_again(&mut self) {
        self.order("start");
    }

    /// SIGSTOP: connections stay and nothing is answered.
    pub fn freeze(&mut self) {
        self.order("freeze");
    }

    /// SIGCONT: it goes on where it was stopped.
    pub fn thaw(&mut self) {
        self.order("thaw");
    }

    fn order(&mut self, word: &str) {
        let orders = self.orders.as_mut().expect("there until it is dropped");
        writeln!(orders, "{word}").expect("the keeper of NATS listens");
        if let Err(said) = self.hear() {
            panic!("NATS did not {word}:\n{said}");
        }
    }

    /// Waits until the keeper has done what it was told; what it said instead, otherwise.
    fn hear(&mut self) -> Result<(), String> {
        let mut said = String::new();
        loop {
            let start = said.len();
            match self.answers.read_line(&mut said) {
                Ok(0) | Err(_) => return Err(said),
                Ok(_) => {
                    let mut words = said[start..].split_whitespace();
                    match words.next() {
                        Some("ready") => {
                            self.port = words.next().map_or(Ok(self.port), str::parse).expect("a port");
                            return Ok(());
                        }
                        Some("failed") => return Err(said),
                        Some(_) | None => {}
                    }
                }
            }
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.keeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::net::TcpStream;

    use super::*;

    /// Whether a server greets there.
    fn greets(address: &str) -> bool {
        TcpStream::connect(address).is_ok_and(|stream| {
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line).is_ok() && line.starts_with("INFO ")
        })
    }

    #[test]
    fn a_server_comes_up_where_it_was_and_goes_with_its_owner() {
        let mut server = Nats::start();
        let address = server.address();
        assert!(greets(&address));
        server.kill();
        assert!(!greets(&address));
        server.wipe();
        server.start_again();
        assert!(greets(&address));
        server.freeze();
        server.thaw();
        assert!(greets(&address));
        server.freeze();
        drop(server);
        assert!(!greets(&address));
    }

    #[test]
    fn a_server_waits_for_its_port_while_another_has_it() {
        let mut server = Nats::start();
        let address = server.address();
        server.kill();
        let other = std::net::TcpListener::bind(&address).unwrap();
        let end = std::thread::spawn(move || {
            // sleep: nobody tells that a start has failed that is tried again
            std::thread::sleep(std::time::Duration::from_millis(300));
            drop(other);
        });
        server.start_again();
        assert!(server.address() == address && greets(&address));
        end.join().unwrap();
    }

    /// Says to this test that it is the child, which holds a server until it is killed.
    const CHILD: &str = "TEST_SERVERS_HOLD_NATS";

    #[test]
    fn a_server_ends_when_its_owner_is_killed() {
        if env::var_os(CHILD).is_some() {
            let server = Nats::start();
            println!("\nserver at {}", server.address());
            std::thread::park();
        }
        let this_test = "nats::tests::a_server_ends_when_its_owner_is_killed";
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", this_test, "--nocapture"])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok);
        let address = lines.find_map(|line| line.strip_prefix("server at ").map(str::to_owned));
        let address = address.unwrap();
        assert!(greets(&address));
        child.kill().unwrap();
        child.wait().unwrap();
        // Nothing tells when somebody else's child has ended but that it no longer answers.
        assert!((0..100_000).any(|_| !greets(&address)), "it outlives its owner");
    }
}
