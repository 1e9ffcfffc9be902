//! Where settings come from, which counts, and what a mistake is told.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Command;
use service_kit::settings::{
    Deposits, Gathered, LogFormat, Origin, Settings, SettingsError, TABLE, given_flags, read_file, reference_markdown,
    with_flags,
};

pub(crate) fn env(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables
        .iter()
        .map(|(key, value)| (OsString::from(key), OsString::from(value)))
        .collect()
}

pub(crate) fn from_env(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Ok(Gathered::new().with_environment(env(variables))?.load()?.settings)
}

fn from_file(text: &str) -> Result<Settings, SettingsError> {
    Ok(Gathered::new()
        .with_file(Path::new("cambist.toml"), text)?
        .load()?
        .settings)
}

/// The message, after checking that it is one line.
pub(crate) fn message<T: std::fmt::Debug>(result: Result<T, SettingsError>) -> String {
    let text = result.expect_err("this is wrong").to_string();
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn without_anything_said_the_defaults_hold() {
    let loaded = Gathered::new().load().unwrap();
    let settings = &loaded.settings;
    assert_eq!(settings.listen, "127.0.0.1:8000".parse().unwrap());
    assert_eq!(settings.internal_listen, "127.0.0.1:8001".parse().unwrap());
    assert_eq!(settings.database_url.expose(), "sqlite:./data/cambist.db");
    assert_eq!(settings.data_dir, PathBuf::from("./data"));
    assert!(settings.nats_url.is_none() && settings.internal_token.is_none() && settings.smtp_url.is_none());
    assert_eq!(settings.deposits, Deposits::Operator);
    assert_eq!(settings.log_format, LogFormat::Auto);
    assert_eq!(settings.token_ttl, Duration::from_secs(900));
    assert_eq!(settings.hold_wait, Duration::from_secs(2));
    assert_eq!(settings.requests_per_minute, 60);
    assert_eq!(settings.max_in_flight.get(), 4096);
    assert_eq!(
        (settings.funding_fiat.text(), settings.funding_crypto.text()),
        ("1000", "1000")
    );
    assert_eq!((settings.venue_price.text(), settings.venue_fee_bp.get()), ("10", 0));
    assert!(
        loaded
            .effective()
            .iter()
            .all(|effective| effective.origin == Origin::Default)
    );
    assert_eq!(loaded.effective().len(), TABLE.len());
}

#[test]
fn flags_outweigh_the_environment_which_outweighs_the_file_which_outweighs_the_defaults() {
    let file = "token_ttl = \"1m\"\nhold_wait = \"1s\"\nrequests_per_minute = 1\nlog_format = \"json\"";
    let variables = env(&[
        ("CAMBIST_TOKEN_TTL", "2m"),
        ("CAMBIST_HOLD_WAIT", "3s"),
        ("PATH", "/bin"),
    ]);
    let flags = vec![("token_ttl".to_owned(), "3m".to_owned())];
    let path = Path::new("cambist.toml");
    // Whatever the order in which they are gathered.
    let one = Gathered::new()
        .with_file(path, file)
        .unwrap()
        .with_environment(variables.clone())
        .unwrap();
    let one = one
        .with_flags(flags.clone())
        .unwrap()
        .with_default("deposits", "self")
        .unwrap();
    let other = Gathered::new()
        .with_default("deposits", "self")
        .unwrap()
        .with_flags(flags)
        .unwrap();
    let other = other
        .with_environment(variables)
        .unwrap()
        .with_file(path, file)
        .unwrap();
    for gathered in [one, other] {
        let loaded = gathered.load().unwrap();
        let settings = &loaded.settings;
        assert_eq!(settings.token_ttl, Duration::from_secs(180));
        assert_eq!(settings.hold_wait, Duration::from_secs(3));
        assert_eq!(settings.requests_per_minute, 1);
        assert_eq!(settings.log_format, LogFormat::Json);
        assert_eq!(settings.deposits, Deposits::SelfService);
        let origin = |name: &str| {
            loaded
                .effective()
                .iter()
                .find(|e| e.name == name)
                .unwrap()
                .origin
                .to_string()
        };
        assert_eq!(
            [
                origin("token_ttl"),
                origin("hold_wait"),
                origin("log_format"),
                origin("deposits")
            ],
            ["flag", "environment", "cambist.toml", "default"]
        );
    }
}

#[test]
fn what_nobody_knows_is_refused_with_the_nearest_name() {
    assert_eq!(
        message(from_file("databse_url = \"sqlite:x\"")),
        "cambist.toml: there is no setting `databse_url`; did you mean `database_url`?"
    );
    assert_eq!(
        message(from_env(&[("CAMBIST_REQUEST_TIMEOUTS", "2s")])),
        "the environment: there is no setting `CAMBIST_REQUEST_TIMEOUTS`; did you mean `CAMBIST_REQUEST_TIMEOUT`?"
    );
    assert_eq!(
        message(from_env(&[("CAMBIST_ZZZZZZZZ", "1")])),
        "the environment: there is no setting `CAMBIST_ZZZZZZZZ`"
    );
    assert_eq!(
        message(from_file("colour = 1")),
        "cambist.toml: there is no setting `colour`"
    );
    assert_eq!(
        message(Gathered::new().with_flags([("listne".into(), "x".into())])),
        "the command line: there is no setting `listne`; did you mean `listen`?"
    );
    assert!(
        from_env(&[
            ("CAMBISTER", "1"),
            ("cambist_listen", "x"),
            ("CAMBIST_CONFIG", "/etc/c.toml")
        ])
        .is_ok()
    );
}

#[test]
fn a_wrong_value_is_told_where_it_is_set_and_what_to_write() {
    assert_eq!(
        message(from_env(&[("CAMBIST_REQUEST_TIMEOUT", "5 minutes")])),
        "CAMBIST_REQUEST_TIMEOUT: `5 minutes` is not a duration; write a whole number and a unit, like 250ms, 2s, 15m, 1h or 7d"
    );
    assert_eq!(
        message(from_file("listen = 8000")),
        "cambist.toml: listen: `8000` is not an address to listen on; write it like 127.0.0.1:8000 or [::]:8000"
    );
    let flags = [("venue_fee_bp".to_owned(), "10001".to_owned())];
    assert_eq!(
        message(Gathered::new().with_flags(flags).unwrap().load()),
        "--venue-fee-bp: `10001` is not a whole number of basis points between 0 and 10000"
    );
    for (variable, value) in [
        ("CAMBIST_LISTEN", ""),
        ("CAMBIST_LOG", "info,,=x=y"),
        ("CAMBIST_LOG_FORMAT", "xml"),
        ("CAMBIST_DEPOSITS", "everybody"),
        ("CAMBIST_MAX_IN_FLIGHT", "0"),
        ("CAMBIST_TOKEN_TTL", "15"),
        ("CAMBIST_TOKEN_TTL", "m"),
        ("CAMBIST_TOKEN_TTL", "-1s"),
        ("CAMBIST_TOKEN_TTL", "1.5s"),
        ("CAMBIST_TOKEN_TTL", "99999999999999999999s"),
        ("CAMBIST_TOKEN_TTL", "4000d"),
        ("CAMBIST_FUNDING_FIAT", "0"),
        ("CAMBIST_FUNDING_FIAT", "-1"),
        ("CAMBIST_FUNDING_FIAT", "lots"),
        ("CAMBIST_AUTH_URL", "auth:8001"),
        ("CAMBIST_AUTH_URL", "ftp://auth"),
        ("CAMBIST_AUTH_URL", "http://user:password@auth"),
        ("CAMBIST_DATABASE_URL", "cambist.db"),
        ("CAMBIST_DATABASE_URL", ""),
    ] {
        let text = message(from_env(&[(variable, value)]));
        assert!(text.starts_with(&format!("{variable}: ")), "{text}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn settings_that_contradict_one_another_are_refused() {
    for (variables, names) in [
        (
            &[("CAMBIST_HOLD_WAIT", "10s")][..],
            "hold_wait must be shorter than request_timeout",
        ),
        (
            &[("CAMBIST_COMMAND_LEASE", "10s")],
            "venue_expiry + venue_timeout + venue_skew must be shorter than command_lease",
        ),
        (
            &[("CAMBIST_CHAIN_TIMEOUT", "6s")],
            "5 × chain_timeout must be shorter than command_lease",
        ),
        (
            &[
                ("CAMBIST_SMTP_URL", "smtp://localhost"),
                ("CAMBIST_SMTP_TIMEOUT", "12s"),
            ],
            "smtp_connect_timeout + 2 × smtp_timeout + 1s must be shorter than command_lease",
        ),
        (
            &[
                ("CAMBIST_SMTP_URL", "smtp://localhost"),
                ("CAMBIST_SMTP_CA_FILE", "authority.pem"),
            ],
            "smtp_ca_file is for an encrypted connection",
        ),
        (
            &[
                ("CAMBIST_VENUE_REFUSE_BP", "9000"),
                ("CAMBIST_VENUE_NOT_YET_VISIBLE_BP", "1001"),
            ],
            "the rates of the simulated venue add up to 10001 of 10000 orders",
        ),
        (
            &[
                ("CAMBIST_CHAIN_LATE_BP", "9000"),
                ("CAMBIST_CHAIN_REORGANISE_BP", "1001"),
            ],
            "the rates of the simulated chain add up to 10001 of 10000 broadcasts",
        ),
        (&[("CAMBIST_CHAIN_LOST_BROADCAST_BP", "10000")], "lose every broadcast"),
        (
            &[("CAMBIST_VENUE_LATENCY", "3s")],
            "venue_latency must be shorter than venue_timeout",
        ),
        (
            &[("CAMBIST_CHAIN_LATENCY", "5s")],
            "chain_latency must be shorter than chain_timeout",
        ),
        (
            &[
                ("CAMBIST_VENUE_NOT_YET_VISIBLE_BP", "1"),
                ("CAMBIST_VENUE_HIDDEN_FOR", "5s"),
            ],
            "venue_hidden_for must be shorter than venue_engine_timeout",
        ),
        (
            &[("CAMBIST_INTERNAL_LISTEN", "127.0.0.1:8000")],
            "listen and internal_listen must differ",
        ),
        (
            &[("CAMBIST_DRAIN_TIMEOUT", "0s")],
            "drain_timeout must be longer than zero",
        ),
        (&[("CAMBIST_TOKEN_TTL", "999ms")], "token_ttl must be at least 1s"),
        (
            &[("CAMBIST_SWEEP_INTERVAL", "30s")],
            "sweep_interval must be shorter than stuck_after",
        ),
    ] {
        let text = message(from_env(variables));
        assert!(text.contains(names), "{text}");
    }
    let free_ports = [
        ("CAMBIST_LISTEN", "127.0.0.1:0"),
        ("CAMBIST_INTERNAL_LISTEN", "127.0.0.1:0"),
    ];
    assert!(from_env(&free_ports).is_ok());
    // Without a mail server nothing waits for one.
    assert!(from_env(&[("CAMBIST_SMTP_TIMEOUT", "12s")]).is_ok());
}

#[test]
fn a_settings_file_is_flat_and_has_no_floats() {
    assert!(from_file("# nothing\n").is_ok());
    assert_eq!(
        from_file("funding_fiat = 2500\nvenue_price = \"9.75\"")
            .unwrap()
            .venue_price
            .text(),
        "9.75"
    );
    assert_eq!(
        message(from_file("venue_price = 9.75")),
        "cambist.toml: `venue_price`: put a number with decimals in quotes"
    );
    assert_eq!(
        message(from_file("[listen]\nport = 1")),
        "cambist.toml: `listen`: settings are flat; write listen = \"…\""
    );
    let broken = message(from_file("log = \"info\"\ninternal_token = \"hunter2"));
    assert!(
        broken.starts_with("cambist.toml: line 2: ") && !broken.contains("hunter2"),
        "{broken}"
    );
    let twice = message(from_file("log = \"info\"\nlog = \"warn\""));
    assert!(twice.starts_with("cambist.toml: line 2: duplicate key"), "{twice}");
}

#[test]
fn a_named_file_must_be_there_and_be_small() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("settings.toml");
    let missing = message(read_file(Some(path.clone())));
    assert!(
        missing.contains("settings.toml: ") && missing.contains("No such file"),
        "{missing}"
    );
    std::fs::write(&path, "log = \"warn\"").unwrap();
    assert_eq!(read_file(Some(path.clone())).unwrap().unwrap().1, "log = \"warn\"");
    std::fs::write(&path, "#".repeat(65 * 1024)).unwrap();
    assert!(message(read_file(Some(path))).contains("is larger than 65536 bytes"));
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_unicode_is_refused() {
    use std::os::unix::ffi::OsStringExt as _;
    let broken = OsString::from_vec(vec![0xff]);
    let text = message(Gathered::new().with_environment([(OsString::from("CAMBIST_LOG"), broken.clone())]));
    assert_eq!(text, "CAMBIST_LOG: the value is not Unicode text");
    assert!(
        Gathered::new().with_environment([(broken.clone(), broken)]).is_ok(),
        "none of our business"
    );
}

#[test]
fn the_database_lies_in_the_data_directory_unless_it_is_told_otherwise() {
    let moved = from_env(&[("CAMBIST_DATA_DIR", "/var/lib/cambist")]).unwrap();
    assert_eq!(moved.database_url.expose(), "sqlite:/var/lib/cambist/cambist.db");
    assert_eq!(
        (moved.database_url.scheme(), moved.database_url.rest()),
        ("sqlite", "/var/lib/cambist/cambist.db")
    );
    let told = [
        ("CAMBIST_DATA_DIR", "/var/lib/cambist"),
        ("CAMBIST_DATABASE_URL", "sqlite:{data_dir}.db"),
    ];
    assert_eq!(
        from_env(&told).unwrap().database_url.expose(),
        "sqlite:{data_dir}.db",
        "what is written is taken as it is"
    );
}

#[test]
fn flags_come_from_the_table_and_work_before_and_after_a_subcommand() {
    let command = || with_flags(Command::new("cambist").subcommand(Command::new("up")));
    command().debug_assert();
    for line in [
        ["cambist", "--token-ttl", "5m", "up"],
        ["cambist", "up", "--token-ttl", "5m"],
    ] {
        let matches = command().get_matches_from(line);
        let (_, matches) = matches.subcommand().unwrap();
        assert_eq!(given_flags(matches), [("token_ttl".to_owned(), "5m".to_owned())]);
        let loaded = Gathered::new()
            .with_flags(given_flags(matches))
            .unwrap()
            .load()
            .unwrap();
        assert_eq!(loaded.settings.token_ttl, Duration::from_secs(300));
    }
    assert!(
        command()
            .try_get_matches_from(["cambist", "up", "--token-tll", "5m"])
            .is_err()
    );
    assert!(
        command()
            .try_get_matches_from(["cambist", "up", "--internal-token", "x"])
            .is_err(),
        "a secret has no flag"
    );
    let help = command().render_long_help().to_string();
    let flat = help.split_whitespace().collect::<Vec<_>>().join(" ");
    for setting in TABLE.iter().filter(|setting| !setting.secret) {
        assert!(
            help.contains(&format!("--{} <{}>", setting.flag().unwrap(), setting.kind)),
            "{}",
            setting.name
        );
        assert!(flat.contains(&setting.help()), "{}", setting.name);
        assert!(help.contains(&setting.variable()));
    }
}

#[test]
fn the_table_is_sound_and_the_reference_complete() {
    let names: HashSet<_> = TABLE.iter().map(|setting| setting.name).collect();
    assert_eq!(names.len(), TABLE.len());
    let reference = reference_markdown();
    for setting in TABLE {
        assert!(setting.help().ends_with('.'), "{}: {}", setting.name, setting.help());
        assert!(reference.contains(&format!("| `{}` | `{}` |", setting.name, setting.variable())));
        assert!(
            !setting.secret || setting.default.is_empty(),
            "no secret has a default that works"
        );
        assert!(!setting.secret || setting.flag().is_none());
    }
    let groups: Vec<_> = TABLE.iter().map(|setting| setting.group).collect();
    let headings = reference.lines().filter(|line| line.starts_with("## ")).count();
    assert_eq!(
        headings,
        groups.iter().collect::<HashSet<_>>().len(),
        "a group is not interrupted"
    );
}
