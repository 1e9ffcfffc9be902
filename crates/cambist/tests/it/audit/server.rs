//! The same checks on a database that processes share: what is found in a file is found there, in one moment of all schemas,
//! by whoever may read them and by nobody else.

use std::cell::Cell;

use cambist::audit::audit_server;
use cambist::system::postgres_migrations;
use jiff::Timestamp;
use test_kit::system::Scene;
use test_kit::waiting::PATIENCE;
use test_servers::postgres::TestDatabase;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use super::operator::{assert_is_shown, trouble};
use super::*;

const SERVICES: [&str; 5] = ["balance", "wallet", "exchanger", "bc_gateway", "notification"];

/// A system whose books are on a server.
async fn system_on(database: &TestDatabase) -> TestSystem {
    Scene::default().with("database_url", &database.url()).start().await
}

async fn audited(url: &str) -> Report {
    let report = audit_server(url, PATIENCE, |_| {}).await;
    report.unwrap_or_else(|error| panic!("{error}"))
}

/// Somebody with the server's password, whom nothing holds back, and who can bring back what was there.
struct Tamperer {
    client: Client,
}

impl Tamperer {
    async fn at(database: &TestDatabase) -> Self {
        let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let ours = "IN ('balance', 'wallet', 'exchanger', 'bc_gateway', 'notification', 'cambist')";
        // Whoever tampers does not stop at what keeps honest programs from mistakes.
        let begin = format!(
            "SET session_replication_role = replica; CREATE SCHEMA sound;
             DO $$ DECLARE one record; BEGIN
                 FOR one IN SELECT conrelid::regclass AS place, conname FROM pg_constraint
                     WHERE contype = 'c' AND connamespace::regnamespace::text {ours} LOOP
                     EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.place, one.conname);
                 END LOOP;
                 FOR one IN SELECT * FROM pg_tables WHERE schemaname {ours} LOOP
                     EXECUTE format('CREATE TABLE sound.%I AS TABLE %I.%I', one.schemaname || one.tablename,
                         one.schemaname, one.tablename);
                 END LOOP;
             END $$;
             CREATE PROCEDURE sound.again() LANGUAGE plpgsql AS $$ DECLARE one record; BEGIN
                 FOR one IN SELECT * FROM pg_tables WHERE schemaname {ours} LOOP
                     EXECUTE format('DELETE FROM %I.%I', one.schemaname, one.tablename);
                     EXECUTE format('INSERT INTO %I.%I OVERRIDING SYSTEM VALUE TABLE sound.%I', one.schemaname,
                         one.tablename, one.schemaname || one.tablename);
                 END LOOP;
             END $$;"
        );
        client.batch_execute(&begin).await.unwrap();
        Self { client }
    }

    async fn damage(&self, damage: &Damage) {
        let done = self.client.simple_query(&on_postgres(&damage.sql)).await;
        let done = done.unwrap_or_else(|error| panic!("{}: {:?}", damage.what, error.as_db_error()));
        let rows = |message: &SimpleQueryMessage| {
            if let SimpleQueryMessage::CommandComplete(rows) = message {
                *rows
            } else {
                0
            }
        };
        assert!(
            done.iter().map(rows).sum::<u64>() > 0,
            "{}: nothing was damaged",
            damage.what
        );
    }

    async fn make_good(&self) {
        self.client.batch_execute("CALL sound.again()").await.unwrap();
    }
}

/// A damage's statements as the other database understands them: schemas in place of prefixes, numbers in place of bytes.
fn on_postgres(sql: &str) -> String {
    let mut sql = sql.replace("schema_migrations", "cambist.schema_migrations");
    for service in SERVICES {
        for table in [
            "accounts",
            "adjustments",
            "commands",
            "dead_letters",
            "deposits",
            "order_events",
            "orders",
            "refusals",
            "transfers",
            "wallets",
        ] {
            sql = sql.replace(&format!("{service}_{table}"), &format!("{service}.{table}"));
        }
    }
    let mut parts = sql.split("x'");
    let mut translated = parts.next().unwrap().to_owned();
    for part in parts {
        let amount = part.split_once('\'').filter(|(bytes, _)| bytes.len() == 32);
        translated += &amount.map_or_else(
            || format!("x'{part}"),
            |(bytes, rest)| {
                let units = u128::from_str_radix(bytes, 16).unwrap() ^ (1 << 127);
                format!("{}{rest}", units.cast_signed())
            },
        );
    }
    translated
}

#[tokio::test]
async fn whatever_is_tampered_with_on_a_server_is_found_and_named() {
    let database = TestDatabase::create();
    let system = system_on(&database).await;
    a_day(&system).await;
    system.stop().await;
    let sound = audited(&database.url()).await;
    assert!(sound.is_clean(), "{sound}");
    let tamperer = Tamperer::at(&database).await;
    for damage in damages() {
        tamperer.damage(&damage).await;
        assert_found(&damage, &audited(&database.url()).await);
        tamperer.make_good().await;
    }
    for damage in unreadable() {
        tamperer.damage(&damage).await;
        let unread = audit_server(&database.url(), PATIENCE, |_| {}).await;
        let said = unread.unwrap_err().to_string();
        let as_expected = |(_, what): &(&str, &str)| said.contains(what);
        assert!(damage.expected.iter().all(as_expected), "{}: {said}", damage.what);
        assert_eq!(said.lines().count(), 1, "{said}");
        tamperer.make_good().await;
    }
    tamperer.damage(&two_thousand()).await;
    assert_listed_up_to_a_limit(&audited(&database.url()).await);
    tamperer.make_good().await;
    tamperer.damage(&trouble()).await;
    assert_is_shown(&audited(&database.url()).await);
    tamperer.make_good().await;
    assert_eq!(audited(&database.url()).await, sound);
}

#[tokio::test]
async fn an_audit_beside_a_system_at_work_sees_one_moment() {
    let database = TestDatabase::create();
    let system = system_on(&database).await;
    let user = system.api.given_a_user_with("ada", "100000").await;
    let looked = Cell::new(0);
    let trading = async {
        let mut traded = 0;
        while looked.get() < 5 {
            let orders = (0..10).map(|_| async { user.order_at_its_end(placed(&user.buy("10", None).await)).await });
            traded += futures::future::join_all(orders).await.len();
        }
        traded
    };
    let auditing = async {
        while looked.get() < 5 {
            let report = audited(&database.url()).await;
            assert!(report.is_clean(), "{report}");
            looked.set(looked.get() + 1);
        }
    };
    let (traded, ()) = futures::join!(trading, auditing);
    system.stop().await;
    let report = audited(&database.url()).await;
    assert!(report.is_clean(), "{report}");
    assert_eq!(usize::try_from(report.orders.total()), Ok(traded));
}

#[tokio::test]
async fn the_program_audits_a_server_and_says_in_one_line_what_keeps_it_from_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = TestDatabase::create();
    let at = |url: &str| {
        let program = Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path());
        let program = program.with("CAMBIST_DATABASE_URL", url);
        program.with("CAMBIST_START_PATIENCE", "0s")
    };
    let refused = async |url: &str, expected: &str| {
        let (code, out, err) = at(url).run(&["audit"]).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(err.contains(expected), "{err}");
    };
    refused(&database.url(), "run `cambist migrate`").await;
    let services = postgres_migrations();
    storage::postgres::migrate(&database.url(), &services[..2], Timestamp::now())
        .await
        .unwrap();
    refused(&database.url(), "run `cambist migrate`").await;
    storage::postgres::migrate(&database.url(), &services, Timestamp::now())
        .await
        .unwrap();

    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let name = database.name();
    let login = format!("CREATE ROLE {name}_login LOGIN PASSWORD 'secret'");
    client.batch_execute(&login).await.unwrap();
    let url = database.url().replace("cambist@", &format!("{name}_login:secret@"));
    let grant = format!(r#"GRANT "{name}_audit" TO "{name}_login""#);
    refused(&url, &grant).await;
    client.batch_execute(&grant).await.unwrap();
    let (code, out, err) = at(&url).run(&["audit"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("✓ the books balance"), "{out}");
    let money = "INSERT INTO balance.accounts (owner, asset, balance) VALUES ('treasury', 'USD', 5)";
    client.batch_execute(money).await.unwrap();
    let (code, out, _) = at(&url).run(&["audit", "--json"]).await;
    assert_eq!(code, Some(1), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["clean"], false);

    let nowhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nowhere.local_addr().unwrap().port();
    drop(nowhere);
    refused(
        &format!("postgres://ann:secret@127.0.0.1:{port}/cambist"),
        "cannot be reached",
    )
    .await;
}
