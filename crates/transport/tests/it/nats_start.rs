//! Starting with a NATS server that is away, knows us not, or is somebody else's: one clear line, after a bounded time.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream;
use contracts::messages::Message;
use storage::outbox::{Destination, OutboxStore as _};
use test_servers::nats::Nats;
use tokio::time::Instant;
use transport::dispatcher::{Courier, QueueCourier};
use transport::nats::{ConnectError, Credentials, NatsSettings, Tls};
use transport::queue::Transport as _;

use crate::given::{a_fresh_store, wake_up};
use crate::queues::{GivenNats, QUEUE, given_nats, orders, received, received_in_all};

/// What is said of a start that fails: one line.
fn line(error: &ConnectError) -> String {
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

fn on(server: Nats) -> GivenNats {
    GivenNats {
        server,
        letters: Arc::default(),
        metrics: Arc::default(),
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_not_for_ever() {
    let given = given_nats();
    let nowhere = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let patience = Duration::from_millis(400);
    let settings = NatsSettings {
        patience,
        ..NatsSettings::new(format!("nats://{nowhere}"))
    };
    let began = Instant::now();
    let error = given.connect(settings).await.err().unwrap();
    assert!(began.elapsed() >= patience / 2, "it was tried for a while");
    let line = line(&error);
    assert!(
        line.starts_with(&format!("no NATS server answered at nats://{nowhere} within 400ms: ")),
        "{line}"
    );
    assert!(line.contains("refused"), "{line}");
}

#[tokio::test]
async fn a_server_that_comes_up_meanwhile_is_found() {
    let mut given = given_nats();
    given.server.kill();
    let mut settings = NatsSettings::new(given.server.url());
    settings.patience = Duration::from_secs(30);
    let connecting = tokio::spawn(given.connect(settings));
    tokio::task::yield_now().await;
    given.server.start_again();
    let transport = connecting.await.unwrap().unwrap();
    transport.publish(QUEUE, orders(1, 1)).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_know_us_is_not_asked_twice() {
    let given = on(Nats::start_with(&["--user", "cambist", "--pass", "correct horse"]));
    let user = |name: &str, password: &str| Credentials::User {
        name: name.to_owned(),
        password: password.to_owned(),
    };
    for credentials in [
        Credentials::Nobody,
        Credentials::Token("battery".to_owned()),
        user("cambist", "battery"),
    ] {
        let settings = NatsSettings {
            credentials,
            ..NatsSettings::new(given.server.url())
        };
        let error = given.connect(settings).await.err().unwrap();
        let url = given.server.url();
        assert_eq!(
            line(&error),
            format!("the NATS server at {url} refuses our credentials")
        );
    }
    let settings = NatsSettings {
        credentials: user("cambist", "correct horse"),
        ..NatsSettings::new(given.server.url())
    };
    assert!(given.connect(settings).await.is_ok());
}

#[tokio::test]
async fn credentials_that_cannot_be_read_are_named() {
    let given = given_nats();
    let settings = NatsSettings {
        credentials: Credentials::File("no/such.creds".into()),
        ..NatsSettings::new(given.server.url())
    };
    let line = line(&given.connect(settings).await.err().unwrap());
    assert!(line.contains("no/such.creds"), "{line}");
}

#[tokio::test]
async fn an_address_that_is_none_is_said_to_be_none() {
    let given = given_nats();
    for url in ["", "nats://", "http://127.0.0.1:1", "nats://a b"] {
        let error = given.connect(NatsSettings::new(url)).await.err().unwrap();
        assert!(matches!(error, ConnectError::Address { .. }), "{url}: {error}");
        line(&error);
    }
}

#[tokio::test]
async fn a_stream_that_is_not_ours_is_refused_and_left_alone() {
    let given = given_nats();
    let theirs = stream::Config {
        name: QUEUE.as_str().to_owned(),
        subjects: vec![QUEUE.as_str().to_owned()],
        ..stream::Config::default()
    };
    let stranger = given.stranger().await;
    stranger.create_stream(theirs).await.unwrap();
    let error = given
        .connect(NatsSettings::new(given.server.url()))
        .await
        .err()
        .unwrap();
    let line = line(&error);
    assert!(
        line.contains("whose retention is not ours") && line.contains("nats stream rm"),
        "{line}"
    );
}

#[tokio::test]
async fn a_stream_that_takes_no_large_messages_is_refused() {
    let given = given_nats();
    drop(given.transport().await);
    let stranger = given.stranger().await;
    let found = stranger.get_stream(QUEUE.as_str()).await.unwrap();
    let smaller = stream::Config {
        max_message_size: 1_024,
        ..found.cached_info().config.clone()
    };
    stranger.update_stream(smaller).await.unwrap();
    let settings = NatsSettings::new(given.server.url());
    let line = line(&given.connect(settings).await.err().unwrap());
    assert!(line.contains("whose max_msg_size is not ours"), "{line}");
}

#[tokio::test]
async fn bounds_that_an_operator_changed_stay_as_they_are() {
    let given = given_nats();
    drop(given.transport().await);
    let stranger = given.stranger().await;
    let mut config = stranger
        .get_stream(QUEUE.as_str())
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.max_messages = 7;
    stranger.update_stream(config).await.unwrap();
    let transport = given.transport().await;
    let found = stranger.get_stream(QUEUE.as_str()).await.unwrap();
    assert_eq!(found.cached_info().config.max_messages, 7);
    transport.publish(QUEUE, orders(1, 1)).await.unwrap();
}

#[tokio::test]
async fn a_consumer_that_would_give_messages_up_is_not_listened_to() {
    let given = given_nats();
    let transport = given.transport().await;
    let stranger = given.stranger().await;
    let theirs = pull::Config {
        durable_name: Some(QUEUE.as_str().to_owned()),
        max_deliver: 3,
        ..pull::Config::default()
    };
    let made = stranger.create_consumer_on_stream(theirs, QUEUE.as_str()).await;
    made.unwrap();
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    transport.publish(QUEUE, orders(1, 1)).await.unwrap();
    let short = Duration::from_millis(300);
    assert!(tokio::time::timeout(short, listener.receive(1)).await.is_err());
    let removed = stranger.delete_consumer_from_stream(QUEUE.as_str(), QUEUE.as_str());
    removed.await.unwrap();
    assert_eq!(received(&mut listener, 1).await, [1]);
}

/// A server that takes 4 KiB at once.
fn on_a_small_server() -> (GivenNats, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("nats.conf");
    std::fs::write(&config, "max_payload: 4096\n").unwrap();
    (on(Nats::start_with(&["-c", config.to_str().unwrap()])), folder)
}

#[tokio::test]
async fn what_is_larger_than_the_server_takes_becomes_a_dead_letter_of_its_sender_and_its_neighbours_arrive() {
    let (server, _config) = on_a_small_server();
    let transport = Arc::new(server.transport().await);
    let (given, rows) = a_fresh_store();
    let destination = Destination::Queue(QUEUE);
    let large = Message {
        message_id: "wake-up-2-".repeat(500),
        ..wake_up(2)
    };
    let payloads = [wake_up(1), large, wake_up(3)].map(|message| serde_json::to_string(&message).unwrap());
    let large = payloads[1].clone();
    given.put(destination, payloads).await;
    let courier: Arc<dyn Courier> = Arc::new(QueueCourier {
        transport: transport.clone(),
        queue: QUEUE,
    });
    let running = given.dispatch(rows, [(destination, courier)]);
    running.outbox.settled(3).await;
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    assert_eq!(received_in_all(&mut listener, 2).await, [1, 3]);
    let [(payload, error)] = given.dead_letters().await.try_into().unwrap();
    assert_eq!(payload, large);
    assert!(error.contains("4096"), "{error}");
    assert_eq!(given.outbox.backlog().await, Ok(0));
    assert_eq!((server.metrics.published.get(), server.metrics.refused.get()), (2, 1));
    running.end().await;
}

#[tokio::test]
async fn a_server_that_takes_little_at_once_is_given_smaller_envelopes() {
    let (given, _config) = on_a_small_server();
    let transport = given.transport().await;
    transport.publish(QUEUE, orders(1, 100)).await.unwrap();
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    assert_eq!(received_in_all(&mut listener, 100).await, (1..=100).collect::<Vec<_>>());
}

#[tokio::test]
async fn over_tls_the_server_is_believed_that_an_authority_of_ours_vouches_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let generated = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("cert.pem"), generated.cert.pem()).unwrap();
    std::fs::write(path("key.pem"), generated.signing_key.serialize_pem()).unwrap();
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(path("other.pem"), stranger.cert.pem()).unwrap();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let flags = [
        "--tls",
        "--tlscert",
        cert.to_str().unwrap(),
        "--tlskey",
        key.to_str().unwrap(),
    ];
    let given = on(Nats::start_with(&flags));
    let with = |authority: &str| NatsSettings {
        tls: Tls {
            required: true,
            authorities: Some(path(authority)),
            identity: None,
        },
        patience: Duration::from_secs(3),
        ..NatsSettings::new(given.server.url())
    };
    let transport = given.connect(with("cert.pem")).await.unwrap();
    transport.publish(QUEUE, orders(1, 1)).await.unwrap();
    let mut listener = transport.subscribe(QUEUE).await.unwrap();
    assert_eq!(received(&mut listener, 1).await, [1]);
    line(&given.connect(with("other.pem")).await.err().unwrap());
}
