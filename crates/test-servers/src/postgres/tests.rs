//! The life of a server and of a database on it.

use super::*;

fn answers(server: &str) -> bool {
    administer(server, &["SELECT 1".to_owned()]).is_ok()
}

#[test]
fn a_server_comes_up_and_goes_again_with_its_owner() {
    let mut server = Postgres::start().unwrap();
    let url = server.url();
    assert!(answers(&url));
    server.restart();
    assert!(answers(&url));
    server.stop();
    assert!(!answers(&url));
    server.start_again();
    assert!(answers(&url));
    drop(server);
    assert!(!answers(&url));
}

/// Says to this test that it is the child, which holds a server until it is killed.
const CHILD: &str = "TEST_SERVERS_HOLD_ONE";

#[test]
fn a_server_ends_when_its_owner_is_killed() {
    if env::var_os(CHILD).is_some() {
        let server = Postgres::start().unwrap();
        println!("\nserver at {}", server.url());
        std::thread::park();
    }
    let this_test = "postgres::tests::a_server_ends_when_its_owner_is_killed";
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", this_test, "--nocapture"])
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let url = lines.find_map(|line| line.strip_prefix("server at ").map(str::to_owned));
    let url = url.unwrap();
    assert!(answers(&url));
    child.kill().unwrap();
    child.wait().unwrap();
    // Nothing tells when somebody else's child has ended but that it no longer answers.
    assert!((0..1_000).any(|_| !answers(&url)), "it outlives its owner");
}

#[test]
fn each_test_has_a_database_of_its_own() {
    let [one, other] = [TestDatabase::create(), TestDatabase::create()];
    assert_ne!(one.url(), other.url());
    let exists = |name: &str| {
        let twice = format!("CREATE DATABASE {name}");
        administer(&one.server, &[twice]).is_err_and(|why| why.contains("already exists"))
    };
    assert!(exists(one.name()) && exists(other.name()));
}

#[test]
fn a_database_goes_with_its_test_and_so_do_its_roles() {
    let database = TestDatabase::create();
    let (server, name) = (database.server.clone(), database.name().to_owned());
    let role = format!("CREATE ROLE {name}_exchanger");
    assert_eq!(administer(&server, std::slice::from_ref(&role)), Ok(()));
    drop(database);
    let again = [
        format!("CREATE DATABASE {name}"),
        format!("DROP DATABASE {name}"),
        role,
        format!("DROP ROLE {name}_exchanger"),
    ];
    assert_eq!(administer(&server, &again), Ok(()));
}
