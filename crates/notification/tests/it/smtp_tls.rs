//! Mail over an encrypted connection: to the server that is meant, or not at all.

use notification::mailer::{InvalidCertificates, SmtpMailer, SmtpServer};
use notification::ports::{MailAnswer, Mailer as _};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use service_kit::settings::{SmtpUrl, Value as _};
use tempfile::TempDir;

use crate::eml::mail;
use crate::server::MailServer;
use crate::smtp::with;

/// A mail server with a certificate, and who vouches for it.
struct Scene {
    server: MailServer,
    authority: String,
    _folder: TempDir,
}

/// An authority of this test's own.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A server with a certificate for `name`.
async fn scene(mut told: Value, name: &str) -> Scene {
    let (authority, key) = (authority(), KeyPair::generate().unwrap());
    let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (file, pem) in [("certificate", certificate.pem()), ("key", key.serialize_pem())] {
        let path = folder.path().join(file);
        std::fs::write(&path, pem).unwrap();
        told[file] = json!(path);
    }
    Scene {
        server: MailServer::start(told).await,
        authority: authority.pem(),
        _folder: folder,
    }
}

impl Scene {
    /// What becomes of a mail by this kind of address, to a server for which `authority` vouches.
    async fn send(&self, form: &str, authority: Option<&str>) -> MailAnswer {
        let url = form.replace("HOST", &format!("127.0.0.1:{}", self.server.port));
        let letter = mail(7, "ada@example.com", "Order 7");
        with(&url, authority, 1).send(&letter).await
    }
}

#[track_caller]
fn assert_no_session(answer: &MailAnswer, why: &str) {
    let none = matches!(answer, MailAnswer::TryLater { reason }
        if reason.contains("is not ready") && reason.contains(why));
    assert!(none, "a session, or none for another reason than {why:?}: {answer:?}");
}

const FORMS: [(&str, &str); 2] = [("starttls", "smtp://HOST?tls=required"), ("tls", "smtps://HOST")];

#[tokio::test]
async fn mail_goes_encrypted_to_a_server_for_which_the_authority_vouches() {
    for (tls, form) in FORMS {
        let scene = scene(json!({"tls": tls}), "127.0.0.1").await;
        let answer = scene.send(form, Some(&scene.authority)).await;
        assert_eq!(answer, MailAnswer::Delivered, "{tls}");
        assert_eq!(scene.server.end().await.len(), 1);
    }
}

#[tokio::test]
async fn a_login_is_made_after_the_encryption() {
    for (tls, form) in FORMS {
        let scene = scene(json!({"tls": tls, "login": ["cambist", "s3cret"]}), "127.0.0.1").await;
        let form = form.replace("HOST", "cambist:s3cret@HOST");
        let answer = scene.send(&form, Some(&scene.authority)).await;
        assert_eq!(answer, MailAnswer::Delivered, "{tls}");
        assert_eq!(scene.server.end().await.len(), 1);
    }
}

#[tokio::test]
async fn a_server_for_which_nobody_vouches_gets_no_mail() {
    for (tls, form) in FORMS {
        let scene = scene(json!({"tls": tls}), "127.0.0.1").await;
        let other = authority().pem();
        // Neither another private authority nor the public ones.
        for authority in [Some(other.as_str()), None] {
            let answer = scene.send(form, authority).await;
            assert_no_session(&answer, "invalid peer certificate");
        }
        assert!(scene.server.end().await.is_empty());
    }
}

#[tokio::test]
async fn a_server_with_somebody_else_s_certificate_gets_no_mail() {
    for (tls, form) in FORMS {
        let scene = scene(json!({"tls": tls}), "mail.example.com").await;
        let answer = scene.send(form, Some(&scene.authority)).await;
        assert_no_session(&answer, "invalid peer certificate");
        assert!(scene.server.end().await.is_empty());
    }
}

#[tokio::test]
async fn a_server_that_does_not_encrypt_gets_no_mail_where_that_is_required() {
    let scene = scene(json!({}), "127.0.0.1").await;
    let answer = scene.send("smtp://HOST?tls=required", Some(&scene.authority)).await;
    assert_no_session(&answer, "STARTTLS");
    assert!(scene.server.end().await.is_empty());
}

#[test]
fn what_is_no_certificate_vouches_for_nobody() {
    let try_new = |pem: &str| -> Result<SmtpMailer, InvalidCertificates> {
        let server = SmtpServer {
            url: SmtpUrl::parse("smtps://mail.example.com").unwrap(),
            authorities: Some(pem.as_bytes().to_vec()),
            connect_timeout: std::time::Duration::from_secs(1),
            timeout: std::time::Duration::from_secs(1),
            connections: std::num::NonZeroUsize::MIN,
        };
        SmtpMailer::try_new(server, "cambist@example.com".parse().unwrap())
    };
    let sound = authority().pem();
    assert!(try_new(&sound).is_ok());
    assert!(try_new(&format!("{sound}\n{}", authority().pem())).is_ok(), "several");
    let broken = sound.replace("-----BEGIN CERTIFICATE-----\n", "-----BEGIN CERTIFICATE-----\nAAAA");
    for pem in ["", "a file", &KeyPair::generate().unwrap().serialize_pem(), &broken] {
        let error = try_new(pem).err().unwrap();
        assert!(error.to_string().starts_with("no certificates"), "{error}");
    }
}
