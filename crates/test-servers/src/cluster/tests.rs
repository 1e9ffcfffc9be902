//! The life of a cluster's processes, on a stand-in for the program.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use super::*;

/// Listens where it is told to, says so, and is always ready; on SIGTERM it ends with 7.
const STAND_IN: &str = r#"#!/usr/bin/env python3
import http.server, os, signal, sys
if sys.argv[1] == "simulate" and os.environ.get("CAMBIST_VENUE_NAME") == "broken":
    sys.exit("no such venue")
class Ready(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()
        self.close_connection = True
    def log_message(self, *_):
        pass
host, port = os.environ["CAMBIST_INTERNAL_LISTEN"].split(":")
server = http.server.HTTPServer((host, int(port)), Ready)
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
print("data in", os.environ["CAMBIST_DATA_DIR"], file=sys.stderr, flush=True)
print("  internal    http://" + os.environ["CAMBIST_INTERNAL_LISTEN"], flush=True)
server.serve_forever()
"#;

fn stand_in(name: &str) -> PathBuf {
    let path = env::temp_dir().join(format!("cambist-stand-in-{}-{name}", std::process::id()));
    fs::write(&path, STAND_IN).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn one(program: &Path) -> Setup {
    Setup::one_process(program, Tables::File).and([Node::SIMULATE])
}

fn listens(address: &str) -> bool {
    let address: SocketAddr = address.trim_start_matches("http://").parse().unwrap();
    TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_ok()
}

#[test]
fn a_process_comes_up_again_where_it_was_and_all_of_it_goes_with_its_owner() {
    let program = stand_in("life");
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hear: Hear = {
        let heard = Arc::clone(&heard);
        Arc::new(move |node, line: &str| heard.lock().unwrap().push(format!("{node}: {line}")))
    };
    let mut cluster = Cluster::start(one(&program).heard_by(hear)).unwrap();
    let address = cluster.internal_of(Node::UP);
    assert!(listens(&address));
    cluster.kill(Node::UP);
    assert!(!listens(&address));
    cluster.start_again(Node::UP);
    assert!(listens(&address));
    cluster.freeze(Node::UP);
    cluster.thaw(Node::UP);
    assert_eq!(cluster.terminate(Node::UP), Some(7));
    assert!(!listens(&address));
    cluster.start_again(Node::UP.second());
    assert!(listens(&cluster.internal_of(Node::UP.second())));
    let told = heard.lock().unwrap().clone();
    assert!(told.iter().any(|line| line.starts_with("up: data in ")), "{told:?}");

    cluster.freeze(Node::SIMULATE);
    let (folder, simulators) = (cluster.folder().to_owned(), cluster.internal_of(Node::SIMULATE));
    assert!(folder.exists());
    drop(cluster);
    assert!(!listens(&simulators) && !folder.exists());
    fs::remove_file(program).unwrap();
}

#[test]
fn what_ends_at_its_start_is_named_with_what_it_wrote() {
    let program = stand_in("broken");
    let why = Cluster::start(one(&program).with("venue_name", "broken"))
        .err()
        .unwrap();
    assert!(
        why.contains("simulate: it ended at its start") && why.contains("no such venue"),
        "{why}"
    );
    fs::remove_file(program).unwrap();
}

#[test]
fn each_process_is_told_what_it_needs_and_no_secret_of_another() {
    let program = stand_in("told");
    let cluster = Cluster::start(one(&program)).unwrap();
    let mut apart = Setup::ten_processes(&program, Tables::File);
    apart.settings.insert("venue_fee_bp".to_owned(), "25".to_owned());
    let ports = Ports::choose(&apart.nodes).unwrap();
    let keeper = Keeper::start(None).unwrap();
    let apart = Cluster {
        folder: keeper.folder().to_owned(),
        keeper,
        ports,
        setup: apart,
        running: BTreeMap::new(),
        nats: None,
        database: Database::File,
    };
    for node in apart.nodes() {
        let told = apart.environment(node);
        let keys = matches!(node.kind, Kind::Simulate) || node.service() == Some(Service::BcGateway);
        assert_eq!(told.contains_key("CAMBIST_CHAIN_SEED"), keys, "{node}");
        let calls = node.service().is_some_and(|service| !service.calls().is_empty());
        assert_eq!(told.contains_key("CAMBIST_INTERNAL_TOKEN"), calls, "{node}");
        assert_eq!(told["CAMBIST_VENUE_FEE_BP"], "25");
    }
    let wallet = apart.environment(Node::serve(Service::Wallet));
    assert_eq!(
        wallet["CAMBIST_BALANCE_URL"],
        apart.internal_of(Node::serve(Service::Balance))
    );
    let balance = apart.environment(Node::serve(Service::Balance));
    let callers = &balance["CAMBIST_INTERNAL_TOKENS"];
    assert!(
        callers.contains("exchanger=") && !callers.contains("auth="),
        "{callers}"
    );
    drop(cluster);
    fs::remove_file(program).unwrap();
}

/// Says to this test that it is the child, which holds a cluster until it is killed.
const CHILD: &str = "TEST_SERVERS_HOLD_A_CLUSTER";

#[test]
fn a_cluster_ends_when_its_owner_is_killed() {
    if let Some(program) = env::var_os(CHILD) {
        let cluster = Cluster::start(one(Path::new(&program))).unwrap();
        println!("\nup at {}", cluster.internal_of(Node::UP));
        println!("folder {}", cluster.folder().display());
        std::thread::park();
    }
    let program = stand_in("owner");
    let this_test = "cluster::tests::a_cluster_ends_when_its_owner_is_killed";
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", this_test, "--nocapture"])
        .env(CHILD, &program)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let mut told = lines.filter_map(|line| {
        let (what, value) = line.split_once(' ')?;
        ["up", "folder"]
            .contains(&what)
            .then(|| value.trim_start_matches("at ").to_owned())
    });
    let (address, folder) = (told.next().unwrap(), PathBuf::from(told.next().unwrap()));
    assert!(listens(&address));
    child.kill().unwrap();
    child.wait().unwrap();
    // Nothing tells when somebody else's child has ended but that it no longer answers.
    assert!((0..100_000).any(|_| !listens(&address)), "it outlives its owner");
    assert!((0..100_000_000).any(|_| !folder.exists()), "its folder outlives it");
    fs::remove_file(program).unwrap();
}
