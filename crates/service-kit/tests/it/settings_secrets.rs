//! Secrets come from the environment or from files, and are shown nowhere, not even when they are wrong.

use service_kit::settings::{Gathered, SecretUrl, ServiceUrl, Value as _};

use crate::settings::{env, from_env, message};

#[test]
fn a_secret_may_lie_in_a_file_and_is_shown_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token");
    std::fs::write(&path, "hunter2-hunter2-hunter2\n").unwrap();
    let variables = [
        ("CAMBIST_INTERNAL_TOKEN_FILE", path.to_str().unwrap()),
        (
            "CAMBIST_INTERNAL_TOKENS",
            "wallet=hunter2-hunter2-a,operator:ann=hunter2-hunter2-b",
        ),
        (
            "CAMBIST_DATABASE_URL",
            "postgres://cambist:hunter2@db/cambist?password=hunter2",
        ),
        ("CAMBIST_NATS_URL", "nats://hunter2@nats:4222"),
        ("CAMBIST_CHAIN_SEED", "hunter2"),
    ];
    let loaded = Gathered::new()
        .with_environment(env(&variables))
        .unwrap()
        .load()
        .unwrap();
    let settings = &loaded.settings;
    assert_eq!(
        settings.internal_token.as_ref().unwrap().expose(),
        "hunter2-hunter2-hunter2"
    );
    assert_eq!(settings.internal_tokens.0.len(), 2);
    assert!(settings.database_url.expose().contains("hunter2"));
    let shown = |name: &str| {
        loaded
            .effective()
            .iter()
            .find(|e| e.name == name)
            .unwrap()
            .value
            .clone()
    };
    assert_eq!(shown("internal_token"), "[secret]");
    assert_eq!(shown("internal_tokens"), "wallet=[secret],operator:ann=[secret]");
    assert_eq!(shown("database_url"), "postgres://cambist:[secret]@db/cambist?[secret]");
    assert_eq!(shown("nats_url"), "nats://[secret]@nats:4222");
    assert_eq!(shown("chain_seed"), "[secret]");
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert_eq!(settings.database_url.to_string(), shown("database_url"));
    // Only secrets can be named by file.
    assert!(message(from_env(&[("CAMBIST_LOG_FILE", "x")])).contains("there is no setting `CAMBIST_LOG_FILE`"));
}

#[test]
fn a_wrong_secret_is_not_shown_either() {
    for (variable, value) in [
        ("CAMBIST_INTERNAL_TOKEN", " hunter2"),
        ("CAMBIST_INTERNAL_TOKENS", "hunter2"),
        ("CAMBIST_INTERNAL_TOKENS", "wallet=hunter2"),
        ("CAMBIST_DATABASE_URL", "postgres//cambist:hunter2@db/cambist"),
        ("CAMBIST_DATABASE_URL", "post gres://cambist:hunter2@db/cambist"),
        ("CAMBIST_SMTP_URL", "cambist:hunter2@mail"),
    ] {
        let text = match from_env(&[(variable, value)]) {
            Ok(settings) => format!("{settings:?}"),
            Err(error) => error.to_string(),
        };
        assert!(!text.contains("hunter2"), "{text}");
    }
    for (name, problem) in [("bank", "a caller is a service"), ("wallet", "less than 16 characters")] {
        let text = message(from_env(&[("CAMBIST_INTERNAL_TOKENS", &format!("{name}=short"))]));
        assert!(text.contains(problem) && !text.contains("short;"), "{text}");
    }
}

#[test]
fn addresses_are_shown_without_their_passwords() {
    for (address, shown) in [
        ("sqlite:./data/cambist.db", "sqlite:./data/cambist.db"),
        ("postgres://db/cambist", "postgres://db/cambist"),
        ("postgres://cambist@db/cambist", "postgres://cambist@db/cambist"),
        (
            "postgres://cambist:p@ss@db/cambist",
            "postgres://cambist:[secret]@db/cambist",
        ),
        (
            "postgres://cambist:p?ss@db/cambist",
            "postgres://cambist:[secret]@db/cambist",
        ),
        (
            "postgres://db/cambist?user=u&password=p",
            "postgres://db/cambist?[secret]",
        ),
        ("smtp://user:password@mail:587", "smtp://user:[secret]@mail:587"),
        ("user:password@mail", "[secret]"),
    ] {
        assert_eq!(SecretUrl::shown(address), shown);
    }
    assert_eq!(
        ServiceUrl::parse("http://balance:8001/").unwrap().as_str(),
        "http://balance:8001"
    );
    assert_eq!(
        ServiceUrl::parse("http://b.example/cambist").unwrap().as_str(),
        "http://b.example/cambist"
    );
}
