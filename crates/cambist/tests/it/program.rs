//! The program itself: what it says and with which code it ends, as whoever operates it sees it.

use std::net::TcpListener;

use reqwest::Method;
use serde_json::Value;
use service_kit::settings::TABLE;
use tempfile::TempDir;
use test_kit::api::{Api, placed};
use test_kit::process::Program;

pub(crate) fn cambist(folder: &TempDir) -> Program {
    Program::new(env!("CARGO_BIN_EXE_cambist"), folder.path())
}

/// Runs a command that must fail with one clear line that holds these words.
#[track_caller]
pub(crate) fn assert_one_line(run: &(Option<i32>, String, String), words: &[&str]) {
    let (code, out, err) = run;
    assert_eq!((*code, out.as_str()), (Some(1), ""), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    assert!(err.starts_with("cambist: "), "{err}");
    assert!(words.iter().all(|word| err.contains(word)), "{err}");
}

#[tokio::test]
async fn config_shows_every_setting_where_it_comes_from_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = "queue_capacity = 99\nhold_wait = \"3s\"\nsweep_interval = \"2s\"\ninternal_token = \"file-secret\"\n";
    std::fs::write(folder.path().join("cambist.toml"), file).unwrap();
    std::fs::write(folder.path().join("seed"), "a seed in a file of its own, long enough\n").unwrap();
    let program = cambist(&folder)
        .with("CAMBIST_HOLD_WAIT", "4s")
        .with("CAMBIST_SWEEP_INTERVAL", "4s")
        .with("CAMBIST_CHAIN_SEED_FILE", "seed")
        .with("CAMBIST_DATABASE_URL", "postgres://cambist:swordfish@db/cambist");
    let arguments = ["config", "--json", "--sweep-interval", "5s"];
    let (code, out, err) = program.run(&arguments).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown.as_object().unwrap().len(), TABLE.len(), "every setting, once");
    let of = |name: &str| {
        let text = |field: &str| shown[name][field].as_str().unwrap().to_owned();
        (text("value"), text("origin"))
    };
    let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
    assert_eq!(of("queue_capacity"), pair("99", "cambist.toml"));
    assert_eq!(
        of("hold_wait"),
        pair("4s", "environment"),
        "the environment outweighs the file"
    );
    assert_eq!(of("sweep_interval"), pair("5s", "flag"), "a flag outweighs both");
    assert_eq!(of("venue_price"), pair("10", "default"));
    assert_eq!(of("internal_token").1, "cambist.toml");
    assert_eq!(of("chain_seed").1, "secret file");

    let (code, text, _) = program.run(&["config"]).await;
    assert_eq!(code, Some(0));
    assert_eq!(text.lines().count(), TABLE.len());
    for secret in ["file-secret", "swordfish", "a seed in a file"] {
        assert!(!out.contains(secret) && !text.contains(secret), "{secret} is shown");
    }
    assert!(
        text.contains("postgres://cambist:"),
        "what is no secret of an address is shown: {text}"
    );
}

#[tokio::test]
async fn what_no_setting_knows_is_refused_in_one_line_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let program = cambist(&folder);
    for command in ["up", "migrate", "audit", "config"] {
        let run = program
            .clone()
            .with("CAMBIST_LISTN", "127.0.0.1:0")
            .run(&[command])
            .await;
        assert_one_line(
            &run,
            &["the environment", "CAMBIST_LISTN", "did you mean `CAMBIST_LISTEN`?"],
        );
    }
    let run = program.clone().with("CAMBIST_HOLD_WAIT", "soon").run(&["config"]).await;
    assert_one_line(&run, &["CAMBIST_HOLD_WAIT", "`soon`"]);
    let run = program.clone().with("CAMBIST_HOLD_WAIT", "1h").run(&["config"]).await;
    assert_one_line(&run, &["hold_wait must be shorter than request_timeout"]);
    let run = program.run(&["config", "--config", "nowhere.toml"]).await;
    assert_one_line(&run, &["nowhere.toml"]);

    let file = folder.path().join("cambist.toml");
    std::fs::write(&file, "internal_tokn = \"do-not-show\"\n").unwrap();
    let run = program.run(&["up"]).await;
    assert_one_line(
        &run,
        &["cambist.toml", "internal_tokn", "did you mean `internal_token`?"],
    );
    assert!(!run.2.contains("do-not-show"), "{}", run.2);
    std::fs::write(&file, "listen = [\n").unwrap();
    assert_one_line(&program.run(&["up"]).await, &["cambist.toml"]);
    assert!(!folder.path().join("data").exists(), "nothing was begun");
}

#[tokio::test]
async fn up_refuses_settings_that_lead_out_of_its_process_before_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let program = cambist(&folder);
    let services = ["AUTH", "BALANCE", "EXCHANGER", "BC_GATEWAY", "NOTIFICATION"];
    let addresses = services.map(|service| (format!("CAMBIST_{service}_URL"), "http://10.0.0.7:8001"));
    for (name, value) in addresses
        .into_iter()
        .chain([("CAMBIST_NATS_URL".to_owned(), "nats://10.0.0.7:4222")])
    {
        let setting = name.trim_start_matches("CAMBIST_").to_lowercase();
        let run = program.clone().with(&name, value).run(&["up"]).await;
        assert_one_line(&run, &[&setting, "run apart", "leave it empty"]);
    }
    let run = program
        .clone()
        .with("CAMBIST_BALANCE_URL", "https://b")
        .run(&["up"])
        .await;
    assert_one_line(&run, &["CAMBIST_BALANCE_URL", "https", "do not speak"]);
    assert!(!folder.path().join("data").exists(), "nothing was begun");
}

#[tokio::test]
async fn help_and_version_are_there_and_what_is_no_command_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let program = cambist(&folder);
    let (code, out, _) = program.run(&["--version"]).await;
    assert_eq!(
        (code, out.trim()),
        (Some(0), concat!("cambist ", env!("CARGO_PKG_VERSION")))
    );
    let (code, out, _) = program.run(&["help", "up"]).await;
    assert_eq!(code, Some(0));
    for setting in TABLE {
        match setting.flag() {
            Some(flag) => assert!(out.contains(&format!("--{flag} ")), "--{flag} is not in the help"),
            None => assert!(!out.contains(&format!("--{} ", setting.name.replace('_', "-")))),
        }
    }
    for arguments in [
        &["frobnicate"][..],
        &["up", "--frobnicate"],
        &["up", "--internal-token", "x"],
        &[],
    ] {
        let (code, out, err) = program.run(arguments).await;
        assert_eq!((code, out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(!err.is_empty());
    }
}

#[tokio::test]
async fn migrate_makes_the_database_once_and_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = cambist(&folder);
    let (code, out, err) = program.run(&["migrate"]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(out.contains("applied wallet 1 (orders)"), "{out}");
    assert!(out.contains("is funded with 1000 fiat and 1000 crypto"), "{out}");
    let (_, first, _) = program.run(&["audit", "--json"]).await;
    let (code, out, _) = program.run(&["migrate"]).await;
    assert_eq!(code, Some(0));
    assert!(
        out.contains("the schema is up to date") && out.contains("was funded before"),
        "{out}"
    );
    let (code, out, _) = program
        .clone()
        .with("CAMBIST_FUNDING_FIAT", "5")
        .run(&["migrate"])
        .await;
    assert_eq!(code, Some(0));
    assert!(
        out.contains("was funded before, with 1000 USD and 1000 BTC; that stands"),
        "{out}"
    );
    let (code, second, _) = program.run(&["audit", "--json"]).await;
    assert_eq!((code, second), (Some(0), first));
    let elsewhere = program
        .with("CAMBIST_DATABASE_URL", "mysql://db/cambist")
        .run(&["migrate"])
        .await;
    assert_one_line(&elsewhere, &["database_url", "mysql", "postgres"]);
}

#[tokio::test]
async fn one_process_at_a_time_works_on_the_same_data() {
    let folder = tempfile::tempdir().unwrap();
    let program = cambist(&folder);
    let running = program.up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    let (up, migrate) = tokio::join!(program.run(&["up"]), program.run(&["migrate"]));
    for second in [up, migrate] {
        assert_one_line(&second, &["is in use by another cambist process"]);
    }
    let (code, out, _) = program.run(&["audit"]).await;
    assert_eq!(code, Some(0), "an audit may look on: {out}");
    user.order_at_its_end(placed(&user.buy("30", None).await)).await;
    assert_eq!(running.terminate().await, Some(0));
    let (code, out, _) = program.run(&["audit"]).await;
    assert_eq!(code, Some(0), "{out}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let program = cambist(&folder).with("CAMBIST_LOG", "error");
    let run = program.clone().with("CAMBIST_LISTEN", &address).run(&["up"]).await;
    assert_one_line(&run, &["cannot listen on", &address, "--listen"]);
    let run = program.with("CAMBIST_INTERNAL_LISTEN", &address).run(&["up"]).await;
    assert_one_line(&run, &["cannot listen on", &address, "--internal-listen"]);
}

#[tokio::test]
async fn a_signal_ends_it_well_and_the_next_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let program = cambist(&folder).with("CAMBIST_VENUE_LATENCY", "200ms");
    let running = program.up().await;
    let user = running.api.given_a_user_with("ada", "600").await;
    let token = running.internal_token();
    let buy = placed(&user.buy("30", Some("across")).await);
    assert_eq!(running.terminate().await, Some(0), "in the middle of an order");

    let running = program.up().await;
    let user = user.at(&running.api);
    let order = user.order_at_its_end(buy).await;
    assert_eq!(order["status"], "completed", "{order}");
    assert!(user.buy("30", Some("across")).await.replayed());
    assert_eq!(user.balances().await, ("570".into(), "3".into()));
    assert_eq!(running.internal_token(), token, "secrets are made once");
    assert_eq!(running.terminate().await, Some(0));
    let (code, out, _) = program.run(&["audit"]).await;
    assert_eq!(code, Some(0), "{out}");
}

#[tokio::test]
async fn probes_answer_on_the_internal_side_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let running = cambist(&folder).up().await;
    let internal = Api::new(running.internal.clone());
    let get = |path: &str| internal.request(Method::GET, path);
    let alive = internal.send(get("/livez")).await.unwrap();
    assert_eq!((alive.status, &alive.body["status"]), (200, &Value::from("alive")));
    let ready = internal.send(get("/readyz")).await.unwrap();
    assert_eq!((ready.status, &ready.body["status"]), (200, &Value::from("ready")));
    let health = internal.send(get("/health")).await.unwrap();
    assert_eq!((health.status, &health.body["status"]), (200, &Value::from("ok")));
    assert_eq!(health.body["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(health.body["checks"]["database"], "ok");

    let sagas = get("/wallet/sagas").bearer_auth(running.internal_token());
    assert_eq!(
        internal.send(sagas).await.unwrap().status,
        200,
        "the token that `up` makes opens the rest"
    );
    assert_eq!(internal.send(get("/wallet/sagas")).await.unwrap().status, 401);
    running.kill().await;
    let (code, out, _) = cambist(&folder).run(&["audit"]).await;
    assert_eq!(code, Some(0), "{out}");
}
