//! The way to the server is secured, and who is at its other end is verified.

use std::sync::Arc;

use contracts::random::SeededEntropy;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use storage::migrations::SchemaError;
use storage::postgres::{Database, Options, migrate};
use test_servers::postgres::Postgres;

use super::{SERVICE, a_fresh_store, administer, connect, migrations};
use crate::given::noon;

/// An authority of our own, as its certificate in PEM, and a server's certificate and key that it vouches for.
fn certificates(host: &str) -> (String, String, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new([host.to_owned()]).unwrap();
    let server = server.signed_by(&key, &authority).unwrap();
    (authority.pem(), server.pem(), key.serialize_pem())
}

async fn start(certificate: String, key: String) -> Postgres {
    let start = move || Postgres::start_secured(&certificate, &key).unwrap();
    tokio::task::spawn_blocking(start).await.unwrap()
}

#[tokio::test]
async fn a_server_that_a_known_authority_vouches_for_is_trusted_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, certificate, key) = certificates("127.0.0.1");
    let server = start(certificate, key).await;
    let trusted = folder.path().join("authority.pem");
    std::fs::write(&trusted, authority).unwrap();
    let stranger = folder.path().join("stranger.pem");
    std::fs::write(&stranger, certificates("127.0.0.1").0).unwrap();

    let url = format!("{}/postgres?sslmode=require", server.url());
    let secured = format!("{url}&sslrootcert={}", trusted.display());
    migrate(&secured, &[migrations()], noon()).await.unwrap();
    let database = connect(&secured, SERVICE, Options::default()).await;
    assert!(database.query("SELECT * FROM exchanger.commands", &[]).await.is_ok());
    let open = secured.replace("sslmode=require", "sslmode=disable");
    let refused = migrate(&open, &[migrations()], noon()).await.unwrap_err().to_string();
    assert!(
        refused.contains("no encryption"),
        "the server is reached by TLS only: {refused}"
    );

    let of_a_stranger = format!("{url}&sslrootcert={}", stranger.display());
    let by_name = of_a_stranger.replace("sslmode=require&", "");
    for refused in [url, of_a_stranger, by_name] {
        let Err(SchemaError::Database(why)) = migrate(&refused, &[migrations()], noon()).await else {
            panic!("{refused} is trusted")
        };
        assert!(why.contains("certificate") || why.contains("UnknownIssuer"), "{why}");
        let entropy = Arc::new(SeededEntropy::new(1));
        assert!(
            Database::connect(&refused, SERVICE, Options::default(), entropy)
                .await
                .is_err()
        );
    }
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (authority, certificate, key) = certificates("db.example.com");
    let server = start(certificate, key).await;
    let trusted = folder.path().join("authority.pem");
    std::fs::write(&trusted, authority).unwrap();
    let url = format!(
        "{}/postgres?sslmode=verify-full&sslrootcert={}",
        server.url(),
        trusted.display()
    );
    let refused = migrate(&url, &[migrations()], noon()).await.unwrap_err().to_string();
    assert!(refused.contains("not valid for name"), "{refused}");
}

#[tokio::test]
async fn a_commit_is_on_disk_when_it_is_answered_whatever_the_server_is_set_to() {
    let given = a_fresh_store().await;
    let name = given.texts("SELECT current_database()::text").await.remove(0);
    administer(
        &given.url,
        &[format!("ALTER DATABASE {name} SET synchronous_commit = off")],
    )
    .await;
    let careful = given.beside().await;
    assert_eq!(
        careful.texts("SELECT current_setting('synchronous_commit')").await,
        ["on"]
    );
}
